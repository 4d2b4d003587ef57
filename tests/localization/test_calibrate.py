"""Calibration: fitted on a run, stored in the memory, used by the localizer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from placememory import Frame, Localizer, PlaceMemory, Pose
from placememory.errors import InputError, SettingError
from placememory.fusion import PlaceTable
from placememory.localization.calibration import Calibration, calibrate, calibrate_on_session
from tests.conftest import Building, make_card, run_command
from tests.localization.test_localizer import DIM, ToyEncoder, _image


def _world(noise: float, seed: int = 0):
    """A line of 80 places, and the similarities of a walk along it; views overlap a little."""
    rng = np.random.default_rng(seed)
    views = rng.normal(size=(80, 64))
    views = views + 0.6 * np.roll(views, 1, axis=0)
    walk = views + noise * rng.normal(size=views.shape)
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    walk /= np.linalg.norm(walk, axis=1, keepdims=True)
    positions = np.column_stack([np.arange(80.0), np.zeros(80)])
    table = PlaceTable.from_arrays(positions, yaw=np.zeros(80))
    return table, walk @ views.T, positions


@pytest.mark.parametrize("noise", [1.0, 2.0])
def test_the_precision_asked_for_is_reached(noise: float) -> None:
    table, columns, truth = _world(noise)
    report = calibrate(table, columns, truth, radius=1.5, precision=0.95)
    assert report.reached
    assert report.after.precision.value >= 0.95
    assert report.after.false_locations <= 0.1
    assert report.after.off_map > 5
    assert report.calibration.frames == 80
    assert report.after.recall.value >= report.before.recall.value - 0.05


def test_a_session_is_asked_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "line.memory"
    with PlaceMemory.create(path, encoder=ToyEncoder.card) as memory:
        for session, noise in (("first", 0.0), ("second", 40.0)):
            frames = [Frame(f"{i}", session, i, pose=Pose(float(i), 0.0)) for i in range(60)]
            images = [_image(i, noise, seed=i) for i in range(60)]
            memory.add(frames, ToyEncoder().encode(images))
        report = calibrate_on_session(memory, "second", radius=1.5)
        assert Calibration.of(memory) is None
        report.calibration.store(memory)
        with pytest.raises(InputError, match="another one"):
            calibrate_on_session(memory, "third")
    with PlaceMemory.open(path, readonly=True) as memory:
        kept = Calibration.of(memory)
        assert kept == report.calibration
        fusion = Localizer(memory, ToyEncoder())._fusion
        assert fusion.observation.scale == kept.scale
        other = Localizer(memory, ToyEncoder(), settings={"confident": 0.55})._fusion
        assert other._confident == 0.55


def test_what_cannot_be_calibrated(tmp_path: Path) -> None:
    table, columns, truth = _world(1.0)
    with pytest.raises(SettingError, match="precision"):
        calibrate(table, columns, truth, precision=0.0)
    bare = PlaceTable.from_arrays(np.full((80, 2), np.nan))
    with pytest.raises(InputError, match="needs poses"):
        calibrate(bare, columns, truth)
    with (
        PlaceMemory.create(tmp_path / "a.memory", encoder=make_card(DIM)) as memory,
        pytest.raises(InputError, match="needs that session"),
    ):
        calibrate_on_session(memory, "x")


def test_the_command(office: Path, building: Building, tmp_path: Path) -> None:
    copied = tmp_path / "office.memory"
    copied.write_bytes(office.read_bytes())
    shown = run_command(
        "calibrate", copied, "--queries", building.query, "--poses", building.query_vertices,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert "expected calibration error" in shown.out
    assert "stored with the memory" in shown.err
    assert (tmp_path / "out/reliability.png").stat().st_size > 5000
    numbers = json.loads((tmp_path / "out/calibration.json").read_text())
    assert set(numbers) == {"before", "after"}
    with PlaceMemory.open(copied, readonly=True) as memory:
        assert Calibration.of(memory) is not None
    for arguments in ((), ("--queries", building.query), ("--queries", "x", "--session", "y")):
        run_command("calibrate", copied, *arguments, expect=2)
