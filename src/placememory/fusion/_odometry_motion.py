"""Motion with odometry: mass goes to the places where the motion leads, or off the map."""

from __future__ import annotations

import math

import numpy as np

from placememory._types import Floats, Rows
from placememory.fusion._evidence import Odometry
from placememory.fusion._motion import moved, wrapped
from placememory.fusion._near import NearIndex
from placememory.fusion._places import PlaceTable

_CUT = 3.0  # sigmas
_OFF = math.exp(-0.5 * _CUT**2)
_ACTIVE = 512
_NEGLIGIBLE = 1e-6  # of the heaviest place
_PAIRS = 60_000


class OdometryMotion:
    """Mass of each place goes to the places near where the motion leads from it.

    The share of place j is exp(-d^2 / 2 s^2) exp(-a^2 / 2 r^2), with the distance d and the angle
    a between j and the moved pose, s^2 = std_xy^2 + (slack spacing)^2 and r^2 = std_yaw^2 +
    turn^2. Where no place lies within three s, the mass leaves the map. Where the yaw is unknown,
    or ``turn`` is ``None``, all directions are possible: d is the difference of the distances.
    Only the 512 heaviest places move; the rest of the mass is spread out, and stays.

    Args:
        table: Sorted by session and order.
        index: Of its positions.
        slack: Of the robot's distance to a place, in spacings of the map.
        turn: Degrees that the robot's heading may differ from the place's, standard deviation.
    """

    def __init__(
        self, table: PlaceTable, index: NearIndex, *, slack: float, turn: float | None
    ) -> None:
        self._table, self._index = table, index
        self._spacing = table.spacing if math.isfinite(table.spacing) else 1.0
        self._slack = slack * self._spacing
        self._turn = None if turn is None else math.radians(turn)
        source, _, _ = index.pairs(table.positions, _CUT * self._slack, 500 * len(table))
        self._crowd = np.bincount(source, minlength=len(table)) + 1

    def enough(self, motion: Odometry) -> bool:
        """Whether a motion is long enough to change places: half a spacing, or 15 degrees."""
        return motion.distance >= 0.5 * self._spacing or abs(motion.dyaw) >= math.radians(15.0)

    def share_moved(self, motion: Odometry) -> float:
        """0 to 1: how much of half a spacing, or of 15 degrees, the robot moved."""
        turn = abs(motion.dyaw) / math.radians(15.0)
        return min(1.0, max(motion.distance / (0.5 * self._spacing), turn))

    def predict(self, mass: Floats, motion: Odometry) -> Floats:
        """Mass (N,) of posed places after the motion; what is missing has left the map."""
        active = self._active(mass)
        result = mass.copy()
        result[active] = 0.0
        known = np.isfinite(self._table.yaw[active]) & (self._turn is not None)
        for sources, ring in ((active[known], False), (active[~known], True)):
            if len(sources):
                at, row, share = self._passages(sources, motion, ring)
                result += np.bincount(row, mass[sources][at] * share, len(mass))
        return result

    def _active(self, mass: Floats) -> Rows:
        """Heaviest rows, as many as may be looked at."""
        active = np.flatnonzero(mass > _NEGLIGIBLE * float(mass.max()))
        active = active[np.lexsort((active, -mass[active]))][:_ACTIVE]
        return active[np.cumsum(self._crowd[active]) <= max(_PAIRS, int(self._crowd.max()))]

    def _passages(self, sources: Rows, motion: Odometry, ring: bool) -> tuple[Rows, Rows, Floats]:
        """Number of the source, target row and share of each passage."""
        sigma = math.hypot(min(motion.std_xy, 10 * self._spacing), self._slack)
        place, yaw = self._table.positions[sources], self._table.yaw[sources]
        if ring:
            far = min(motion.distance, 20 * self._spacing)
            at, row, metres = self._index.pairs(place, far + _CUT * sigma, 4 * _PAIRS)
            metres = metres - far
        else:
            place, _ = moved(place, yaw, motion)
            at, row, metres = self._index.pairs(place, _CUT * sigma)
        weight = np.exp(-0.5 * (metres / sigma) ** 2)
        if self._turn is not None:
            off = wrapped(self._table.yaw[row] - yaw[at] - motion.dyaw)
            spread = math.hypot(min(motion.std_yaw, math.pi), self._turn)
            weight *= np.where(np.isfinite(off), np.exp(-0.5 * (off / spread) ** 2), 1.0)
        total = np.bincount(at, weight, len(sources)) + _OFF
        return at, row, weight / total[at]
