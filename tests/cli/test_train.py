"""``placememory train``: dry run, changes, results, resuming, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.conftest import run_command
from tests.training.made import training

QUICK = {"optimization": {"epochs": 1, "steps_per_epoch": 2}}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "made.yaml"
    path.write_text(yaml.safe_dump(training(tmp_path, **QUICK).model_dump(mode="json")))
    return path


def runs(config: Path) -> list[Path]:
    return sorted((config.parent / "runs").glob("*-made-cosplace"))


def test_a_dry_run_writes_nothing(config: Path) -> None:
    printed = run_command("train", config, "--dry-run", "encoder.train=all").out
    assert "windows to validate on" in printed
    assert "11,192,929" in printed  # parameters trained
    found = json.loads(run_command("train", config, "--dry-run", "--json").out)
    assert (found["frames"], found["steps"], found["trained"]) == (72, 2, 16417)
    assert found["hours"] > 0
    assert not runs(config)


def test_a_dry_run_mines_among_a_few(config: Path) -> None:
    cached = ("loss.kind=triplet", "mining={kind: cached, per_query: 2}", "optimization.batch=2")
    found = json.loads(run_command("train", config, "--dry-run", "--json", *cached).out)
    assert found["mining_seconds"] > 0
    assert found["validation_seconds"] > 0


def test_changes_results_and_resuming(config: Path) -> None:
    result = json.loads(run_command("train", config, "optimization.epochs=2", "--json").out)
    (run,) = runs(config)
    assert result["folder"] == str(run)
    assert (result["epochs"], result["steps"]) == (2, 4)
    assert yaml.safe_load((run / "config.yaml").read_text())["optimization"]["epochs"] == 2
    assert (run / "training.png").stat().st_size > 10_000
    printed = run_command("train", "--resume", run).out
    assert "recall@1 at the start" in printed
    assert str(run / "best.safetensors") in printed
    assert json.loads((run / "result.json").read_text()) == result


def test_without_matplotlib_there_is_no_picture(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from placememory.training import run as _folder

    monkeypatch.setattr(_folder, "find_spec", lambda _name: None)
    run_command("train", config)
    assert not (runs(config)[0] / "training.png").exists()


def test_what_cannot_be_is_said(config: Path, tmp_path: Path) -> None:
    assert "give a configuration" in run_command("train", expect=2).err
    both = run_command("train", config, "--resume", tmp_path, expect=2)
    assert "give a configuration" in both.err
    assert (
        "--resume goes on" in run_command("train", "--dry-run", "--resume", tmp_path, expect=2).err
    )
    assert "no folder of a training" in run_command("train", "--resume", tmp_path, expect=2).err
    wrong = run_command("train", config, "optimization.rate=1", expect=2)
    assert "made.yaml: optimization.rate" in wrong.err
    assert "lite-vlad is fitted" in run_command(
        "train", config, "encoder={name: lite-vlad}", expect=1
    ).err  # fmt: skip


@pytest.mark.parametrize("interrupted", [True, False])
def test_a_run_that_ends_early_says_how_to_go_on(
    config: Path, monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    from placememory.cli import _Interrupted
    from placememory.errors import ImageError
    from placememory.training.step import Stepper

    def ends(*_: object) -> None:
        raise _Interrupted if interrupted else ImageError("a.png: cannot be read")

    monkeypatch.setattr(Stepper, "run", ends)
    err = run_command("train", config, expect=1 if interrupted else 2).err
    (run,) = runs(config)
    assert f"placememory train --resume {run}" in err
    assert ("interrupted" if interrupted else "a.png") in err
    monkeypatch.undo()
    run_command("train", "--resume", run)
