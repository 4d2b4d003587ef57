"""Whole trainings: better weights, exact resuming, checkpoints, an early end."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from placememory import build
from placememory.encoders import create
from placememory.errors import InputError, SettingError
from placememory.frames import list_frames
from placememory.memory import PlaceMemory
from placememory.training import Training, read_result, resume, train
from placememory.training.run import BEST, LAST, RunFolder, find_checkpoint, read_checkpoint_folder
from placememory.training.sampling import Position
from placememory.training.trainer import Trainer
from tests.training.made import losses, training, world

ROOT = Path(__file__).resolve().parents[2]
CACHED = {
    "loss": {"kind": "triplet"},
    "mining": {"kind": "cached", "queries": 8, "negatives": 30, "per_query": 2, "refresh": 4},
    "optimization": {"batch": 2, "steps_per_epoch": 5, "epochs": 2},
}
PLACES = {
    "encoder": {"train": "last:1", "batchnorm": "trained"},
    "augment": {"colour": 0.3},
    "optimization": {"steps_per_epoch": 4, "epochs": 2},
}


class StopError(Exception):
    """Ends a training in its middle."""


def stopped(config: Training, after: int) -> Path:
    """The folder of a run that ended while it took a step."""
    folder = RunFolder.new(config)
    seen = 0

    def told(label: str, _done: int, _total: int) -> None:
        nonlocal seen
        seen += label.startswith("epoch")
        if seen > after:
            raise StopError

    with pytest.raises(StopError):
        Trainer(config, progress=told).run(folder)
    return folder.path


@pytest.mark.parametrize("changes", [PLACES, CACHED], ids=["places", "cached"])
def test_stopped_and_resumed_equals_uninterrupted(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    """Bit for bit: weights, the optimiser's state, and the log but for the time."""
    config = training(tmp_path, **changes, running={"save_every": 3})
    whole = train(config)
    state = read_checkpoint_folder(find_checkpoint(whole.folder))
    for steps in (2, config.optimization.steps_per_epoch):
        again = resume(stopped(config, steps))
        assert losses(again.folder) == losses(whole.folder)
        for name in (BEST, LAST):
            _assert_equal(load_file(again.folder / name), load_file(whole.folder / name))
        other = read_checkpoint_folder(find_checkpoint(again.folder))
        begun = Position()
        assert replace(other.progress, position=begun) == replace(state.progress, position=begun)
        for number, slots in state.optimizer.items():
            _assert_equal(other.optimizer[number], slots)
        shutil.rmtree(again.folder)


def _assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert set(one) == set(other)
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    changes = {"optimization": {"steps_per_epoch": 4, "epochs": 2}, "running": {"save_every": 2}}
    config = training(tmp_path, **changes)
    whole = train(config)
    file = tmp_path / "config.yaml"
    values = config.model_dump(mode="json") | {"name": "killed", "output": str(tmp_path / "killed")}
    file.write_text(yaml.safe_dump(values))
    process = subprocess.Popen(
        [sys.executable, "-m", "placememory", "train", str(file)],
        cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    folder = _run_with_steps(tmp_path / "killed", 3, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(losses(folder)) < len(losses(whole.folder)) or not (folder / LAST).exists()
    again = resume(folder)
    assert losses(again.folder) == losses(whole.folder)
    _assert_equal(load_file(folder / LAST), load_file(whole.folder / LAST))


def _run_with_steps(output: Path, steps: int, process: subprocess.Popen[bytes]) -> Path:
    """The folder of a run as soon as it took some steps."""
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        for log in output.glob("*/log.jsonl"):
            if sum('"loss"' in line for line in log.read_text().splitlines()) >= steps:
                return log.parent
        time.sleep(0.005)
    raise AssertionError(f"no run took {steps} steps; it ended with {process.poll()}")


def test_a_checkpoint_that_is_cut_off_in_writing_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from placememory.training import run as _checkpoint

    config = training(tmp_path, optimization={"epochs": 1, "steps_per_epoch": 1})
    folder = train(config).folder
    before = find_checkpoint(folder)
    kept = read_checkpoint_folder(before)

    def cut_off(*_: object, **__: object) -> None:
        raise StopError

    monkeypatch.setattr(_checkpoint, "save_file", cut_off)
    with pytest.raises(StopError):
        _checkpoint.save_checkpoint(folder, kept)
    assert find_checkpoint(folder) == before
    _assert_equal(read_checkpoint_folder(before).model, kept.model)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "progress.json"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, name: str) -> None:
    config = training(tmp_path, optimization={"epochs": 1, "steps_per_epoch": 1})
    folder = train(config).folder
    damaged = find_checkpoint(folder) / name
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    with pytest.raises(InputError, match="damaged"):
        resume(folder)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of a training"):
        resume(tmp_path)
    with pytest.raises(InputError, match="no validation yet"):
        read_result(tmp_path)


def test_the_best_weights_are_used_at_once(tmp_path: Path) -> None:
    config = training(tmp_path, data={"test": [{"root": str(tmp_path / "validation")}]})
    result = train(config)
    assert result.best["recall@1"] > result.start["recall@1"]
    assert result.test["recall@1"] == result.best["recall@1"]  # the same images
    assert json.loads((result.folder / "result.json").read_text()) == result.to_dict()
    assert "of the test" in str(result)
    encoder = create("cosplace", weights=result.weights, dim=32)
    frames = list_frames(tmp_path / "validation")
    build(tmp_path / "made.memory", frames, encoder=encoder).close()
    with PlaceMemory.open(tmp_path / "made.memory", readonly=True) as memory:
        assert len(memory) == len(frames)


def test_it_ends_where_nothing_gets_better(tmp_path: Path) -> None:
    still = {"lr": 1e-12, "epochs": 6, "steps_per_epoch": 1, "patience": 2}
    result = train(training(tmp_path, optimization=still))
    assert (result.epochs, result.best_epoch, result.steps) == (2, 0, 2)
    assert result.difference.difference.value == 0.0
    assert resume(result.folder).epochs == 2


def test_the_test_is_looked_at_once(tmp_path: Path) -> None:
    config = training(
        tmp_path,
        data={"test": [{"root": str(tmp_path / "validation")}]},
        optimization={"epochs": 1, "steps_per_epoch": 1},
    )
    folder = train(config).folder
    resume(folder)
    assert [sorted(line) for line in losses(folder)].count(["step", "test"]) == 1
    assert "test" in losses(folder)[-1]


def test_a_loss_that_is_no_number_ends_it(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"smaller|clip") as error:
        train(training(tmp_path, optimization={"lr": 1e30, "steps_per_epoch": 5, "warmup": 0.0}))
    assert "--resume" in error.value.__notes__[0]


def test_clusters_start_from_images(tmp_path: Path) -> None:
    few = {
        part: [{"root": str(world(tmp_path / f"few_{part}", places=8, traverses=2, seed=seed))}]
        for seed, part in enumerate(("train", "validation"))
    }
    config = training(
        tmp_path,
        data=few,
        encoder={"name": "lite-net", "options": {"words": 4, "dim": 8}, "initialise": True},
        optimization={"epochs": 1, "steps_per_epoch": 1, "lr": 1e-12},
        mining={"places": 2},
        running={"keep_epochs": True},
    )
    folder = train(config).folder
    start = load_file(folder / "epoch_000.safetensors")
    random = create("lite-net", "random", words=4, dim=8).module.state_dict()
    assert not torch.allclose(start["head.words"], random["head.words"], atol=0.01)
    assert torch.equal(start["trunk.conv_stem.weight"], random["trunk.conv_stem.weight"])
    assert (folder / "epoch_001.safetensors").is_file()


def test_events_are_written(tmp_path: Path) -> None:
    config = training(
        tmp_path, optimization={"epochs": 1, "steps_per_epoch": 2}, running={"tensorboard": True}
    )
    folder = train(config).folder
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert {"loss", "active", "lr", "recall@1", "recall@5"} <= set(events.Tags()["scalars"])
    assert events.Tags()["images"] == ["windows"]
    logged = [line["loss"] for line in losses(folder) if "loss" in line]
    assert [e.value for e in events.Scalars("loss")] == pytest.approx(logged)
