"""Rigid motions on poses: composed, inverted, and interpolated."""

from __future__ import annotations

import math

import numpy as np

from placememory.frames._pose import Pose, Quaternion, rotation_from_quaternion

_NEARLY_EQUAL = 1.0 - 1e-9  # cosine of half angles whose sine is too small to divide by


def compose(first: Pose, second: Pose) -> Pose:
    """T_a_c of T_a_b and T_b_c, in the frame of the first; an unknown rotation is the identity.

    Example:
        >>> there = compose(Pose.from_yaw(1.0, 0.0, math.pi / 2), Pose(2.0, 0.0))
        >>> round(there.x, 9), round(there.y, 9)
        (1.0, 2.0)
    """
    if first.quaternion is None:
        x, y, z = (float(v) for v in first.position + second.position)
        return Pose(x, y, z, second.quaternion, first.frame_id)
    moved = rotation_from_quaternion(first.quaternion) @ second.position + first.position
    x, y, z = (float(v) for v in moved)
    turned = _product(first.quaternion, second.quaternion or (0.0, 0.0, 0.0, 1.0))
    return Pose(x, y, z, turned, first.frame_id)


def inverse(pose: Pose, frame_id: str = "") -> Pose:
    """T_b_a of T_a_b; ``frame_id`` is the name of b.

    Example:
        >>> back = inverse(Pose.from_yaw(1.0, 2.0, math.pi / 2))
        >>> round(back.x, 9), round(back.y, 9)
        (-2.0, 1.0)
    """
    if pose.quaternion is None:
        return Pose(-pose.x, -pose.y, -pose.z, None, frame_id)
    x, y, z = (float(v) for v in -rotation_from_quaternion(pose.quaternion).T @ pose.position)
    qx, qy, qz, qw = pose.quaternion
    return Pose(x, y, z, (-qx, -qy, -qz, qw), frame_id)


def interpolate(before: Pose, after: Pose, share: float) -> Pose:
    """Pose between two of one frame: linear in position, and spherically linear in rotation.

    Covariances are blended linearly. Where a rotation or a covariance is unknown, so is the
    result's.

    Args:
        before: At share 0.
        after: At share 1.
        share: 0 to 1.

    Example:
        >>> half = interpolate(Pose.from_yaw(0, 0, 0.0), Pose.from_yaw(2, 0, 1.0), 0.5)
        >>> half.x, round(half.yaw, 9)
        (1.0, 0.5)
    """
    x, y, z = (float(v) for v in (1 - share) * before.position + share * after.position)
    turned = None
    if before.quaternion is not None and after.quaternion is not None:
        turned = slerp(before.quaternion, after.quaternion, share)
    spread = None
    if before.covariance is not None and after.covariance is not None:
        pairs = zip(before.covariance, after.covariance, strict=True)
        spread = tuple((1 - share) * a + share * b for a, b in pairs)
    return Pose(x, y, z, turned, before.frame_id, spread)


def slerp(before: Quaternion, after: Quaternion, share: float) -> Quaternion:
    """Rotation between two unit quaternions (x, y, z, w), along the shorter way."""
    a, b = np.array(before), np.array(after)
    cosine = float(a @ b)
    if cosine < 0:
        b, cosine = -b, -cosine
    if cosine > _NEARLY_EQUAL:
        mixed = (1 - share) * a + share * b
    else:
        half = math.acos(cosine)
        mixed = (math.sin((1 - share) * half) * a + math.sin(share * half) * b) / math.sin(half)
    qx, qy, qz, qw = (float(v) for v in mixed / np.linalg.norm(mixed))
    return qx, qy, qz, qw


def _product(first: Quaternion, second: Quaternion) -> Quaternion:
    ax, ay, az, aw = first
    bx, by, bz, bw = second
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )
