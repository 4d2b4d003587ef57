"""Key frames by distance and angle."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placememory.errors import SettingError
from placememory.frames import Frame, Pose, select_keyframes


def frames(*rows: tuple[float, float] | None, session: str = "run") -> list[Frame]:
    """Frames at x with a yaw in degrees."""
    return [
        Frame(
            f"{i}.png",
            session,
            i,
            pose=None if row is None else Pose.from_yaw(row[0], 0.0, math.radians(row[1])),
        )
        for i, row in enumerate(rows)
    ]


def indices(chosen: list[Frame]) -> list[int]:
    return [frame.index for frame in chosen]


def test_by_distance_from_the_last_one_kept() -> None:
    line = frames(*[(0.1 * i, 0.0) for i in range(16)])
    assert indices(select_keyframes(line, 0.5)) == [0, 5, 10, 15]
    assert indices(select_keyframes(line, 0.0)) == list(range(16))
    back = frames((0, 0), (0.4, 0), (0, 0), (0.4, 0), (0.6, 0))
    assert indices(select_keyframes(back, 0.5)) == [0, 4]


def test_by_angle_or_both() -> None:
    turning = frames(*[(0.02 * i, 10.0 * i) for i in range(10)])
    assert indices(select_keyframes(turning, angle=30)) == [0, 3, 6, 9]
    assert indices(select_keyframes(turning, 0.5, 30)) == [0, 3, 6, 9]
    assert indices(select_keyframes(turning, 0.1, 80)) == [0, 5]
    wrapped = frames((0, 170), (0, -170), (0, -140))
    assert indices(select_keyframes(wrapped, angle=45)) == [0, 2]


def test_without_a_rule_all_are_kept() -> None:
    assert indices(select_keyframes(frames((0, 0), None, (0, 0)))) == [0, 2]


def test_without_poses() -> None:
    holes = frames(None, (0, 0), None, (0.2, 0), (1, 0), None)
    assert indices(select_keyframes(holes, 0.5)) == [1, 4]
    assert indices(select_keyframes(holes, 0.5, without_pose="keep")) == [0, 1, 2, 4, 5]
    bare = [replace(f, pose=f.pose and Pose(f.pose.x, 0.0)) for f in frames((0, 0), (0, 90))]
    assert indices(select_keyframes(bare, 1.0, 45)) == [0]  # no rotation: turns do not count


def test_each_session_and_floor_begins_anew() -> None:
    two = frames((0, 0), (0.1, 0)) + frames((0.1, 0), (0.2, 0), session="later")
    assert [(f.session, f.index) for f in select_keyframes(two, 1.0)] == [("run", 0), ("later", 0)]
    above = [replace(frame, floor=name) for name in ("a", "b") for frame in frames((0, 0), (0, 0))]
    assert [(f.floor, f.index) for f in select_keyframes(above, 1.0)] == [("a", 0), ("b", 0)]


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_values_that_cannot_be(value: float) -> None:
    with pytest.raises(SettingError, match="the distance between key frames"):
        select_keyframes([], value)
    with pytest.raises(SettingError, match="the angle between key frames"):
        select_keyframes([], 1.0, value)


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-180, 180)), max_size=30))
def test_neighbours_kept_are_apart_and_those_left_out_are_near(rows: list) -> None:
    line = frames(*rows)
    chosen = select_keyframes(line, 1.0, 20.0)
    for first, second in pairwise(chosen):
        far = first.pose.distance_to(second.pose) >= 1.0 - 1e-6
        assert far or first.pose.angle_to(second.pose) >= 20.0 - 1e-6
        for frame in line[first.index + 1 : second.index]:
            assert frame.pose.distance_to(first.pose) < 1.0
            assert frame.pose.angle_to(first.pose) < 20.0
