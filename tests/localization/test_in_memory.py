"""Frames that are in the memory themselves: noticed by content, said, and left out on request."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from placememory import Frame, Localizer, PlaceMemory, Pose
from placememory.encoders import Encoder
from placememory.errors import SettingError
from placememory.localization import follow, localize
from placememory.memory import Where
from tests.conftest import Building, make_card, make_descriptors, run_command

DIM = 64


class Rows(Encoder):
    """Never asked: descriptors are given."""

    card = make_card(DIM)


def frames(count: int, session: str, suffix: str = "png") -> list[Frame]:
    return [
        Frame(f"{i}.{suffix}", session, i, stamp=10**9 * i, pose=Pose(float(i), 0.0))
        for i in range(count)
    ]


@pytest.fixture(params=["float32", "float16"])
def memory(request: pytest.FixtureRequest):
    made = PlaceMemory.create(":memory:", encoder=Rows.card, dtype=request.param)
    made.add(frames(30, "run1"), make_descriptors(30, DIM, seed=1))
    made.add(frames(30, "run2"), make_descriptors(30, DIM, seed=2))
    yield made
    made.close()


def noisy(rows: np.ndarray, noise: float) -> np.ndarray:
    other = rows + noise * make_descriptors(len(rows), DIM, seed=9)
    return other / np.linalg.norm(other, axis=1, keepdims=True)


def found(memory: PlaceMemory, rows: np.ndarray, given: list[Frame], **settings) -> list:
    localizer = Localizer(memory, **settings)
    seen = [localizer.observe(f, descriptor=r) for f, r in zip(given, rows, strict=True)]
    return [None if e.in_memory is None else e.in_memory.id for e in seen]


def test_a_frame_of_the_memory_is_known_by_its_content(memory: PlaceMemory) -> None:
    rows = make_descriptors(30, DIM, seed=1)
    renamed = frames(30, "again", "jpg")
    assert found(memory, rows, renamed) == [("run1", i) for i in range(30)]
    assert found(memory, noisy(rows, 2e-4), renamed) == [("run1", i) for i in range(30)]
    assert found(memory, rows, renamed, where=Where(exclude_sessions="run1")) == [None] * 30
    assert found(memory, rows, renamed, where=Where(session="run1")) == [
        ("run1", i) for i in range(30)
    ]


def test_another_precision_counts_under_the_same_name_only(memory: PlaceMemory) -> None:
    rows = noisy(make_descriptors(30, DIM, seed=1), 0.02)  # cosines around 0.9998
    assert found(memory, rows, frames(30, "x")) == [("run1", i) for i in range(30)]
    assert found(memory, rows, frames(30, "x", "jpg")) == [None] * 30
    near = noisy(make_descriptors(30, DIM, seed=1), 0.1)  # the same place seen again
    assert found(memory, near, frames(30, "x")) == [None] * 30


def test_a_growing_map_does_not_find_its_own_frames(memory: PlaceMemory) -> None:
    rows = make_descriptors(30, DIM, seed=3)
    twice = np.concatenate([rows, rows])
    assert found(memory, twice, frames(60, "x"), fusion=None, growing=True) == [None] * 60


def test_the_run_says_how_many_and_what_to_do(memory: PlaceMemory) -> None:
    given = [replace(f, read=None) for f in frames(30, "again", "jpg")]
    rows = make_descriptors(30, DIM, seed=2)
    run = follow(Localizer(memory), _steps(given, rows))
    assert dict(run.summary.in_memory) == {"run2": 30}
    assert "30 of 30 frames are in the memory itself" in str(run.warning)
    assert "--exclude-session run2" in str(run.warning)
    assert str(run.score(2.0)).startswith(str(run.warning))
    assert run.to_dict()["frames_in_the_memory"] == 30
    alone = follow(Localizer(memory, where=Where(session="run2")), _steps(given, rows))
    assert "localise another run" in str(alone.warning)
    other = follow(Localizer(memory, where=Where(exclude_sessions=["run2"])), _steps(given, rows))
    assert other.warning is None
    assert other.to_dict()["frames_in_the_memory"] == 0
    with pytest.raises(SettingError, match="no session 'run3' to leave out; there"):
        Localizer(memory, where=Where(exclude_sessions="run3"))


def _steps(given: list[Frame], rows: np.ndarray):
    from placememory.localization import Step

    return [Step(f, descriptor=r) for f, r in zip(given, rows, strict=True)]


def test_the_commands_warn_and_leave_a_session_out(
    office: Path, building: Building, tmp_path: Path
) -> None:
    truth = ("--poses", building.mapping_vertices, "--no-verify", "--out", tmp_path / "out")
    shown = run_command("localize", office, building.mapping, *truth)
    assert "40 of 40 frames are in the memory itself" in shown.err
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["frames_in_the_memory"] == 40
    lines = (tmp_path / "out/estimates.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["in_memory"] == ["mapping", 0]
    refused = run_command(
        "localize", office, building.mapping, *truth, "--exclude-session", "mapping", expect=2
    )
    assert "no place meets the filter" in refused.err

    both = tmp_path / "both.memory"
    both.write_bytes(office.read_bytes())
    run_command("build", both, building.query, "--poses", building.query_vertices)
    truth = ("--poses", building.query_vertices, "--no-verify", "--out", tmp_path / "out")
    shown = run_command("localize", both, building.query, *truth)
    assert "leave the session out with --exclude-session query" in shown.err
    left_out = ("--exclude-session", "query")
    shown = run_command("localize", both, building.query, *truth, *left_out)
    assert "in the memory itself" not in shown.err
    image = next(building.query.glob("*.png"))
    shown = run_command("query", both, image, *left_out, "--json")
    answers = json.loads(shown.out)["answers"][0]["candidates"]
    assert {candidate["session"] for candidate in answers} == {"mapping"}
    shown = run_command("figures", both, building.query, "--out", tmp_path / "figures")
    assert "in the memory itself" in shown.err


def test_localize_in_python_says_it(office: Path, building: Building) -> None:
    with PlaceMemory.open(office, readonly=True) as memory:
        run = localize(memory, building.mapping, poses=building.mapping_vertices)
        assert "40 in the memory itself" in repr(run)
        query = localize(memory, building.query, poses=building.query_vertices)
        assert query.warning is None
