"""Motion without odometry: along the order of the mapping runs, at a speed that is learned."""

from __future__ import annotations

import math

import numpy as np

from placememory._types import Floats, Rows
from placememory.fusion._motion import wrapped
from placememory.fusion._near import NearIndex
from placememory.fusion._places import PlaceTable
from placememory.fusion._runs import Runs

_FACING = math.radians(60.0)
_NEIGHBOURS = 8


class OrderMotion:
    """Steps along the runs, with a learned distribution, and over to places nearby.

    The places are those of the table in the order of its chain. A step goes -max_step to max_step
    rows on within a run and beyond its ends (see :class:`Runs`); mass that goes farther leaves
    the map. The distribution of steps starts as a broad one that prefers going forward and is
    learned while the robot moves (expected counts, forgotten over ``memory`` frames), so twice
    the speed, a stop and the way back are all found.

    Args:
        table: Sorted by session and order.
        index: Of its positions.
        max_step: Rows.
        cross: Share of the mass that goes over to near places, which may be of another run.
        memory: Frames.
    """

    def __init__(
        self,
        table: PlaceTable,
        index: NearIndex,
        *,
        max_step: int,
        cross: float,
        memory: float,
    ) -> None:
        self._steps = np.arange(-max_step, max_step + 1, dtype=np.int64)
        self._keep = 1.0 - 1.0 / memory
        self._prior = _prior(self._steps)
        self.runs = Runs(table)
        self._leaving = [self.runs.leaving(step) for step in self._steps.tolist()]
        self._cross = cross
        self._links = _links(table, index, max_step)
        self.reset()

    def reset(self) -> None:
        """Forget the speed."""
        self._counts = 4.0 * self._prior

    @property
    def steps(self) -> Floats:
        """(2 max_step + 1,) probability of each step, from -max_step on."""
        result: Floats = self._counts / self._counts.sum()
        return result

    def predict(self, mass: Floats, beyond: Floats) -> tuple[Floats, Floats]:
        """Mass of places (N,) and beyond ends (B,) one usual step later; the rest left the map."""
        whole = self.runs.joined(mass, beyond)
        moved = np.zeros(len(whole))
        for step, share, leaving in zip(self._steps, self.steps, self._leaving, strict=True):
            _shift(moved, share * whole, int(step), leaving)
        result, past = self.runs.parted(moved)
        source, target, share = self._links
        if len(source):
            over = self._cross * result[source] * share
            result -= np.bincount(source, over, len(mass))
            result += np.bincount(target, over, len(mass))
            np.maximum(result, 0.0, out=result)
        return result, past

    def learn(self, before: Floats, likelihood: Floats) -> None:
        """Count the steps that the newest frame makes likely.

        Args:
            before: (N,) mass before the step; what it lacks to 1 is off the map.
            likelihood: (N,) of the newest frame.
        """
        found = np.zeros(len(self._steps))
        for i, step in enumerate(self._steps.tolist()):
            here = before[max(0, -step) : len(before) - max(0, step)]
            there = likelihood[max(0, step) : len(before) - max(0, -step)]
            found[i] = here @ there
        found *= self.steps
        total = float(found.sum())
        if total > 0:
            on = float(before.sum())
            rows = on**2 / max(float((before**2).sum()), 1e-300)  # that the mass is spread over
            sure = on * min(1.0, self._steps[-1] / rows)
            counts = self._keep * (self._counts - 4.0 * self._prior) + found / total * sure
            self._counts = counts + 4.0 * self._prior


def _shift(result: Floats, mass: Floats, step: int, leaving: Rows) -> None:
    """Add mass, moved ``step`` rows on, to the result; what leaves its run is gone."""
    mass[leaving] = 0.0
    if abs(step) < len(mass):
        result[max(0, step) : len(mass) - max(0, -step)] += mass[
            max(0, -step) : len(mass) - max(0, step)
        ]


def _prior(steps: Rows) -> Floats:
    """Stop 0.2, forward 0.6, back 0.2; half as likely for each row more."""
    forward, back = np.maximum(steps, 0), np.maximum(-steps, 0)
    weight = np.where(steps > 0, 0.5**forward, np.where(steps < 0, 0.5**back, 0.0))
    ahead = 0.6 * np.where(steps > 0, weight, 0.0) / weight[steps > 0].sum()
    behind = 0.2 * np.where(steps < 0, weight, 0.0) / weight[steps < 0].sum()
    result: Floats = ahead + behind + np.where(steps == 0, 0.2, 0.0)
    return result


def _links(table: PlaceTable, index: NearIndex, max_step: int) -> tuple[Rows, Rows, Floats]:
    """Source, target and share of the passages to near places that no step along a run reaches."""
    none = np.zeros(0, np.int64)
    if not math.isfinite(table.spacing):
        return none, none, np.zeros(0)
    source, target, metres = index.pairs(table.positions, 2.0 * table.spacing, 50 * len(table))
    turn = np.abs(wrapped(table.yaw[source] - table.yaw[target]))
    reached = (table.session[source] == table.session[target]) & (
        np.abs(source - target) <= max_step
    )
    use = ~reached & ~(turn > _FACING)
    source, target, metres = source[use], target[use], metres[use]
    order = np.lexsort((target, metres, source))
    source, target = source[order], target[order]
    start = np.searchsorted(source, source)
    use = np.arange(len(source)) - start < _NEIGHBOURS
    source, target = source[use], target[use]
    counts = np.bincount(source, minlength=len(table))
    return source, target, 1.0 / counts[source]
