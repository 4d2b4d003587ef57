"""The places as runs, each going on a little beyond its ends, where nothing was mapped."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from placememory._types import Floats, Rows
from placememory.fusion._places import PlaceTable

_DEPTH = 5
_ALIKE = 0.85
_GAP = 5.0


class Runs:
    """Runs of places with five more steps beyond each end.

    A run ends where its session does, and where it has a gap: five times the usual step, in metres
    where positions are known, else in order. A robot that goes on past an end still sees the last
    place, so that place alone cannot tell; the steps beyond stand for where the robot is then.
    Runs of five places or fewer have none.

    Args:
        table: Sorted by session and order.

    Attributes:
        end: (B,) the row that each step lies beyond.
        depth: (B,) how far beyond, in steps from 1.
    """

    def __init__(self, table: PlaceTable) -> None:
        last = np.flatnonzero(_run_ends(table))
        first = np.concatenate(([0], last[:-1] + 1))
        length = last - first + 1
        extra = np.where(length > _DEPTH, _DEPTH, 0)
        start = np.cumsum(length + 2 * extra) - (length + 2 * extra)
        stop = start + length + 2 * extra - 1
        self._place = np.arange(len(table)) + np.repeat(start + extra - first, length)
        ends, steps = np.flatnonzero(extra), np.arange(1, _DEPTH + 1)
        self.end = np.repeat(np.concatenate((first[ends], last[ends])), _DEPTH)
        self.depth = np.tile(steps, 2 * len(ends))
        before, behind = self._place[first[ends], None], self._place[last[ends], None]
        self._beyond = np.concatenate(((before - steps).ravel(), (behind + steps).ravel()))
        self._start, self._stop = (np.repeat(edge, length + 2 * extra) for edge in (start, stop))

    def leaving(self, step: int) -> Rows:
        """What a step takes out of its run."""
        goal = np.arange(len(self._start)) + step
        return np.flatnonzero((goal < self._start) | (goal > self._stop))

    def joined(self, mass: Floats, beyond: Floats) -> Floats:
        """Mass of places (N,) and beyond ends (B,) in the order of the runs."""
        result = np.zeros(len(self._start))
        result[self._place], result[self._beyond] = mass, beyond
        return result

    def parted(self, joined: Floats) -> tuple[Floats, Floats]:
        """The inverse."""
        return joined[self._place], joined[self._beyond]

    def nats(self, places: Floats, off_map: float) -> Floats:
        """(B,) of a frame beyond ends: from those of the end to those off the map, by the depth."""
        result: Floats = off_map + _ALIKE**self.depth * np.maximum(0.0, places[self.end] - off_map)
        return result


def _run_ends(table: PlaceTable) -> NDArray[np.bool_]:
    """(N,) bool: whether no step leads on from a place."""
    other: NDArray[np.bool_] = np.diff(table.session, append=-1) != 0
    apart = np.diff(table.order, append=0)
    metres = np.linalg.norm(np.diff(table.positions, axis=0), axis=1)
    if other.all():
        return other
    skipped = apart > _GAP * float(np.median(apart[~other]))
    far = np.append(metres, np.nan)
    if not math.isfinite(table.spacing):
        return other | skipped
    return other | np.where(np.isfinite(far), far > _GAP * table.spacing, skipped)
