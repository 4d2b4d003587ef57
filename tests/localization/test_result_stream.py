"""Result files grow line by line, and end as if they were written at once."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from placememory.errors import PlaceMemoryError
from placememory.frames import Frame
from placememory.fusion import Belief, Hypothesis
from placememory.localization import Estimate, LocalizedRun, RunWriter, Summary
from placememory.memory import Candidate, Place
from tests.conftest import make_frames

FILES = ("trajectory.tum", "estimates.csv", "test_to_vertex_matches.csv", "metrics.json")


def _place(frame: Frame) -> Place:
    return Place("ref", frame.index, f'odd, "{frame.name}"', pose=frame.pose)


def _located(place: Place) -> Belief:
    assert place.pose is not None
    here = Hypothesis(0, place.id, 0.9, (place.pose.x, place.pose.y), place.pose.yaw)
    return Belief("located", (here,), 0.9, 0.0, 0.1, 3)


def _estimates(count: int = 12, stamps: bool = True) -> list[Estimate]:
    rng = np.random.default_rng(3)
    places, estimates = [_place(frame) for frame in make_frames(6)], []
    for frame in make_frames(count, "run2"):
        frame = replace(
            frame, name=f"caf\udce9/{frame.name}", stamp=frame.stamp if stamps else None
        )
        order = rng.permutation(6)[: 0 if frame.index == 4 else int(rng.integers(1, 6))]
        found = [Candidate(places[i], 0.9 - 0.1 * r, r + 1) for r, i in enumerate(order)]
        note = "" if found else "unreadable"
        belief = _located(found[0].place) if found else None
        estimates.append(
            Estimate(frame, tuple(found), belief, note=note, milliseconds={"encode": 2.0})
        )
    return estimates


def _run(estimates: list[Estimate]) -> LocalizedRun:
    summary = Summary()
    for estimate in estimates:
        summary.add(estimate)
    return LocalizedRun(tuple(estimates), [], summary)


@pytest.mark.parametrize("stamps", [True, False], ids=["stamps", "no stamps"])
def test_the_files_hold_every_frame_and_the_counts(tmp_path: Path, stamps: bool) -> None:
    estimates = _estimates(stamps=stamps)
    with RunWriter(tmp_path, radius=2.0, heading=30.0) as writer:
        for estimate in estimates:
            writer.write(estimate)
        metrics = writer.finish(_run(estimates), None, {"ended": None})
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert (metrics["frames"], metrics["ended"]) == (12, None)
    lines = (tmp_path / "estimates.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == [e.frame.name for e in estimates]
    posed = sum(estimate.pose is not None for estimate in estimates)
    trajectory = (tmp_path / "trajectory.tum").read_text().splitlines()
    assert sum(not line.startswith("#") for line in trajectory) == posed
    with (tmp_path / "estimates.csv").open(errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [e.frame.name for e in estimates]
    for row, estimate in zip(rows, estimates, strict=True):
        correct = estimate.judge_candidates(2.0, 30.0)
        assert row["correct"] == (str(int(correct[0])) if correct else "")


def test_each_line_is_there_before_the_next_frame(tmp_path: Path) -> None:
    with RunWriter(tmp_path, radius=2.0) as stream:
        for count, estimate in enumerate(_estimates(), start=1):
            stream.write(estimate)
            assert len((tmp_path / "estimates.jsonl").read_bytes().splitlines()) == count
            assert len((tmp_path / "estimates.csv").read_bytes().splitlines()) == count + 1
            assert len((tmp_path / FILES[2]).read_bytes().splitlines()) == count + 1


def test_the_comment_on_stamps_stands_before_the_first_frame_without(tmp_path: Path) -> None:
    candidate = Candidate(_place(make_frames(1)[0]), 0.5, 1)
    frames = [
        Frame(f"{i}", "r", i, stamp=stamp) for i, stamp in enumerate([10**9, None, None, 2 * 10**9])
    ]
    estimates = [Estimate(frame, (candidate,), _located(candidate.place)) for frame in frames]
    with RunWriter(tmp_path, radius=2.0) as stream:
        for estimate in estimates:
            stream.write(estimate)
    lines = (tmp_path / "trajectory.tum").read_text().splitlines()
    assert [line.split()[0] for line in lines] == [
        "1.000000000", "#", "1.000000000", "2.000000000", "2.000000000"
    ]  # fmt: skip


def test_an_earlier_run_leaves_nothing_behind(tmp_path: Path) -> None:
    with RunWriter(tmp_path, radius=2.0) as writer:
        writer.finish(_run(_estimates()), None)
    with RunWriter(tmp_path, radius=2.0):
        assert not (tmp_path / "metrics.json").exists()
        assert (tmp_path / "trajectory.tum").read_bytes() == b""


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PlaceMemoryError, match="the results cannot be written"):
        RunWriter(tmp_path / "file", radius=2.0)


def test_a_full_disk_is_told() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    stream = RunWriter.__new__(RunWriter)
    stream._folder = Path("answers")
    with Path("/dev/full").open("wb", buffering=0) as full:
        stream._files = {"x": full}
        with pytest.raises(PlaceMemoryError, match=r"answers: .*No space left"):
            stream._append("x", "line\n")


_ENDLESS = """
import sys
from pathlib import Path
from tests.localization.test_result_stream import RunWriter, _estimates
with RunWriter(Path(sys.argv[1]), radius=2.0) as stream:
    while True:
        for estimate in _estimates():
            stream.write(estimate)
            print("written", flush=True)
"""


def test_a_killed_process_leaves_whole_lines(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS, tmp_path], cwd=root, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        for _ in range(40):
            assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    lines = (tmp_path / "estimates.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) >= 40
    assert all(line.endswith("\n") and json.loads(line)["name"] for line in lines)
    for name in FILES[1:3]:
        with (tmp_path / name).open(errors="surrogateescape", newline="") as file:
            text = file.read()
        rows = list(csv.reader(text.splitlines()))
        assert text.endswith("\n")
        assert {len(row) for row in rows} == {len(rows[0])}
        assert len(lines) - 1 <= len(rows) - 1 <= len(lines)
    for line in (tmp_path / "trajectory.tum").read_text().splitlines():
        assert len(line.split()) == 8


def test_a_summary_counts_without_keeping() -> None:
    estimates = _estimates()
    summary = _run(estimates).summary
    assert summary.frames == len(estimates)
    assert summary.with_pose == sum(bool(e.candidates) for e in estimates)
    assert str(summary) == "11 located, 1 alone, 1 unreadable"
    first = [e.candidates[0].similarity for e in estimates if e.candidates]
    assert summary.to_dict()["similarity_per_rank"]["1"] == pytest.approx(
        {"mean": np.mean(first), "min": min(first), "max": max(first)}
    )
    assert summary.to_dict()["ms_per_answer"] == pytest.approx(2.0)
    assert Summary().to_dict()["ms_per_answer"] is None
