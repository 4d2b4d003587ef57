"""The plane that a map's robot moves in, and the body that its poses are of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from placememory._checks import check_choice
from placememory.frames import Pose
from placememory.fusion import Belief
from placememory.memory import Place

Axes = Literal["robot", "camera"]
"""``robot``: x forward, y left, z up (REP-103). ``camera``: x right, y down, z forward."""

PLANES = {"xy": 2, "xz": 1, "yz": 0}
"""Names of planes, each with the axis of the map frame that stands on it."""

_UP = {"robot": np.array([0.0, 0.0, 1.0]), "camera": np.array([0.0, -1.0, 0.0])}
_STEP = 5.0  # metres; places that are further apart are not neighbours
_LEAST_PATH = 1.0  # metres from which a direction of travel is known
_ALONG = 0.5  # share of the path
_TILT = math.cos(math.radians(10.0))  # a body less tilted than this is level
_NEARLY = math.cos(math.radians(20.0))  # an up that is nearer to an axis is the axis
_COMMON = 0.7  # length of the mean of the bodies' ups: below, they have none in common


@dataclass(frozen=True, slots=True, eq=False)
class MapPlane:
    """A plane with its own coordinates: x and y in it, z up. Fusion and odometry are in these.

    As a rule it is the map's x-y plane and nothing is changed. It is found to be another where the
    robot moved along the z axis of its body, or of a map without rotations: then the poses have
    camera axes (KITTI, ORB-SLAM, COLMAP), and up is the mean of where the cameras' -y points.

    Attributes:
        rotation: (3, 3) from coordinates of the map to those of the plane.
        level: (3, 3) from the level body, whose z is up, to the body of the map's poses.
        axes: Of the body of the map's poses.

    Example:
        >>> quarter = (0.0, math.sin(math.pi / 4), 0.0, math.cos(math.pi / 4))
        >>> ahead = [Pose(0.5 * i, 0.0, 0.0, quarter) for i in range(8)]  # z forward, y down
        >>> places = [Place("drive", i, f"{i}.png", pose=pose) for i, pose in enumerate(ahead)]
        >>> plane = MapPlane.of(places)
        >>> plane.axes, plane.rotation.round(3).tolist()
        ('camera', [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
    """

    rotation: NDArray[np.float64]
    level: NDArray[np.float64]
    axes: Axes

    @classmethod
    def of(cls, places: Sequence[Place], plane: str | None = None) -> MapPlane:
        """Find the plane of a map.

        Args:
            places: Of the map.
            plane: ``xy``, ``xz`` or ``yz`` of the map frame, where it is known.

        Raises:
            SettingError: There is no such plane.
        """
        if plane is not None:
            check_choice("plane", plane, PLANES)
        turned = _rotations(places)
        steps, turned = _steps(places, turned), turned[np.isfinite(turned[:, 0, 0])]
        axes: Axes = "robot"
        if len(turned) and _moves_along_z(steps.body):
            axes = "camera"
        normal = np.eye(3)[PLANES[plane or "xy"]]
        if plane is None and axes == "camera":
            normal = _snap(_mean(turned @ _UP["camera"]), normal)
        elif plane is None and not len(turned) and _moves_along_z(steps.map, flat=1):
            normal = np.eye(3)[PLANES["xz"]]
        ups = np.einsum("nji,j->ni", turned, normal)  # the normal as the bodies see it
        common = ups.mean(axis=0) if len(ups) else _UP[axes]
        if float(common @ _UP[axes]) < 0:
            normal, common = -normal, -common
        elif not len(ups) and plane != "xy" and normal[2] == 0:
            normal = -normal  # y down, as where z is forward
        return cls(_towards(normal), _levelled(common, axes), axes)

    @property
    def is_plain(self) -> bool:
        """Whether nothing is changed: the plane is x-y, and the body level."""
        same = np.eye(3)
        return bool((self.rotation == same).all() and (self.level == same).all())

    @property
    def body(self) -> Pose:
        """Pose of the level body in the body of the map's poses."""
        return Pose.from_matrix(np.column_stack([self.level, np.zeros(3)]))

    def lower_place(self, place: Place) -> Place:
        """A place with its pose in the plane."""
        if place.pose is None or self.is_plain:
            return place
        return replace(place, pose=self.lower(place.pose))

    def lower(self, pose: Pose) -> Pose:
        """Pose of the level body in coordinates of the plane, of a body in those of the map."""
        if self.is_plain:
            return pose
        turned = None
        if pose.quaternion is not None:
            turned = self.rotation @ pose.matrix()[:3, :3] @ self.level
        return _pose(self.rotation @ pose.position, turned, pose.frame_id)

    def lift(self, belief: Belief) -> Belief:
        """A belief in the plane, with its positions in coordinates of the map.

        Yaws and the covariance stay those of the plane.
        """
        if self.is_plain:
            return belief
        lifted = []
        for hypothesis in belief.hypotheses:
            at = hypothesis.position
            if at is not None:
                x, y, *height = at
                point = self.rotation.T @ np.array([x, y, *(height or [0.0])])
                at = tuple(point.tolist())
            lifted.append(replace(hypothesis, position=at))
        return replace(belief, hypotheses=tuple(lifted))

    def pose_of(self, belief: Belief, frame_id: str) -> Pose | None:
        """Pose of the body, in the map, of the best hypothesis of a belief in the plane."""
        found = belief.pose(frame_id)
        if found is None or self.is_plain:
            return found
        turned = None
        if found.quaternion is not None:
            turned = self.rotation.T @ found.matrix()[:3, :3] @ self.level.T
        return _pose(self.rotation.T @ found.position, turned, frame_id)

    def spread_of(self, covariance: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        """A covariance (6, 6) in the plane, in coordinates of the map."""
        if covariance is None or self.is_plain:
            return covariance
        both = np.kron(np.eye(2), self.rotation)
        turned: NDArray[np.float64] = both.T @ covariance @ both
        return turned


def _pose(at: NDArray[np.float64], turned: NDArray[np.float64] | None, frame_id: str) -> Pose:
    if turned is not None:
        return Pose.from_matrix(np.column_stack([turned, at]), frame_id)
    x, y, z = at.tolist()
    return Pose(x, y, z, None, frame_id)


@dataclass(frozen=True, slots=True)
class _Steps:
    """Motions from places to the next: (M, 3) in axes of the map, and of the body before."""

    map: NDArray[np.float64]
    body: NDArray[np.float64]


def _steps(places: Sequence[Place], turned: NDArray[np.float64]) -> _Steps:
    """Steps of the runs; of bodies whose rotation (N, 3, 3) is known, also as they see them."""
    number = {name: i for i, name in enumerate(sorted({place.session for place in places}))}
    runs = np.array([number[place.session] for place in places], np.int64)
    at = np.array([(math.nan,) * 3 if p.pose is None else p.pose.position for p in places])
    chain = np.lexsort((np.array([place.index for place in places]), runs))
    first, second = chain[:-1], chain[1:]
    moved = (at[second] - at[first]).reshape(-1, 3)
    near = (runs[first] == runs[second]) & (np.linalg.norm(moved, axis=1) <= _STEP)
    seen = np.einsum("nji,nj->ni", turned[first[near]], moved[near])
    return _Steps(moved[near], seen[np.isfinite(seen).all(axis=1)])


def _rotations(places: Sequence[Place]) -> NDArray[np.float64]:
    """(N, 3, 3), NaN where unknown."""
    unknown = (math.nan,) * 4
    poses = [place.pose for place in places]
    quaternions = [unknown if p is None else p.quaternion or unknown for p in poses]
    x, y, z, w = np.array(quaternions, np.float64).reshape(-1, 4).T
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.moveaxis(np.array(rows), 2, 0)


def _moves_along_z(steps: NDArray[np.float64], flat: int | None = None) -> bool:
    """Whether most of a path is along z; and next to none along another axis, where one is given.

    A ground robot goes along its z axis only if that is not up.
    """
    along = np.abs(steps).sum(axis=0)
    total = float(along.sum())
    if total < _LEAST_PATH or along[2] <= _ALONG * total:
        return False
    return flat is None or bool(along[flat] <= 0.1 * total)


def _mean(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = vectors.mean(axis=0)
    return result


def _snap(up: NDArray[np.float64], otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    """An up of length 1, an axis where it is near one; another where there is none in common."""
    length = float(np.linalg.norm(up))
    if length < _COMMON:
        return otherwise
    up = up / length
    axis = int(np.abs(up).argmax())
    if abs(up[axis]) >= _NEARLY:
        up = np.eye(3)[axis] * np.sign(up[axis])
    return up


def _towards(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) rotation into coordinates whose z is the normal, and x as near to x as can be."""
    x = np.eye(3)[0] if abs(normal[0]) < 0.9 else np.eye(3)[1]
    x = x - (x @ normal) * normal
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(normal, x), normal]) + 0.0


def _levelled(up: NDArray[np.float64], axes: Axes) -> NDArray[np.float64]:
    """(3, 3) axes of the level body in the body, from where the bodies have up in common."""
    length = float(np.linalg.norm(up))
    usual = _UP[axes]
    up = usual if length < _COMMON or up @ usual / length >= _TILT else up / length
    return _towards(up).T
