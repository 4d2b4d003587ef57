"""Laws of poses: matrices, quaternions and angles agree, whatever the rotation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from placememory.errors import PoseError
from placememory.frames import Pose
from placememory.frames.pose import quaternion_from_rotation, rotation_from_quaternion

metres = st.floats(-1e6, 1e6)
component = st.floats(-1, 1)


@st.composite
def poses(draw: st.DrawFn) -> Pose:
    quaternion = tuple(draw(component) for _ in range(4))
    assume(math.hypot(*quaternion) > 1e-3)
    return Pose(draw(metres), draw(metres), draw(metres), quaternion)


@given(poses())
def test_matrix_and_back(pose: Pose) -> None:
    matrix = pose.matrix()
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1.0)
    back = Pose.from_matrix(matrix)
    assert (back.x, back.y, back.z) == (pose.x, pose.y, pose.z)
    assert back.angle_to(pose) < 1e-5
    assert Pose.from_matrix(matrix[:3]) == back


@given(poses())
def test_quaternions_are_unit_and_their_sign_is_free(pose: Pose) -> None:
    assert math.hypot(*pose.quaternion) == pytest.approx(1.0)
    found = quaternion_from_rotation(rotation_from_quaternion(pose.quaternion))
    assert found[3] >= 0
    dot = abs(np.dot(found, pose.quaternion))
    assert dot == pytest.approx(1.0, abs=1e-9)
    flipped = Pose(pose.x, pose.y, pose.z, tuple(-q for q in pose.quaternion))
    np.testing.assert_allclose(flipped.matrix(), pose.matrix(), atol=1e-12)
    assert flipped.angle_to(pose) < 1e-5


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [-1, 1])
def test_half_turns_have_no_loss(axis: int, sign: int) -> None:
    quaternion = np.zeros(4)
    quaternion[axis] = sign
    found = quaternion_from_rotation(rotation_from_quaternion(quaternion))
    np.testing.assert_allclose(np.abs(found), np.abs(quaternion), atol=1e-12)


@given(yaw=st.floats(-3.14, 3.14), other=st.floats(-3.14, 3.14))
def test_yaw_and_angle(yaw: float, other: float) -> None:
    first, second = Pose.from_yaw(0, 0, yaw), Pose.from_yaw(5, 5, other)
    assert first.yaw == pytest.approx(yaw, abs=1e-9)
    np.testing.assert_allclose(
        first.matrix()[:2, 0], [math.cos(yaw), math.sin(yaw)], atol=1e-12
    )  # the body's x axis points along the heading, counter-clockwise from the map's
    turn = abs((yaw - other + math.pi) % (2 * math.pi) - math.pi)
    assert first.angle_to(second) == pytest.approx(math.degrees(turn), abs=1e-5)
    assert first.angle_to(second) == second.angle_to(first)


def test_the_quaternion_order_is_x_y_z_w() -> None:
    quarter = math.sqrt(0.5)
    about_x = Pose(0, 0, 0, (quarter, 0, 0, quarter)).matrix()[:3, :3]
    np.testing.assert_allclose(about_x @ [0, 1, 0], [0, 0, 1], atol=1e-12)


def test_unknown_rotation() -> None:
    pose = Pose(1, 2)
    assert math.isnan(pose.yaw)
    assert math.isnan(pose.angle_to(Pose.from_yaw(0, 0, 1)))
    np.testing.assert_array_equal(pose.matrix()[:3, :3], np.eye(3))
    assert pose.distance_to(Pose(1, 2, 7)) == 7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pose(math.nan, 0), "position must be finite"),
        (lambda: Pose(0, 0, math.inf), "position must be finite"),
        (lambda: Pose(0, 0, 0, (0, 0, 0, 0)), "quaternion"),
        (lambda: Pose(0, 0, 0, (math.nan, 0, 0, 1)), "quaternion"),
        (lambda: Pose(0, 0, 0, (0, 0, 1)), "quaternion"),
        (lambda: Pose(0, 0, covariance=(1.0,) * 35), "36 numbers, not 35"),
        (lambda: Pose.from_yaw(0, 0, math.nan), "yaw must be finite"),
        (lambda: Pose.from_yaw(0, 0, math.inf), "yaw must be finite"),
        (lambda: Pose.from_matrix(np.diag([1, 1, 2, 1])), "not a rotation"),
        (lambda: Pose.from_matrix(np.diag([1, 1, -1, 1])), "not a rotation"),  # a mirror
        (lambda: Pose.from_matrix(np.full((4, 4), np.nan)), "not a rotation"),
    ],
)
def test_values_that_are_no_pose(make, message: str) -> None:
    with pytest.raises(PoseError, match=message):
        make()
