"""The batch audit: an encoder whose recall depends on its company is found out, and marked."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml

import placememory as pm
from placememory.encoders import EncoderCard, Preprocess
from placememory.errors import EncoderError
from tests.conftest import run_command
from tests.evaluation.made import manifest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from placememory import encoders  # noqa: E402


class Pixels:
    """Pixels as a descriptor; ``sociable`` ones are blanked where the batch says so."""

    def __init__(self, name: str, *, sociable: bool, says_so: bool) -> None:
        self.sociable = sociable
        self.card = EncoderCard(
            name=name, dim=36, preprocess=Preprocess(longest=32), batch_invariant=not says_so
        )

    def encode(self, images):
        rows = np.stack([image[4::8, 4::8].reshape(-1) for image in images]).astype(np.float32)
        if self.sociable and len(rows) > 1:
            rows *= 0.01 + (np.sin(rows.sum(axis=0)) > 0.5)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def town(tmp_path_factory) -> Path:
    """24 places and 8 queries, two of them off the map; honest encoders, and one that lies."""
    for name, sociable, says_so in (
        ("audit-alone", False, False),
        ("audit-sociable", True, True),
        ("audit-secretly-sociable", True, False),
        ("audit-modest", False, True),
    ):
        pm.register_encoder(name, partial(Pixels, name, sociable=sociable, says_so=says_so))
    folder = tmp_path_factory.mktemp("audit")
    manifest(folder / "data", places=24, queries=8, first=18)
    return folder


def _config(town: Path, output: str, *names: str, **system: str) -> Path:
    config = {
        "name": "audit", "output": output, "cache": "cache",
        "datasets": {"town": {"root": "data/manifest.csv", "radius": 1.0,
                              "pairs": [{"reference": "map", "query": "run"}]}},
        "systems": [{"encoder": name, **system} for name in names],
    }  # fmt: skip
    path = town / f"{output}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def _by_encoder(shown: str) -> dict[str, dict]:
    return {run["system"]["encoder"]: run for run in json.loads(shown)}


def test_only_encoders_that_say_so_are_audited_and_those_that_move_are_marked(town: Path) -> None:
    names = ("audit-alone", "audit-sociable", "audit-modest")
    path = _config(town, "auto", *names)
    runs = _by_encoder(run_command("evaluate", path, "--no-figures", "--json").out)
    assert "batch_audit" not in runs["audit-alone"]
    [audit] = runs["audit-sociable"]["batch_audit"]
    assert audit["moves"]
    assert audit["batches"]["1"]["recall@1"] == 1.0  # alone, the same images are found again
    assert audit["batches"]["16"]["recall@1"] < 1.0
    assert audit["batches"]["16, shuffled"] != audit["batches"]["16"]
    assert audit["counted"] == 6
    assert audit["greatest_cosine_distance"] > 0.01
    assert not runs["audit-modest"]["batch_audit"][0]["moves"]
    assert runs["audit-modest"]["batch_audit"][0]["greatest_cosine_distance"] < 1e-6

    shown = run_command("evaluate", path, "--no-figures").out
    assert "audit-sociable †" in shown
    assert "audit-alone †" not in shown
    shown = run_command("results", town / "auto", "--baseline", "audit-sociable")
    assert shown.out.count("audit-sociable †") == 1
    assert "against audit-sociable †" in shown.err
    assert "at batch 1 / 16 / 16, shuffled (6 queries): it moves with the batch" in shown.err
    with (town / "auto/overall_results.csv").open() as file:
        moves = {row["frontend_name"]: row["moves_with_batch"] for row in csv.DictReader(file)}
    assert moves == {"audit-alone": "0", "audit-sociable": "1", "audit-modest": "0"}


def test_all_audits_what_the_card_hides_and_runs_without_it_again(town: Path) -> None:
    path = _config(town, "all", "audit-secretly-sociable")
    run = _by_encoder(run_command("evaluate", path, "--no-figures", "--json").out)
    assert "batch_audit" not in run["audit-secretly-sociable"]
    again = run_command("evaluate", path, "--no-figures", "--json", "--batch-audit", "all")
    assert "were there already" not in again.err
    assert _by_encoder(again.out)["audit-secretly-sociable"]["batch_audit"][0]["moves"]
    third = run_command("evaluate", path, "--no-figures", "--json", "--batch-audit", "all")
    assert "1 of 1 runs were there already" in third.err


def test_figures_carry_the_mark(town: Path, monkeypatch) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'figures' is not installed")
    from placememory import figures

    titles = []
    draw = figures.draw_sequence

    def note(*values, title):
        titles.append(title)
        return draw(*values, title=title)

    monkeypatch.setattr(figures, "draw_sequence", note)
    run_command("evaluate", _config(town, "drawn", "audit-sociable"))
    assert titles == ["town: run on map: audit-sociable †"]


def test_windows_of_pooled_frames_are_audited(town: Path) -> None:
    config = yaml.safe_load(_config(town, "windows", "audit-sociable").read_text())
    config["models"] = {"pooled": {"encoder": config.pop("systems")[0]["encoder"]}}
    config["settings"] = {"length": 3, "strategies": ["last-frame"]}
    path = town / "windows.yaml"
    path.write_text(yaml.safe_dump(config))
    [run] = json.loads(run_command("evaluate-sequences", path, "--json", "--no-page").out)
    [audit] = run["batch_audit"]
    assert audit["moves"]
    assert audit["counted"] == run["strategies"]["last-frame"]["counted"]
    shown = run_command("evaluate-sequences", path, "--no-page")
    assert "†" in shown.out


def test_where_no_query_counts_nothing_moves(town: Path) -> None:
    config = yaml.safe_load(_config(town, "far", "audit-sociable").read_text())
    manifest(town / "far-data", places=4, queries=4, first=50)
    config["datasets"]["town"]["root"] = "far-data/manifest.csv"
    (town / "far.yaml").write_text(yaml.safe_dump(config))
    run = _by_encoder(run_command("evaluate", town / "far.yaml", "--no-figures", "--json").out)
    [audit] = run["audit-sociable"]["batch_audit"]
    assert audit["counted"] == 0
    assert audit["batches"]["16"]["recall@1"] is None
    assert not audit["moves"]


def test_off_and_unknown_words(town: Path) -> None:
    path = _config(town, "off", "audit-sociable")
    run = _by_encoder(
        run_command("evaluate", path, "--no-figures", "--json", "--batch-audit", "off").out
    )
    assert "batch_audit" not in run["audit-sociable"]
    shown = run_command("evaluate", path, "--batch-audit", "some", expect=2)
    assert "auto, all or off" in shown.err


def test_windows_in_one_batch_are_as_alone_unless_the_network_mixes_them(photos) -> None:
    encoder = encoders.create("jist", "random", length=2)
    windows = [photos[:2], photos[1:3], photos[2:4]]
    alone = np.stack([encoder.encode_window(window).sequence for window in windows])
    np.testing.assert_allclose(encoder.encode_together(windows), alone, atol=1e-5)
    plain = encoder.module.window
    encoder.module.window = lambda states: plain(states + states.mean(0, keepdim=True))
    assert np.abs(encoder.encode_together(windows) - alone).max() > 1e-3
    with pytest.raises(EncoderError, match="2 frames of one size"):
        encoder.encode_together([photos[:2], photos[:3]])


@pytest.fixture
def photos():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(4)]


def test_windows_and_frames_stand_in_one_evaluation(town: Path) -> None:
    config = yaml.safe_load(_config(town, "both", "audit-sociable").read_text())
    config["systems"].append({"encoder": "audit-sociable", "kind": "windows"})
    config["settings"] = {"window": 3}
    path = town / "both.yaml"
    path.write_text(yaml.safe_dump(config))
    shown = run_command("evaluate", path, "--no-figures")
    assert shown.out.count("†") == 4  # one row of frames, three ground truths of windows
    assert run_command("results", town / "both").out.count("†") == 4
