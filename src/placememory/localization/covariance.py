"""Covariance of an answer in ROS order, from the three coordinates that a belief knows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from placememory.frames import Pose
from placememory.fusion import Belief
from placememory.memory import Candidate, Place

UNKNOWN_ANGLE = math.pi**2 / 3
"""Variance of an angle of which nothing is known, radians squared: all directions alike."""

_METRES, _RADIANS = 0.1, 0.1  # standard deviations of the poses of a map
_NEAR = 3.0  # standard deviations around a hypothesis whose places are its mode
_LEAST = 1.0  # metres; a mode is never narrower
_PLANAR = np.ix_([0, 1, 5], [0, 1, 5])


class MapSpread:
    """Heights, rolls and pitches of a map's places, for what a belief does not know.

    A belief is about x, y and yaw. Height, roll and pitch of its answer are spread like those of
    the places within three standard deviations of it (and a metre), seen from the height of the
    answer and from level, plus 0.1 m and 0.1 rad for the noise of poses. Angles that no such place
    knows have the variance of a uniform angle, :data:`UNKNOWN_ANGLE`.

    Args:
        places: Of the map, by row.

    Example:
        >>> from placememory.fusion import Hypothesis
        >>> ramp = [Pose.from_yaw(i, 0.0, 0.0, z=0.3 * i) for i in range(9)]
        >>> spread = MapSpread([Place("run", i, f"{i}.png", pose=p) for i, p in enumerate(ramp)])
        >>> here = Hypothesis(4, ("run", 4), 0.9, (4.0, 0.0, 1.2), 0.0)
        >>> belief = Belief("located", (here,), 0.9, 0.0, 0.1, 3, np.diag([0.25, 0.09, 0.01]))
        >>> np.sqrt(spread.of_belief(belief).diagonal()).round(2).tolist()
        [0.5, 0.3, 0.26, 0.1, 0.1, 0.1]
    """

    def __init__(self, places: Sequence[Place]) -> None:
        poses = [place.pose for place in places]
        self._at = np.array([_coordinates(pose) for pose in poses]).reshape(-1, 5)
        self._known = np.flatnonzero(~np.isnan(self._at[:, 0]))
        self._tree = cKDTree(self._at[self._known, :3]) if len(self._known) else None

    def of_belief(self, belief: Belief) -> NDArray[np.float64] | None:
        """(6, 6) of the first hypothesis, always finite; ``None`` without its position."""
        if belief.position is None:
            return None
        x, y, *height = belief.position
        result = np.diag([_METRES**2] * 3 + [UNKNOWN_ANGLE] * 3)
        if belief.covariance is not None:
            known = np.isfinite(belief.covariance)
            result[_PLANAR] = np.where(known, belief.covariance, result[_PLANAR])
        reach = max(_LEAST, _NEAR * math.sqrt(float(np.linalg.eigvalsh(result[:2, :2])[-1])))
        level = height[0] if height else 0.0
        if self._tree is not None:
            found = self._tree.query_ball_point([x, y, level], reach)
            rows = np.sort(found) if found else self._tree.query([x, y, level], [1])[1]
            _add_level(result, self._at[self._known[rows]], level)
        return result


def of_candidates(candidates: Sequence[Candidate]) -> NDArray[np.float64] | None:
    """(6, 6) of a frame that is answered alone: how far the other candidates are from the first.

    Returns:
        Finite; ``None`` where the first candidate has no pose.
    """
    poses = [candidate.place.pose for candidate in candidates]
    if not poses or poses[0] is None:
        return None
    first = poses[0]
    at = np.array([_coordinates(pose) for pose in poses if pose is not None])
    yaws = np.array([pose.yaw for pose in poses if pose is not None])
    turns = np.remainder(yaws - first.yaw + math.pi, 2 * math.pi) - math.pi
    offset = at[:, :2] - [first.x, first.y]
    result = np.diag([_METRES**2] * 3 + [UNKNOWN_ANGLE] * 3)
    result[:2, :2] += offset.T @ offset / len(offset)
    result[5, 5] = _variance(turns)
    _add_level(result, at, first.z)
    return result


def _coordinates(pose: Pose | None) -> tuple[float, ...]:
    """x, y, z, roll and pitch; NaN where unknown."""
    if pose is None:
        return (math.nan,) * 5
    return pose.x, pose.y, pose.z, *pose.tilt


def _add_level(result: NDArray[np.float64], near: NDArray[np.float64], height: float) -> None:
    """Set the variances of height, roll and pitch to those of places; roll and pitch from level."""
    heights = near[np.isfinite(near[:, 2]), 2] - height
    result[2, 2] = _METRES**2 + (float(np.mean(heights**2)) if len(heights) else 0.0)
    result[3, 3], result[4, 4] = _variance(near[:, 3]), _variance(near[:, 4])


def _variance(angles: NDArray[np.float64]) -> float:
    """Mean square of the known angles, and the noise of poses; at most that of any angle."""
    known = angles[np.isfinite(angles)]
    if not len(known):
        return UNKNOWN_ANGLE
    return min(UNKNOWN_ANGLE, float(np.mean(known**2)) + _RADIANS**2)
