"""The arithmetic of transforms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placememory.frames import Pose
from placememory.frames.pose import compose
from placememory.ros.transforms import disagreement, map_to_odom, move_body

numbers = st.floats(-50, 50)
angles = st.floats(-math.pi, math.pi)
poses = st.builds(Pose.from_yaw, numbers, numbers, angles)


@given(poses, poses)
def test_the_base_is_where_the_localiser_has_it(base: Pose, odometry: Pose) -> None:
    found = compose(map_to_odom(base, odometry), odometry)
    assert found.distance_to(base) < 1e-9
    assert math.cos(found.yaw - base.yaw) == pytest.approx(1.0)


@given(poses, poses, poses)
def test_it_stays_while_the_odometry_is_right(base: Pose, odometry: Pose, moved: Pose) -> None:
    """A motion that both see the same leaves map -> odom as it is."""
    before = map_to_odom(base, odometry)
    after = map_to_odom(compose(base, moved), compose(odometry, moved))
    assert before.distance_to(after) < 1e-8


@given(poses, poses, st.integers(0, 1000))
def test_the_covariance_of_another_body_is_that_of_samples(
    pose: Pose, offset: Pose, seed: int
) -> None:
    small = 1e-4 * np.diag([1.0, 2.0, 1.0, 1.0, 1.0, 3.0])
    moved, spread = move_body(pose, small, offset)
    assert moved.distance_to(compose(pose, offset)) < 1e-9
    assert np.linalg.eigvalsh(spread).min() > 0
    rng = np.random.default_rng(seed)
    drawn = rng.multivariate_normal(np.zeros(6), small, 4000)
    where = [
        compose(Pose.from_yaw(pose.x + d[0], pose.y + d[1], pose.yaw + d[5]), offset) for d in drawn
    ]
    found = np.cov(np.array([(p.x, p.y) for p in where]).T)
    assert found == pytest.approx(spread[:2, :2], rel=0.3, abs=0.15 * np.trace(spread[:2, :2]))


def test_a_disagreement_counts_what_both_do_not_know() -> None:
    sure, unsure = (0.01 * np.eye(6), 25.0 * np.eye(6))
    here, there = Pose.from_yaw(0, 0, 3.0), Pose.from_yaw(3, 4, -3.0)
    metres, radians, sigmas = disagreement((here, sure), (there, sure))
    assert metres == 5.0
    assert radians == pytest.approx(2 * math.pi - 6.0)
    assert sigmas > 30
    assert disagreement((here, sure), (there, unsure))[2] < 1.1
    assert disagreement((here, sure), (Pose(3.0, 4.0), sure))[1] == 0.0
