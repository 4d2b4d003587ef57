"""Pruning keeps what stands for the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory import Frame, PlaceMemory, Pose
from placememory.errors import SettingError
from placememory.memory import prune
from placememory.memory.transfer import choose
from tests.conftest import make_card, run_command


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 14))
def test_the_choice_is_greedy_facility_location(seed: int, total: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(total, 4)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    positions = rng.uniform(0, 6, (total, 2))
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    similar = np.where(apart <= 2.0, (1 + rows.astype(np.float64) @ rows.T) / 2, 0.0)
    kept: list[int] = []
    while len(kept) < min(count, total):
        covered = similar[kept].max(axis=0) if kept else np.zeros(total)
        gains = np.maximum(similar - covered, 0).sum(axis=1)
        gains[kept] = -1
        kept.append(int(np.argmax(gains.round(9))))
    found = choose(rows, positions, count, radius=2.0)
    value = similar[found].max(axis=0).sum()
    assert value == pytest.approx(similar[kept].max(axis=0).sum(), abs=1e-6)


@pytest.fixture
def office(tmp_path: Path) -> Path:
    """Twenty spots, five metres apart, each seen five times; a session without poses."""
    rng = np.random.default_rng(0)
    spots = rng.normal(size=(20, 16))
    path = tmp_path / "office.memory"
    with PlaceMemory.create(path, encoder=make_card(16)) as memory:
        for lap in range(5):
            frames = [
                Frame(f"{lap}/{i}", f"lap{lap}", i, pose=Pose(5.0 * i, 0.1 * lap))
                for i in range(20)
            ]
            rows = spots + 0.2 * rng.normal(size=spots.shape)
            memory.add(frames, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("f4"))
        extra = rng.normal(size=(6, 16))
        extra /= np.linalg.norm(extra, axis=1, keepdims=True)
        memory.add([Frame(f"x/{i}", "bare", i) for i in range(6)], extra.astype("f4"))
    return path


def test_every_spot_keeps_a_place_and_the_recall(office: Path, tmp_path: Path) -> None:
    report = prune(office, tmp_path / "small.memory", places=26)
    assert (report.before, report.after) == (106, 26)
    with PlaceMemory.open(tmp_path / "small.memory", readonly=True) as small:
        spots = {place.pose.x for place in small.places if place.pose is not None}
        assert len(spots) == 20
        assert small.manifest.frame_id == "map"
    with PlaceMemory.open(office, readonly=True) as source:
        assert len(source) == 106
    assert report.recall_before > 0.9
    assert report.recall_after >= report.recall_before - 0.1
    assert "26 of 106 places kept" in str(report)


def test_a_budget_in_megabytes(office: Path, tmp_path: Path) -> None:
    report = prune(office, tmp_path / "small.memory", megabytes=30 * 16 * 4 / 1e6)
    assert report.after == 30
    assert prune(office, tmp_path / "same.memory", places=1000).after == 106


def test_what_is_refused(office: Path, tmp_path: Path) -> None:
    for budget in ({}, {"places": 3, "megabytes": 1.0}, {"places": 0}, {"megabytes": 1e-9}):
        with pytest.raises(SettingError, match="budget"):
            prune(office, tmp_path / "new.memory", **budget)
    assert not (tmp_path / "new.memory").exists()
    with pytest.raises(SettingError, match="is there already"):
        prune(office, office, places=3)


def test_the_command(office: Path, tmp_path: Path) -> None:
    shown = run_command("prune", office, tmp_path / "small.memory", "--places", 25)
    assert "25 of 106 places kept" in shown.err
