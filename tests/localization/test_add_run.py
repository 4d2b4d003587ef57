"""A localised run as a new session of the memory: poses of its frames, and the drift."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from placememory import Frame, LocalizedRun, Localizer, Odometry, PlaceMemory, Pose, add_run
from placememory.errors import EncoderMismatchError, InputError, MemoryStoreError
from placememory.fusion import Belief, Hypothesis
from placememory.localization import Estimate, Summary, follow
from tests.conftest import Building, make_card, make_descriptors, run_command
from tests.localization.test_localizer import ToyEncoder, _frame, _image

DIM = 32


def line_memory(uri: str | Path = ":memory:") -> PlaceMemory:
    """Sixty places along a line, a metre apart."""
    memory = PlaceMemory.create(uri, encoder=ToyEncoder.card)
    frames = [
        Frame(f"{i}", "day", i, pose=Pose.from_yaw(float(i), 0.0, 0.0), floor="ground")
        for i in range(60)
    ]
    memory.add(frames, ToyEncoder().encode([_image(i) for i in range(60)]))
    return memory


def made_run(
    located: dict[int, Pose], count: int, motion: Odometry | None, **facts: object
) -> LocalizedRun:
    """Estimates of frames that moved alike, some of them located."""
    rows = make_descriptors(count, ToyEncoder.card.dim, seed=3)
    estimates = []
    for i in range(count):
        pose = located.get(i)
        at = None if pose is None else (pose.x, pose.y, pose.z)
        best = Hypothesis(0, ("day", 0), 1.0, at, None if pose is None else pose.yaw)
        verdict = "unknown" if pose is None else "located"
        belief = Belief(verdict, (best,), 0.95, 0.0, 0.05, i)
        frame = Frame(f"q{i}", "run", i, stamp=10**9 * i, pose=Pose(-500.0, -500.0))
        odometry = motion if i else None
        estimates.append(
            Estimate(frame, (), belief, odometry=odometry, descriptor=rows[i], **facts)
        )
    summary = Summary()
    for estimate in estimates:
        summary.add(estimate)
    return LocalizedRun(tuple(estimates), (), summary)


def added(memory: PlaceMemory, session: str = "run") -> dict[str, Pose]:
    return {p.name: p.pose for p in memory.places if p.session == session}


def test_frames_between_located_ones_follow_odometry_and_share_its_drift() -> None:
    motion = Odometry(1.1, 0.0, 0.0)  # 10 % too long
    located = {0: Pose.from_yaw(0, 0, 0.0), 20: Pose.from_yaw(20, 0, 0.0)}
    with line_memory() as memory:
        report = add_run(memory, made_run(located, 21, motion), "run", reach=12.0)
        poses = added(memory)
    assert (report.located, report.between, report.nowhere) == (2, 19, ())
    for i in range(21):
        assert poses[f"q{i}"].x == pytest.approx(i, abs=1e-6)
        assert poses[f"q{i}"].yaw == pytest.approx(0.0, abs=1e-9)
    assert report.drift.metres == pytest.approx(100 * 2.0 / 22.0)
    assert report.drift.degrees == pytest.approx(0.0, abs=1e-9)
    assert report.drift.way == pytest.approx(22.0)


def test_a_heading_that_drifts_is_measured_and_undone() -> None:
    bend = np.radians(0.5)
    motion = Odometry(1.0, 0.0, float(bend))
    located = {i: Pose.from_yaw(float(i), 0.0, 0.0) for i in range(0, 41, 10)}
    with line_memory() as memory:
        report = add_run(memory, made_run(located, 41, motion), "run")
        poses = added(memory)
    assert report.contradicted == ()
    assert report.drift.degrees == pytest.approx(50.0, rel=1e-6)
    off = [poses[f"q{i}"].distance_to(Pose(float(i), 0.0)) for i in range(41)]
    assert max(off) < 0.12  # alone it leads 0.44 m astray in ten metres


def test_drift_is_measured_though_located_poses_are_noisy() -> None:
    motion = Odometry(1.03, 0.0, 0.0)  # 3 % too long
    draw = np.random.default_rng(1).normal
    located = {i: Pose.from_yaw(i + draw(0, 0.3), draw(0, 0.3), draw(0, 0.12)) for i in range(90)}
    with line_memory() as memory:
        report = add_run(memory, made_run(located, 90, motion), "run")
    assert report.drift.metres == pytest.approx(3.0, abs=1.5)
    assert report.drift.degrees < 10.0


def test_what_is_far_from_any_located_frame_is_left_out() -> None:
    located = {i: Pose.from_yaw(float(i), 0.0, 0.0) for i in range(10, 16)}
    with line_memory() as memory:
        run = made_run(located, 60, Odometry(1.0, 0.0, 0.0))
        report = add_run(memory, run, "run", reach=5.0)
        poses = added(memory)
    assert sorted(int(name[1:]) for name in poses) == list(range(5, 21))
    assert poses["q20"].x == pytest.approx(20.0)
    assert poses["q5"].x == pytest.approx(5.0)
    assert report.nowhere == tuple(f"q{i}" for i in [*range(5), *range(21, 60)])
    assert "44 with no located one near (q0, q1, q2, q3, q4 and 39 more)" in str(report)


def test_without_odometry_only_short_gaps_are_filled_by_the_stamps() -> None:
    located = {0: Pose.from_yaw(0, 0, 0.0), 1: Pose.from_yaw(1, 0, 0.0)}
    located |= {4: Pose.from_yaw(2.5, 0, 0.6), 9: Pose.from_yaw(12.0, 0, 0.0)}
    with line_memory() as memory:
        report = add_run(memory, made_run(located, 12, None), "run")
        poses = added(memory)
    assert report.drift is None
    assert report.between == 2
    assert poses["q2"].x == pytest.approx(1.5)
    assert poses["q3"].x == pytest.approx(2.0)
    assert poses["q3"].yaw == pytest.approx(0.4)
    assert report.nowhere == ("q5", "q6", "q7", "q8", "q10", "q11")


def test_a_located_frame_that_odometry_contradicts_is_no_anchor() -> None:
    located = {i: Pose.from_yaw(float(i), 0.0, 0.0) for i in range(0, 30, 3)}
    located[15] = Pose.from_yaw(45.0, 7.0, 0.0)
    with line_memory() as memory:
        report = add_run(memory, made_run(located, 30, Odometry(1.0, 0.0, 0.0)), "run")
        poses = added(memory)
    assert report.contradicted == ("q15",)
    assert poses["q15"].x == pytest.approx(15.0)
    assert "1 located poses contradict the odometry" in str(report)


def test_a_robot_that_stands_adds_one_frame_and_bad_images_none() -> None:
    located = {i: Pose.from_yaw(3.0, 0.0, 0.0) for i in range(10)}
    with line_memory() as memory:
        run = made_run(located, 10, Odometry(0.0, 0.0, 0.0))
        blind = replace(run.estimates[0], descriptor=None, note="featureless")
        run = replace(run, estimates=(blind, *run.estimates[1:]))
        report = add_run(memory, run, "run")
        assert list(added(memory)) == ["q1"]
        assert (report.located, report.still, report.unused) == (1, 8, 1)
        [place] = [p for p in memory.places if p.session == "run"]
    assert json.loads(json.dumps(report.to_dict()))["still"] == 8
    assert place.stamp == 10**9


def test_a_walk_through_the_localizer_becomes_a_session(tmp_path: Path) -> None:
    with line_memory(tmp_path / "line.memory") as memory:
        localizer = Localizer(memory, ToyEncoder())
        frames = [_frame(5 + i, i) for i in range(30)]
        run = follow(localizer, frames)
        report = add_run(memory, run, "evening", source=tmp_path, topic="/cam")
        places = [p for p in memory.places if p.session == "evening"]
        assert len(places) == report.located + report.between > 25
        for place in places:
            assert place.pose.distance_to(frames[place.index].pose) < 1.0
            assert place.floor == "ground"
        assert memory.manifest.sources["evening"] == str(tmp_path)
        assert memory.manifest.topics == {"evening": "/cam"}
        assert localizer.refresh()
        again = follow(Localizer(memory, ToyEncoder()), frames)
        with pytest.raises(InputError, match="in the memory itself"):
            add_run(memory, again, "evening 2")
        with pytest.raises(InputError, match="has a session 'evening' already"):
            add_run(memory, run, "evening")


def test_what_cannot_be_added(tmp_path: Path) -> None:
    path = tmp_path / "line.memory"
    with line_memory(path) as memory:
        still = made_run({}, 5, None)
        with pytest.raises(InputError, match="no frame of the run is located"):
            add_run(memory, still, "run")
        with pytest.raises(InputError, match="kept no estimates"):
            add_run(memory, replace(still, estimates=()), "run")
        alone = [replace(estimate, belief=None) for estimate in still]
        with pytest.raises(InputError, match="answered alone"):
            add_run(memory, replace(still, estimates=tuple(alone)), "run")
        other = replace(still, made_by={"encoder": "x", "encoder_hash": make_card(9).hash})
        with pytest.raises(EncoderMismatchError, match="described by 'x'"):
            add_run(memory, other, "run")
        assert memory.sessions() == {"day": 60}
    with (
        PlaceMemory.open(path, readonly=True) as memory,
        pytest.raises(MemoryStoreError, match="cannot be written"),
    ):
        add_run(memory, made_run({0: Pose.from_yaw(0, 0, 0.0)}, 5, None), "run")


def test_the_command(office: Path, building: Building, tmp_path: Path) -> None:
    copied = tmp_path / "office.memory"
    copied.write_bytes(office.read_bytes())
    arguments = ("localize", copied, building.query, "--out", tmp_path / "out")
    refused = run_command(*arguments, "--fusion", "none", "--add-session", "x", expect=2)
    assert "needs a fusion" in refused.err
    refused = run_command(*arguments, "--add-session", "mapping", expect=2)
    assert "has a session 'mapping' already" in refused.err
    assert not (tmp_path / "out").exists()
    shown = run_command(*arguments, "--add-session", "evening")
    assert "frames as session 'evening'" in shown.err
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())["added"]
    with PlaceMemory.open(copied, readonly=True) as memory:
        assert memory.sessions()["evening"] == metrics["located"] + metrics["between"] > 10
        assert memory.manifest.sources["evening"] == str(building.query.resolve())
