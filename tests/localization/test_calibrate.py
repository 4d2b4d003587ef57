"""Calibration: fitted on a run, stored in the memory, used by the localizer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from placememory import (
    Frame,
    Localizer,
    Odometry,
    PlaceMemory,
    Pose,
    list_frames,
    read_poses,
)
from placememory.errors import InputError, SettingError
from placememory.localization import (
    Calibration,
    CalibrationReport,
    Step,
    calibrate,
    calibrate_on_run,
    calibrate_on_session,
    follow,
)
from placememory.memory import Where
from tests.conftest import Building, make_card, make_descriptors, run_command
from tests.localization.test_localizer import ToyEncoder, _image

DIM = 64


def _frame(session: str, i: int, pose: Pose | None) -> Frame:
    return Frame(f"{session}/{i}", session, i, stamp=10**9 * i, pose=pose)


def _world(noise: float, seed: int = 0) -> tuple[PlaceMemory, list[Step]]:
    """A line of 80 places, and a walk along it; views overlap a little."""
    rng = np.random.default_rng(seed)
    views = rng.normal(size=(80, DIM))
    views = views + 0.6 * np.roll(views, 1, axis=0)
    walk = (views + noise * rng.normal(size=views.shape)).astype(np.float32)
    memory = PlaceMemory.create(":memory:", encoder=make_card(DIM))
    poses = [Pose.from_yaw(float(i), 0.0, 0.0) for i in range(80)]
    memory.add([_frame("map", i, pose) for i, pose in enumerate(poses)], views)
    steps = [
        Step(_frame("run", i, pose), Odometry(1.0, 0.0, 0.0) if i else None, row)
        for i, (pose, row) in enumerate(zip(poses, walk, strict=True))
    ]
    return memory, steps


@pytest.mark.parametrize("noise", [1.0, 2.0])
def test_the_precision_asked_for_is_reached(noise: float) -> None:
    memory, steps = _world(noise)
    bare = [replace(step, odometry=None) for step in steps]
    report = calibrate(memory, bare, radius=1.5, precision=0.95)
    assert report.reached
    assert report.refusal is None
    assert report.after.precision.value >= 0.95
    assert report.after.false_locations <= 0.1
    assert report.after.off_map > 5
    assert report.calibration.frames == 80
    assert report.after.recall.value >= report.before.recall.value - 0.05
    assert Calibration.of(memory) is None
    report.store(memory)
    assert Calibration.of(memory) == report.calibration


def test_odometry_and_gaps_are_replayed() -> None:
    memory, steps = _world(2.0)
    blind = [
        replace(step, descriptor=None) if i % 10 == 9 else step for i, step in enumerate(steps)
    ]
    unknown = [
        replace(step, frame=replace(step.frame, pose=None)) if i % 10 == 4 else step
        for i, step in enumerate(blind)
    ]
    report = calibrate(memory, unknown, radius=1.5, precision=0.9)
    assert report.calibration.frames == 72
    assert report.before.frames == 2 * 72  # the whole map, and one with a hole
    without = calibrate(memory, [replace(s, odometry=None) for s in unknown], radius=1.5)
    assert without.before.calibration_error != report.before.calibration_error


def test_the_covariance_is_scaled_to_what_it_covers() -> None:
    memory, steps = _world(1.0)
    report = calibrate(memory, steps, radius=1.5, precision=0.9)
    report.store(memory)
    stored = report.calibration
    scaled = Localizer(memory)
    plain = Localizer(memory, calibrated=False, settings=stored.settings())
    inside = []
    for step in steps:
        one, other = next(plain.run([step])), next(scaled.run([step]))
        wider = other.belief.covariance
        assert np.allclose(stored.widen(one.belief.covariance), wider, equal_nan=True)
        if other.verdict == "located":
            off = np.array(other.belief.position[:2]) - step.frame.pose.position[:2]
            inside.append(off @ np.linalg.solve(wider[:2, :2], off) <= 5.992)
    assert 0.9 <= np.mean(inside) <= 1.0


def test_scales_follow_the_errors() -> None:
    memory, steps = _world(1.0)
    tight = calibrate(memory, steps, radius=3.0, precision=0.9)
    pushed = [
        replace(
            step,
            frame=replace(
                step.frame, pose=Pose.from_yaw(step.frame.pose.x, 2.0 * (i % 2) - 1.0, 0.6)
            ),
        )
        for i, step in enumerate(steps)
    ]
    loose = calibrate(memory, pushed, radius=3.0, precision=0.9)
    assert loose.calibration.covariance_scale > 2 * tight.calibration.covariance_scale
    assert loose.calibration.yaw_scale > 2 * tight.calibration.yaw_scale
    assert loose.after.coverage.position[-1].value < tight.after.coverage.position[-1].value


def test_what_does_not_reach_its_target_is_not_stored() -> None:
    memory, steps = _world(1.0)
    rng = np.random.default_rng(5)
    shuffled = [
        replace(step, descriptor=steps[int(rng.integers(80))].descriptor, odometry=None)
        for step in steps
    ]
    report = calibrate(memory, shuffled, radius=1.5, precision=1.0)
    assert not report.reached
    assert "no threshold reaches a precision of 100 %" in report.refusal
    with pytest.raises(InputError, match="not stored: no threshold"):
        report.store(memory)
    assert Calibration.of(memory) is None


def test_what_is_worse_than_the_default_is_not_stored() -> None:
    memory, steps = _world(1.0)
    good = calibrate(memory, steps, radius=1.5, precision=0.9)
    less = replace(good.before.recall, value=good.before.recall.value - 0.3)
    worse: CalibrationReport = replace(good, after=replace(good.before, recall=less))
    assert "instead of" in worse.refusal
    with pytest.raises(InputError, match="at no better precision"):
        worse.store(memory)
    # fewer frames are the price of a precision that the default does not reach
    missed = replace(good.before.precision, value=0.85)
    priced = replace(worse, before=replace(good.before, precision=missed))
    assert priced.refusal is None


def test_a_session_is_asked_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "line.memory"
    with PlaceMemory.create(path, encoder=ToyEncoder.card) as memory:
        for session, noise in (("first", 0.0), ("second", 40.0)):
            frames = [Frame(f"{i}", session, i, pose=Pose(float(i), 0.0)) for i in range(60)]
            images = [_image(i, noise, seed=i) for i in range(60)]
            memory.add(frames, ToyEncoder().encode(images))
        report = calibrate_on_session(memory, "second", radius=1.5)
        assert Calibration.of(memory) is None
        report.store(memory)
        with pytest.raises(InputError, match="another one"):
            calibrate_on_session(memory, "third")
    with PlaceMemory.open(path, readonly=True) as memory:
        kept = Calibration.of(memory)
        assert kept == report.calibration
        fusion = Localizer(memory, ToyEncoder())._fusion
        assert fusion.observation.scale == kept.scale
        assert fusion._confident == kept.confident
        other = Localizer(memory, ToyEncoder(), settings={"confident": 0.55})._fusion
        assert other._confident == 0.55
        plain = Localizer(memory, ToyEncoder(), calibrated=False)._fusion
        assert plain._confident != kept.confident


def test_frames_of_the_memory_itself_are_refused() -> None:
    memory, steps = _world(1.0)
    memory.add([step.frame for step in steps], np.stack([step.descriptor for step in steps]))
    run = follow(Localizer(memory, fusion=None), steps)
    with pytest.raises(InputError, match=r"80 of 80 frames are in .*--exclude-session run"):
        calibrate_on_run(memory, run)
    where = Where(exclude_sessions="run")
    report = calibrate_on_run(memory, run, where=where, radius=1.5, precision=0.95)
    assert report.refusal is None
    again = calibrate_on_session(memory, "run", radius=1.5, precision=0.95)
    assert again.after.on_map == report.after.on_map


def test_what_cannot_be_calibrated() -> None:
    memory, steps = _world(1.0)
    with pytest.raises(SettingError, match="precision"):
        calibrate(memory, steps, precision=0.0)
    nowhere = [replace(step, frame=replace(step.frame, pose=None)) for step in steps]
    with pytest.raises(InputError, match="no frame of the run has a true pose"):
        calibrate(memory, nowhere)
    with PlaceMemory.create(":memory:", encoder=make_card(DIM)) as bare:
        with pytest.raises(InputError, match="needs poses"):
            calibrate(bare, steps)
        bare.add([_frame("map", i, None) for i in range(80)], make_descriptors(80, DIM))
        with pytest.raises(InputError, match="needs poses"):
            calibrate(bare, steps)
        with pytest.raises(InputError, match="needs that session"):
            calibrate_on_session(bare, "x")


def test_the_command(office: Path, building: Building, tmp_path: Path) -> None:
    copied = tmp_path / "office.memory"
    copied.write_bytes(office.read_bytes())
    truth = (building.query, "--poses", building.query_vertices)
    shown = run_command("calibrate", copied, *truth, "--out", tmp_path / "out", "--correct", 0.9)
    assert "expected calibration error" in shown.out
    assert "95 % ellipse" in shown.err
    assert "stored with the memory" in shown.err
    assert (tmp_path / "out/reliability.png").stat().st_size > 5000
    numbers = json.loads((tmp_path / "out/calibration.json").read_text())
    assert set(numbers) == {"before", "after"}
    with PlaceMemory.open(copied, readonly=True) as memory:
        stored = Calibration.of(memory)
        assert stored is not None
    for arguments in ((), (building.query,), ("x", "--session", "y")):
        run_command("calibrate", copied, *arguments, expect=2)
    own = (building.mapping, "--poses", building.mapping_vertices)
    refused = run_command("calibrate", copied, *own, expect=2)
    assert "--exclude-session mapping" in refused.err
    odometry = tmp_path / "odometry.csv"
    odometry.write_text("\n".join(["name,x,y,yaw", *(f"x{i},{i},0,0" for i in range(3))]))
    shown = run_command("calibrate", copied, *truth, "--odometry", odometry, "--correct", 0.9)
    assert "no frame has odometry" in shown.err
    with PlaceMemory.open(copied, readonly=True) as memory:
        stored = Calibration.of(memory)
    refused = run_command("calibrate", copied, *truth, "--radius", 0.001, expect=2)
    assert "0 of 42 frames were taken within 0.001 m of a place" in refused.err
    # places are 2.4 m apart: hardly any answer is that exact, so the stored calibration stays
    shown = run_command("calibrate", copied, *truth, "--radius", 0.2, expect=1)
    assert "nothing is stored" in shown.err
    assert "what was stored before stays" in shown.err
    with PlaceMemory.open(copied, readonly=True) as memory:
        assert Calibration.of(memory) == stored
    run_command("calibrate", copied, "--reset", "--session", "x", expect=2)
    assert "removed the calibration" in run_command("calibrate", copied, "--reset").err
    with PlaceMemory.open(copied, readonly=True) as memory:
        assert Calibration.of(memory) is None
    assert "had no calibration" in run_command("calibrate", copied, "--reset").err


def test_a_bag_with_odometry_and_tf(office: Path, building: Building, tmp_path: Path) -> None:
    bags = pytest.importorskip("tests.frames.bags.write", reason="the extra 'bags' is missing")
    made, rows = bags.Messages("mcap"), []
    frames, _ = read_poses(building.query_vertices).join(list_frames(building.query))
    for frame in frames:
        x, y, yaw = frame.pose.x, frame.pose.y, frame.pose.yaw
        at, stamp = frame.stamp, frame.stamp
        rows.append(("/odom", at, made.odometry(stamp, x - 5.0, y + 2.0, yaw)))
        moved = made.transform(stamp, "odom", "base_link", x - 5.0, y + 2.0, yaw)
        anchor = made.transform(stamp, "map", "odom", 5.0, -2.0, 0.0)
        rows.append(("/tf", at, made.tf(anchor, moved)))
        rows.append(("/cam", at, made.rgb(stamp, frame.image())))
    bag = bags.write_bag(tmp_path / "run", "mcap", rows)
    copied = tmp_path / "office.memory"
    copied.write_bytes(office.read_bytes())
    truth = (bag, "--topic", "/cam", "--max-gap", 10, "--correct", 0.9)
    refused = run_command("calibrate", copied, *truth, expect=2)
    assert "2 topics with poses" in refused.err
    refused = run_command("calibrate", copied, *truth, "--pose-topic", "none", expect=2)
    assert "no frame of the run has a true pose" in refused.err
    shown = run_command("calibrate", copied, *truth, "--pose-topic", "/tf", "--max-speed", 50)
    assert f"odometry for {len(frames) - 1} frames" in shown.err
    assert f"{len(frames)} of {len(frames)} frames have a pose" in shown.err
    assert "stored with the memory" in shown.err
