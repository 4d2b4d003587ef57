"""Pose: where a camera (or the robot's base) was, in the map frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory.errors import PoseError

Quaternion = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Pose:
    """SE(3) of the camera, or of the base where an extrinsic was given, in the map frame.

    The pose is *body in world*: ``position`` is the body's origin in the map. Axes follow the
    data they came from (REP-103 body axes for robots: x forward, y left, z up).

    Attributes:
        x: Metres, map frame.
        y: Metres, map frame.
        z: Metres, map frame; 0 where the source is planar.
        quaternion: Rotation body to world as (x, y, z, w), unit length; ``None`` where the source
            gives a position only.
        frame_id: Name of the map frame.
        covariance: Optional 6x6, row by row (36 numbers): x, y, z in metres, then roll, pitch and
            yaw in radians.

    Raises:
        PoseError: A value is not finite, the quaternion has no length, or a covariance has not
            36 numbers.

    Example:
        >>> pose = Pose.from_yaw(1.0, 2.0, math.pi / 2)
        >>> round(math.degrees(pose.yaw))
        90
        >>> round(pose.distance_to(Pose(4.0, 6.0)))
        5
    """

    x: float
    y: float
    z: float = 0.0
    quaternion: Quaternion | None = None
    frame_id: str = "map"
    covariance: tuple[float, ...] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (self.x, self.y, self.z)):
            raise PoseError(f"a position must be finite, not ({self.x}, {self.y}, {self.z})")
        if self.quaternion is not None:
            object.__setattr__(self, "quaternion", _unit(self.quaternion))
        if self.covariance is not None and len(self.covariance) != 36:
            raise PoseError(f"a covariance has 36 numbers, not {len(self.covariance)}")
        if self.covariance is not None and not all(map(math.isfinite, self.covariance)):
            raise PoseError("a covariance holds NaN or infinity; leave it out where it is unknown")

    @classmethod
    def from_yaw(
        cls, x: float, y: float, yaw: float, z: float = 0.0, frame_id: str = "map"
    ) -> Pose:
        """Planar pose; ``yaw`` in radians, counter-clockwise from the map's x axis."""
        if not math.isfinite(yaw):
            raise PoseError(f"a yaw must be finite, not {yaw}")
        quaternion = (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2))
        return cls(x, y, z, quaternion, frame_id)

    @classmethod
    def from_matrix(cls, matrix: NDArray[np.floating], frame_id: str = "map") -> Pose:
        """Pose from a (3, 4) or (4, 4) matrix T_world_body.

        Raises:
            PoseError: The upper left 3x3 is no rotation.
        """
        rotation = np.asarray(matrix, dtype=np.float64)[:3, :3]
        unit = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3)
        if not unit or np.linalg.det(rotation) < 0:
            raise PoseError("the 3x3 part of the pose matrix is not a rotation")
        x, y, z = (float(value) for value in np.asarray(matrix)[:3, 3])
        return cls(x, y, z, quaternion_from_rotation(rotation), frame_id)

    @property
    def position(self) -> NDArray[np.float64]:
        """(3,) float64: x, y, z in metres."""
        return np.array([self.x, self.y, self.z])

    @property
    def yaw(self) -> float:
        """Heading of the body's x axis in radians, (-pi, pi]; NaN where no rotation is known."""
        return math.nan if self.quaternion is None else yaw_of(self.quaternion)

    @property
    def tilt(self) -> tuple[float, float]:
        """Roll and pitch in radians, about the fixed axes x and y; NaN where they are not known.

        Example:
            >>> [round(v, 6) for v in read_transform("0 0 0 10 -20 90").tilt]
            [0.174533, -0.349066]
        """
        if self.quaternion is None:
            return math.nan, math.nan
        x, y, z, w = self.quaternion
        roll = math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
        return roll, math.asin(max(-1.0, min(1.0, 2 * (w * y - z * x))))

    def matrix(self) -> NDArray[np.float64]:
        """(4, 4) float64 T_world_body; the rotation is the identity where none is known."""
        result = np.eye(4)
        if self.quaternion is not None:
            result[:3, :3] = rotation_from_quaternion(self.quaternion)
        result[:3, 3] = self.position
        return result

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "x": self.x,
            "y": self.y,
            "z": self.z,
            "quaternion": list(self.quaternion) if self.quaternion else None,
            "frame_id": self.frame_id,
            "covariance": list(self.covariance) if self.covariance else None,
        }

    def distance_to(self, other: Pose) -> float:
        """Distance between the two positions in metres."""
        return math.dist((self.x, self.y, self.z), (other.x, other.y, other.z))

    def angle_to(self, other: Pose) -> float:
        """Angle of the rotation between the two poses in degrees, 0 to 180; NaN if unknown."""
        if self.quaternion is None or other.quaternion is None:
            return math.nan
        cosine = abs(sum(a * b for a, b in zip(self.quaternion, other.quaternion, strict=True)))
        return math.degrees(2 * math.acos(min(1.0, cosine)))


def _unit(quaternion: Sequence[float]) -> Quaternion:
    norm = math.sqrt(sum(value * value for value in quaternion))
    if len(quaternion) != 4 or not math.isfinite(norm) or norm < 1e-9:
        raise PoseError(f"a quaternion has four finite numbers and a length, not {quaternion}")
    if abs(norm - 1.0) < 1e-12:
        norm = 1.0
    qx, qy, qz, qw = (float(value) / norm for value in quaternion)
    return qx, qy, qz, qw


def yaw_of(quaternion: Sequence[float]) -> float:
    """Heading of the x axis of a rotation (x, y, z, w), radians, (-pi, pi].

    Example:
        >>> yaw_of((0.0, 0.0, 1.0, 0.0)) == math.pi
        True
    """
    qx, qy, qz, qw = quaternion
    return math.atan2(2 * (qw * qz + qx * qy), 1 - 2 * (qy * qy + qz * qz))


def rotation_from_quaternion(quaternion: Sequence[float]) -> NDArray[np.float64]:
    """(3, 3) rotation of a unit quaternion (x, y, z, w).

    Example:
        >>> rotation_from_quaternion((0, 0, 0, 1)).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    x, y, z, w = quaternion
    return np.array(
        [
            [1.0 - 2 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)],
            [2.0 * (x * y + z * w), 1.0 - 2 * (x * x + z * z), 2.0 * (y * z - x * w)],
            [2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_from_rotation(rotation: NDArray[np.floating]) -> Quaternion:
    """Unit quaternion (x, y, z, w) with w >= 0 of a (3, 3) rotation.

    Example:
        >>> quaternion_from_rotation(np.eye(3))
        (0.0, 0.0, 0.0, 1.0)
    """
    from scipy.spatial.transform import Rotation  # takes 0.2 s to import

    qx, qy, qz, qw = Rotation.from_matrix(rotation).as_quat(canonical=True).tolist()
    return qx, qy, qz, qw


_NEARLY_EQUAL = 1.0 - 1e-9  # cosine of half angles whose sine is too small to divide by


def read_transform(text: str) -> Pose:
    """A pose of one body in another from text: ``x y z qx qy qz qw`` or ``x y z roll pitch yaw``.

    Args:
        text: Metres; quaternion, or degrees about the fixed axes x, y, z (as in URDF). Numbers are
            separated by spaces or commas.

    Raises:
        PoseError: There are not six or seven finite numbers.

    Example:
        >>> camera = read_transform("0.2 0 0.5 0 0 90")
        >>> camera.x, camera.z, round(math.degrees(camera.yaw))
        (0.2, 0.5, 90)
    """
    try:
        numbers = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) not in (6, 7):
        raise PoseError(
            f"a transform is x y z qx qy qz qw, or x y z roll pitch yaw in degrees, not {text!r}"
        )
    x, y, z, *turn = numbers
    if len(turn) == 4:
        return Pose(x, y, z, (turn[0], turn[1], turn[2], turn[3]))
    if not all(math.isfinite(angle) for angle in turn):
        raise PoseError(f"a transform has finite angles, not {text!r}")
    rx, ry, rz = ((math.sin(a), math.cos(a)) for a in (math.radians(v) / 2 for v in turn))
    about_x, about_y = (rx[0], 0.0, 0.0, rx[1]), (0.0, ry[0], 0.0, ry[1])
    return Pose(x, y, z, _product(_product((0.0, 0.0, rz[0], rz[1]), about_y), about_x))


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


def turn_about_z(pose: Pose, angle: float) -> Pose:
    """The pose turned where it is by radians about the vertical axis of its world.

    A pose without a rotation stays as it is; a covariance is turned with it.

    Example:
        >>> round(math.degrees(turn_about_z(Pose.from_yaw(5, 0, 0.0), math.pi / 2).yaw), 9)
        90.0
    """
    turn = (0.0, 0.0, math.sin(angle / 2), math.cos(angle / 2))
    covariance = pose.covariance
    if covariance is not None:
        both = np.kron(np.eye(2), rotation_from_quaternion(turn))
        turned = both @ np.reshape(covariance, (6, 6)) @ both.T
        covariance = tuple(float(v) for v in turned.ravel())
    quaternion = None if pose.quaternion is None else _product(turn, pose.quaternion)
    return replace(pose, quaternion=quaternion, covariance=covariance)


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
