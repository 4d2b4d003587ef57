"""Motion between frames: where it is known, where it is a jump, and what is never used."""

from __future__ import annotations

import math

import pytest

from placememory.errors import SettingError
from placememory.frames import (
    Frame,
    Pose,
    PoseRecord,
    PoseTable,
    PoseTrack,
    RelativeMotion,
    read_poses,
)
from placememory.fusion import Odometry
from placememory.localization.odometry import MotionLimits, Motions, odometry_of

TENTH = 100_000_000


def _frames(*tenths: int | None, **known: Pose) -> list[Frame]:
    return [
        Frame(f"{i}.png", "run", i, stamp=None if t is None else t * TENTH, pose=known.get(f"f{i}"))
        for i, t in enumerate(tenths)
    ]


def _track(*poses: tuple[float, float, float] | None) -> PoseTrack:
    """A pose every tenth of a second; ``None`` where there is none."""
    known = [(i * TENTH, Pose.from_yaw(*p)) for i, p in enumerate(poses) if p is not None]
    return PoseTrack([t for t, _ in known], [p for _, p in known], "odometry")


def test_the_motion_is_seen_from_the_frame_before() -> None:
    up = math.pi / 2
    motions = Motions(_track((5, 5, up), (5, 5.5, up + 0.5), (5, 5.5, up + 1.0)))
    first, second, third = (step.odometry for step in motions.steps(_frames(0, 1, 2)))
    assert first is None
    assert (second.dx, second.dy, second.dyaw) == pytest.approx((0.5, 0.0, 0.5))
    assert (third.dx, third.dy, third.dyaw) == pytest.approx((0.0, 0.0, 0.5))
    assert (motions.counts.used, motions.counts.unknown, motions.counts.jumps) == (2, 1, 0)


def test_a_pose_is_found_between_two() -> None:
    [_, step] = Motions(_track((0, 0, 0), (0.2, 0, 0), (0.4, 0, 0))).steps(
        [Frame("a", "r", 0, stamp=0), Frame("b", "r", 1, stamp=TENTH + TENTH // 2)]
    )
    assert step.odometry.dx == pytest.approx(0.3)


def test_a_gap_of_odometry_is_unknown_and_dropped_frames_are_spanned() -> None:
    track = _track(*[(0.1 * i, 0, 0) for i in range(5)], *[None] * 10, (1.5, 0, 0), (1.6, 0, 0))
    motions = Motions(track, max_gap=0.5)
    steps = list(motions.steps(_frames(0, 4, 9, 15, 16)))
    assert [s.odometry is not None for s in steps] == [False, True, False, False, True]
    assert steps[1].odometry.dx == pytest.approx(0.4)  # three frames were dropped
    assert [s.odometry is not None for s in Motions(track, max_gap=2.0).steps(_frames(4, 15))] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    "reset",
    [(12.0, 0.0, 0.0), (0.1, 0.0, 2.0), (0.1, -3.0, 0.0)],
    ids=["far", "turned", "aside"],
)
def test_a_jump_is_left_out_and_counted_once(reset: tuple[float, float, float]) -> None:
    x, y, yaw = reset
    after = [(x + 0.1 * i * math.cos(yaw), y + 0.1 * i * math.sin(yaw), yaw) for i in range(3)]
    motions = Motions(_track((0, 0, 0), (0.1, 0, 0), *after))
    odometry = [step.odometry for step in motions.steps(_frames(*range(5)))]
    assert [value is None for value in odometry] == [True, False, True, False, False]
    assert odometry[3].dx == pytest.approx(0.1)
    assert motions.counts.jumps == 1
    assert str(motions.counts) == "odometry for 3 frames, 1 without, 1 jump left out"


def test_limits_scale_with_the_time_between_frames() -> None:
    limits = MotionLimits(speed=5.0)
    assert limits.allow(RelativeMotion(0.9, 0.0, 0.0, seconds=0.01))  # stamps that jitter
    assert not limits.allow(RelativeMotion(1.2, 0.0, 0.0, seconds=0.1))
    assert limits.allow(RelativeMotion(40.0, 0.0, 4.0, seconds=10.0))
    assert not limits.allow(RelativeMotion(0.0, 0.0, 1.6, seconds=0.1))
    assert limits.allow(RelativeMotion(4.9, 0.0, 0.0, seconds=math.nan))
    assert not limits.allow(RelativeMotion(5.1, 0.0, 0.0, seconds=math.nan))
    assert MotionLimits(speed=30.0).allow(RelativeMotion(25.0, 0.0, 0.0, seconds=1.0))


@pytest.mark.parametrize("field", ["dx", "dy", "dyaw"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_motion_that_is_no_number_is_not_allowed(field: str, value: float) -> None:
    values = {"dx": 0.1, "dy": 0.0, "dyaw": 0.0, "seconds": 0.1, field: value}
    assert not MotionLimits().allow(RelativeMotion(**values))


def test_a_row_of_nan_in_a_pose_file_is_no_odometry(tmp_path) -> None:
    path = tmp_path / "odometry.tum"
    rows = ["1.0 0 0 0 0 0 0 1", "1.1 nan 0 0 0 0 0 1", "1.2 1 0 0 0 0 0 1"]
    path.write_text("\n".join(rows))
    table = read_poses(path)
    assert len(table.records) == 2
    assert "1 rows hold no finite pose" in table.notes[0]
    odometry = [s.odometry for s in Motions(table, max_gap=1.0).steps(_frames(10, 11, 12))]
    assert odometry[2] is not None


def test_a_frame_out_of_order_does_not_move_the_start() -> None:
    motions = Motions(_track(*[(0.1 * i, 0, 0) for i in range(6)]))
    odometry = [step.odometry for step in motions.steps(_frames(0, 3, 1, 4))]
    assert odometry[2] is None
    assert odometry[3].dx == pytest.approx(0.1)  # from 3 to 4, as the localizer sees it


def test_frames_without_stamps_find_poses_by_name() -> None:
    table = PoseTable([PoseRecord(Pose.from_yaw(0.5 * i, 0, 0), name=f"{i}.png") for i in range(2)])
    odometry = [step.odometry for step in Motions(table).steps(_frames(None, None, None))]
    assert odometry[1].dx == pytest.approx(0.5)
    assert odometry[2] is None


def test_a_file_with_stamps_is_interpolated() -> None:
    table = PoseTable([PoseRecord(Pose.from_yaw(0.2 * i, 0, 0), stamp=i * TENTH) for i in range(4)])
    frames = [Frame(str(t), "r", t, stamp=t * TENTH // 2) for t in (1, 3)]
    assert [s.odometry for s in Motions(table).steps(frames)][1].dx == pytest.approx(0.2)


def test_true_poses_of_frames_are_not_used() -> None:
    truth = {f"f{i}": Pose.from_yaw(100.0 * i, 0, 0) for i in range(3)}
    table = PoseTable([PoseRecord(Pose.from_yaw(0, 0, 0), name="other.png")])
    assert [s.odometry for s in Motions(table).steps(_frames(0, 1, 2, **truth))] == [None] * 3
    odometry = [s.odometry for s in Motions(_track(*[(0.1 * i, 0, 0) for i in range(3)])).steps(
        _frames(0, 1, 2, **truth))]  # fmt: skip
    assert odometry[2].dx == pytest.approx(0.1)


def test_positions_without_heading_give_no_motion() -> None:
    table = PoseTable([PoseRecord(Pose(float(i), 0.0), name=f"{i}.png") for i in range(2)])
    motions = Motions(table)
    assert [s.odometry for s in motions.steps(_frames(None, None))] == [None, None]
    assert motions.counts.unknown == 2


def test_the_spread_grows_with_the_motion() -> None:
    still = odometry_of(RelativeMotion(0.0, 0.0, 0.0, seconds=0.1))
    assert still == Odometry(0.0, 0.0, 0.0)
    far = odometry_of(RelativeMotion(4.0, 0.0, 1.0, seconds=1.0))
    assert (far.std_xy, far.std_yaw) == pytest.approx((0.2, 0.05))


@pytest.mark.parametrize("make", [
    lambda: MotionLimits(speed=0.0), lambda: MotionLimits(turn=-1.0),
    lambda: MotionLimits(speed=math.nan), lambda: Motions(_track(), max_gap=-1.0),
    lambda: Motions(_track(), max_gap=math.inf),
])  # fmt: skip
def test_impossible_settings_are_refused(make) -> None:
    with pytest.raises(SettingError):
        make()
