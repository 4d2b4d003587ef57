"""The pose at a stamp: interpolated, bounded, never extrapolated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placememory.errors import PoseError, SettingError
from placememory.frames import Frame, Pose, PoseTrack
from placememory.frames.pose import compose, interpolate, inverse, rotation_from_quaternion, slerp

SECOND = 1_000_000_000
unit = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: sum(v * v for v in q) > 0.01)
numbers = st.floats(-100, 100)
poses = st.builds(Pose, numbers, numbers, numbers, unit)


def track(*rows: tuple[float, float, float]) -> PoseTrack:
    """Rows of second, x and yaw."""
    return PoseTrack(
        [round(t * SECOND) for t, _, _ in rows], [Pose.from_yaw(x, 0.0, yaw) for _, x, yaw in rows]
    )


def test_between_two_poses() -> None:
    found = track((0, 1.0, 0.0), (1, 3.0, 1.0)).at(SECOND // 4, max_gap=1.0)
    assert found.x == 1.5
    assert found.yaw == pytest.approx(0.25, abs=1e-12)


def test_nothing_is_extrapolated_and_gaps_are_bounded() -> None:
    line = track((0, 0.0, 0.0), (0.5, 1.0, 0.0), (1.5, 2.0, 0.0))
    assert len(line) == 3
    assert line.at(-SECOND // 10) is None
    assert line.at(round(1.6 * SECOND)) is None
    assert line.at(0).x == 0.0
    assert line.at(round(1.5 * SECOND)).x == 2.0  # a pose of its own needs no other
    assert line.at(SECOND) is None
    assert line.at(SECOND, max_gap=1.0).x == 1.5
    assert line.at(SECOND // 4, max_gap=0.5).x == 0.5
    assert PoseTrack([], []).at(0) is None
    for gap in (-1.0, math.inf, math.nan):
        with pytest.raises(SettingError, match="largest gap"):
            line.at(0, max_gap=gap)


def test_turns_take_the_shorter_way() -> None:
    found = track((0, 0.0, math.radians(170)), (1, 0.0, math.radians(-170)))
    at = found.at(SECOND // 4, max_gap=1.0)
    assert math.degrees(at.yaw) == pytest.approx(175, abs=1e-9)
    turned = Pose(0.0, 0.0, 0.0, (0.0, 0.0, 0.0, -1.0))  # the same rotation, other sign
    half = interpolate(Pose.from_yaw(0, 0, 0.2), turned, 0.5)
    assert half.yaw == pytest.approx(0.1, abs=1e-12)


@given(unit, unit, st.floats(0, 1))
def test_slerp_turns_at_a_constant_rate(first: tuple, second: tuple, share: float) -> None:
    a, b = Pose(0, 0, 0, first), Pose(0, 0, 0, second)
    between = Pose(0, 0, 0, slerp(a.quaternion, b.quaternion, share))
    whole = a.angle_to(b)
    assert a.angle_to(between) == pytest.approx(share * whole, abs=2e-4)
    assert between.angle_to(b) == pytest.approx((1 - share) * whole, abs=2e-4)


@given(poses, poses, poses)
def test_composition_is_that_of_matrices(first: Pose, second: Pose, third: Pose) -> None:
    np.testing.assert_allclose(
        compose(first, second).matrix(), first.matrix() @ second.matrix(), atol=1e-9
    )
    left, right = compose(compose(first, second), third), compose(first, compose(second, third))
    np.testing.assert_allclose(left.matrix(), right.matrix(), atol=1e-9)
    np.testing.assert_allclose(compose(inverse(first), first).matrix(), np.eye(4), atol=1e-9)


def test_motion_composes_to_the_next_pose() -> None:
    line = track((0, 1.0, 0.3), (1, 2.0, 1.0))
    _, motion = line.motions([0, SECOND])
    turned = rotation_from_quaternion(Pose.from_yaw(0, 0, 0.3).quaternion)
    np.testing.assert_allclose(turned @ [motion.dx, motion.dy, 0], [1.0, 0.0, 0.0], atol=1e-12)
    assert (motion.dyaw, motion.seconds) == (pytest.approx(0.7), 1.0)


def test_motions_are_unknown_at_gaps_and_without_rotation() -> None:
    line = track((0, 0.0, 0.0), (1, 1.0, 0.0), (2, 2.0, 0.0))
    found = line.motions([0, SECOND, None, 2 * SECOND, 3 * SECOND, SECOND])
    assert [motion is None for motion in found] == [True, False, True, True, True, True]
    bare = PoseTrack([0, SECOND], [Pose(0.0, 0.0), Pose(1.0, 0.0)])
    assert bare.motions([0, SECOND]) == [None, None]


def test_poses_of_two_frames_are_not_mixed() -> None:
    two = PoseTrack([0, 10], [Pose.from_yaw(0, 0, 0, frame_id="odom"), Pose.from_yaw(1, 0, 0)])
    assert two.at(5) is None
    assert two.at(10).frame_id == "map"
    assert two.motions([0, 10]) == [None, None]


def test_join_says_what_is_wrong_with_the_clocks() -> None:
    line = track((100, 0.0, 0.0), (101, 1.0, 0.0))
    frames = [Frame(f"{i}.png", "run", i, stamp=i * SECOND) for i in range(3)]
    joined, report = line.join(frames)
    assert joined == frames
    assert "from 0.000 s to 2.000 s, the poses from 100.000 s to 101.000 s" in report.cause
    with pytest.raises(PoseError, match="none of 3 frames finds a pose: the images are from"):
        report.check()
    near = [Frame("a.png", "run", 0, stamp=100 * SECOND + SECOND // 2)]
    assert "poses come every 1 s, and two around an image may be 0.5 s" in line.join(near)[1].cause
    assert "no poses" in PoseTrack([], [], "x").join(frames)[1].cause
    own = [Frame("a.png", "run", 0, pose=Pose(5.0, 0.0))]
    joined, report = line.join(own, max_gap=1.0)
    assert joined[0].pose.x == 5.0
    assert (report.joined, report.cause) == (0, "the images have no stamps")
    joined, report = line.join([*own, *near], max_gap=1.0)
    assert str(report) == "2 of 2 frames have a pose (1 by interpolation)"


def test_a_stamp_that_a_file_has_rounded_is_that_of_its_pose() -> None:
    track = PoseTrack([0, 5 * 10**9], [Pose(0.0, 0.0), Pose(1.0, 0.0)])
    for stamp in (5 * 10**9 - 130, 5 * 10**9 + 10**6, -(10**6)):
        assert track.at(stamp) is not None
    assert track.at(5 * 10**9 - 2 * 10**6) is None
    assert track.at(5 * 10**9 + 130, max_gap=0.0) is None
