"""Configurations: what is refused, what can be changed, and where paths lead."""

from __future__ import annotations

from pathlib import Path

import pytest

from placememory.errors import SettingError
from placememory.training import read_training

PLAIN = """\
name: made
encoder: {name: cosplace, weights: start.pth}
data:
  train: [{root: train}]
  validation: [{root: /elsewhere}]
optimization: {lr: 1e-4}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(PLAIN)
    return path


def test_paths_are_relative_to_the_file(file: Path) -> None:
    training = read_training(file)
    assert training.data.train[0].root == file.parent / "train"
    assert training.data.validation[0].root == Path("/elsewhere")
    assert training.output == file.parent / "output/train_logs"
    assert training.encoder.weights == str(file.parent / "start.pth")


def test_random_weights_are_no_path(file: Path) -> None:
    assert read_training(file, ("encoder.weights=random",)).encoder.weights == "random"


def test_numbers_may_be_written_as_people_write_them(file: Path) -> None:
    assert read_training(file).optimization.lr == 1e-4
    assert read_training(file, ("optimization.lr=3e-5",)).optimization.lr == 3e-5


def test_changes_make_tables_where_there_are_none(file: Path) -> None:
    changed = read_training(file, ("mining.places=3", "encoder.train=last:2", "seed=7"))
    assert (changed.mining.places, changed.encoder.train, changed.seed) == (3, "last:2", 7)


def test_a_change_may_be_a_pattern_or_nothing(file: Path) -> None:
    changed = read_training(file, ("encoder.train=*.bias", "optimization.clip=null"))
    assert changed.encoder.train == "*.bias"
    assert changed.optimization.clip is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("optimization.rate=1", "optimization.rate"),
        ("optimization.lr=-1", "optimization.lr"),
        ("encoder.name=vgg", "no encoder is called 'vgg'"),
        ("name.first=1", "changes nothing"),
        ("seed", "changes nothing"),
        ("loss.kind=triplet", "cached"),
        ("mining.kind=cached", "places"),
        ("data.negative_radius=1", "below positive_radius"),
        ("data.held_out={share: 0.2}", "either"),
        ("data.validation=[]", "either"),
        ("data.train=[{root: a, database: x}]", "both"),
    ],
)
def test_what_does_not_fit_is_refused(file: Path, change: str, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        read_training(file, (change,))


def test_a_trunk_can_only_be_cached_while_nothing_changes_its_answers(file: Path) -> None:
    with pytest.raises(SettingError, match="augment"):
        read_training(file, ("running.cache_trunk=true", "augment.colour=0.5"))
    with pytest.raises(SettingError, match="frozen trunk"):
        read_training(file, ("running.cache_trunk=true", "encoder.train=all"))


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    for name, content in (("a.yaml", "- 1"), ("b.yaml", "a: ["), ("c.json", "{}"), ("d.json", "x")):
        (tmp_path / name).write_text(content)
        with pytest.raises(SettingError, match=name):
            read_training(tmp_path / name)
    with pytest.raises(SettingError, match="missing"):
        read_training(tmp_path / "missing.yaml")
