"""Motion compensation: hypotheses of older frames become where the robot would be now."""

from __future__ import annotations

import statistics
from collections import deque

import numpy as np
from numpy.typing import ArrayLike

from placememory._types import Floats
from placememory.errors import InputError
from placememory.fusion._evidence import Odometry

_STEPS = 15  # whose median is the usual step: a burst or a gap does not change it


def wrapped(angle: ArrayLike) -> Floats:
    """Angles in [-pi, pi), radians.

    Example:
        >>> wrapped([0.0, 3.5 * np.pi]).round(3).tolist()
        [0.0, -1.571]
    """
    result: Floats = (np.asarray(angle, dtype=np.float64) + np.pi) % (2 * np.pi) - np.pi
    return result


def moved(positions: Floats, yaw: Floats, motion: Odometry) -> tuple[Floats, Floats]:
    """Poses after the robot at each of them made one and the same motion.

    Args:
        positions: (..., 2) or (..., 3) metres, map frame; z stays.
        yaw: (...) radians; where NaN the direction is unknown, and the position stays.
        motion: In the robot's frame.

    Returns:
        New positions and yaws, of the same shapes.

    Example:
        >>> there, heading = moved(np.array([[1.0, 0.0]]), np.array([np.pi / 2]),
        ...                        Odometry(2.0, 0.0, 0.0))
        >>> there.round(6).tolist()
        [[1.0, 2.0]]
    """
    known = ~np.isnan(yaw)
    cosine, sine = np.cos(np.where(known, yaw, 0.0)), np.sin(np.where(known, yaw, 0.0))
    result = positions.copy()
    result[..., 0] += np.where(known, cosine * motion.dx - sine * motion.dy, 0.0)
    result[..., 1] += np.where(known, sine * motion.dx + cosine * motion.dy, 0.0)
    return result, np.where(known, wrapped(yaw + motion.dyaw), np.nan)


def mean_yaw(yaw: Floats, weights: Floats) -> tuple[float, float]:
    """Circular mean and variance (radians squared) of the known yaws; NaN if none is known.

    Yaws more than 90 degrees from the heaviest are views the other way and are left out.

    Example:
        >>> tuple(round(v, 3) for v in mean_yaw(np.array([3.1, -3.1]), np.ones(2)))
        (-3.142, 0.002)
    """
    known = ~np.isnan(yaw) & (weights > 0)
    if not known.any():
        return float("nan"), float("nan")
    yaw, weights = yaw[known], weights[known]
    agree = np.cos(yaw - yaw[np.argmax(weights)]) >= 0
    yaw, weights = yaw[agree], weights[agree]
    mean = np.arctan2(weights @ np.sin(yaw), weights @ np.cos(yaw))
    spread = float(weights @ wrapped(yaw - mean) ** 2 / weights.sum())
    return float(wrapped(mean)), spread


def pose_of(
    positions: Floats, yaw: Floats, weights: Floats, *, floor_xy: float, floor_yaw: float = 0.1
) -> tuple[Floats, float, Floats]:
    """Weighted mean pose of one mode and its covariance.

    Args:
        positions: (P, 2) or (P, 3) metres, finite.
        yaw: (P,) radians or NaN.
        weights: (P,) of at least 0, one of them above.
        floor_xy: Standard deviation in metres that is added: spacing of places, noise of poses.
        floor_yaw: The same for yaw, radians.

    Returns:
        Mean position (2 or 3,), mean yaw, covariance (3, 3) of x, y, yaw.
    """
    share = weights / weights.sum()
    mean = share @ positions
    heading, spread = mean_yaw(yaw, weights)
    offset = positions[:, :2] - mean[:2]
    covariance = np.full((3, 3), np.nan)
    covariance[:2, :2] = (offset * share[:, None]).T @ offset + floor_xy**2 * np.eye(2)
    if np.isfinite(heading):
        turn = wrapped(yaw - heading)
        turn = np.where(np.abs(turn) <= np.pi / 2, turn, 0.0)  # unknown, or a view the other way
        covariance[2, :2] = covariance[:2, 2] = (share * turn) @ offset
        covariance[2, 2] = max(spread, float(share @ turn**2)) + floor_yaw**2
    return mean, heading, covariance


class Clock:
    """Stamps of the frames: refuses those out of order, tells how many usual steps passed.

    Example:
        >>> clock = Clock()
        >>> [clock.tick(stamp) for stamp in (0.0, 1.0, 2.0, 2.0, 6.0)]
        [1, 1, 1, 0, 4]
    """

    def __init__(self, most: int = 10) -> None:
        self._most = most
        self._last: float | None = None
        self._steps: deque[float] = deque(maxlen=_STEPS)

    def check(self, stamp: float | None) -> None:
        """Refuse a stamp before the last one; nothing changes.

        Raises:
            InputError: It is earlier than the last frame's.
        """
        if stamp is not None and self._last is not None and stamp < self._last:
            raise InputError(
                f"the stamp {stamp} s is before that of the last frame, {self._last} s; give "
                "frames in their order, or reset the fusion"
            )

    def tick(self, stamp: float | None) -> int:
        """Usual steps since the last frame: 0 where the stamp repeats, 1 where it is unknown."""
        self.check(stamp)
        if stamp is None or self._last is None:
            self._last = self._last if stamp is None else stamp
            return 1
        step = stamp - self._last
        self._last = stamp
        if step <= 0:
            return 0
        count = round(step / statistics.median(self._steps)) if self._steps else 1
        self._steps.append(step)
        return min(max(count, 1), self._most)
