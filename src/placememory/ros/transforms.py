"""Poses of bodies that are fixed to each other, with their covariance, and ``map -> odom``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from placememory.frames import Pose
from placememory.frames.pose import compose, inverse, rotation_from_quaternion


def map_to_odom(base_in_map: Pose, base_in_odom: Pose) -> Pose:
    """The transform that a localiser publishes beside an odometry, after REP 105.

    The odometry publishes ``odom -> base``, smooth and drifting; a tree of transforms allows no
    second parent of the base, so a localiser corrects the drift by ``map -> odom``. Both poses are
    of one instant.

    Args:
        base_in_map: Where the localiser has the base.
        base_in_odom: Where the odometry has it.

    Returns:
        Pose of the odometry's frame in the map.

    Example:
        >>> from math import pi
        >>> anchor = map_to_odom(Pose.from_yaw(5.0, 2.0, pi / 2), Pose.from_yaw(1.0, 0.0, 0.0))
        >>> round(anchor.x, 6), round(anchor.y, 6), round(anchor.yaw, 6)
        (5.0, 1.0, 1.570796)
    """
    return compose(base_in_map, inverse(base_in_odom))


def move_body(
    pose: Pose, covariance: NDArray[np.float64], offset: Pose
) -> tuple[Pose, NDArray[np.float64]]:
    """Pose of another body of the same robot, and its covariance.

    A body that is mounted off the first one moves when that turns, so what is not known of the
    angles is not known of its position either.

    Args:
        pose: Of the first body in the map.
        covariance: (6, 6) of it in ROS's order, about the axes of the map; metres, radians.
        offset: Pose of the other body in the first.

    Returns:
        Pose of the other body in the map, and its covariance (6, 6).

    Example:
        >>> here, spread = Pose.from_yaw(0.0, 0.0, 0.0), np.diag([0.01, 0.01, 0, 0, 0, 0.04])
        >>> ahead, wider = move_body(here, spread, Pose.from_yaw(2.0, 0.0, 0.0))
        >>> ahead.x, wider[1, 1].round(3)  # 0.01 + 2^2 * 0.04
        (2.0, np.float64(0.17))
    """
    moved = compose(pose, offset)
    if pose.quaternion is None:
        return moved, covariance
    lever = rotation_from_quaternion(pose.quaternion) @ np.array([offset.x, offset.y, offset.z])
    x, y, z = lever.tolist()
    jacobian = np.eye(6)
    jacobian[:3, 3:] = -np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    wider: NDArray[np.float64] = jacobian @ covariance @ jacobian.T
    return moved, wider


def disagreement(
    one: tuple[Pose, NDArray[np.float64]], other: tuple[Pose, NDArray[np.float64]]
) -> tuple[float, float, float]:
    """How far apart two localisers are on the ground.

    Args:
        one: Pose in the map and covariance (6, 6).
        other: Likewise; zeros where it has none.

    Returns:
        Metres, radians, and the Mahalanobis distance of x, y and yaw by both covariances: above 4
        they contradict each other in 999 of 1000 cases.

    Example:
        >>> spread = np.diag([0.04, 0.04, 1, 1, 1, 0.01])
        >>> a, b = Pose.from_yaw(0.0, 0.0, 0.0), Pose.from_yaw(3.0, 4.0, 0.0)
        >>> metres, radians, sigmas = disagreement((a, spread), (b, spread))
        >>> metres, radians, round(sigmas, 1)
        (5.0, 0.0, 17.7)
    """
    (a, spread_a), (b, spread_b) = one, other
    turn = float(np.arctan2(np.sin(b.yaw - a.yaw), np.cos(b.yaw - a.yaw)))
    known = a.quaternion is not None and b.quaternion is not None
    axes = [0, 1, 5] if known else [0, 1]
    off = np.array([b.x - a.x, b.y - a.y, turn if known else 0.0])[: len(axes)]
    spread = (spread_a + spread_b)[np.ix_(axes, axes)] + 1e-9 * np.eye(len(axes))
    sigmas = float(np.sqrt(off @ np.linalg.solve(spread, off)))
    return float(np.hypot(off[0], off[1])), abs(turn) if known else 0.0, sigmas
