"""Modes of a mass over places: where it is, and how much lies within the radius."""

from __future__ import annotations

import numpy as np

from placememory._types import Floats, Rows
from placememory.fusion._places import NearIndex, PlaceTable


class Modes:
    """Finds distinct modes.

    Args:
        table: Sorted by session and order.
        index: Of its positions.
        radius: Metres that belong to a mode.
        reach: Steps of a run that belong to it, for places without position.
    """

    def __init__(self, table: PlaceTable, index: NearIndex, radius: float, reach: int) -> None:
        self._table, self._index = table, index
        self._radius, self._reach = radius, reach
        self._has_position = table.has_position

    def find(self, mass: Floats, most: int, least: float = 1e-3) -> list[tuple[int, float, Rows]]:
        """Row of its peak, mass within the radius, rows within it; heaviest first.

        Peaks are more than two radii apart; after the first, those below ``least`` of it are left
        out.
        """
        left = mass.copy()
        found: list[tuple[int, float, Rows]] = []
        for _ in range(most):
            row = int(np.argmax(left))
            if not self._has_position[row]:
                row = self._middle(left, row)
            members, around = self._around(left, row)
            inside = left[members]
            total = float(inside.sum())
            if total <= 0.0 or (found and total < least * found[0][1]):
                break
            peak = int(members[np.argmax(inside)]) if self._has_position[row] else row
            found.append((peak, total, members))
            left[around] = 0.0
        return sorted(found, key=lambda mode: (-round(mode[1], 12), mode[0]))

    def _middle(self, mass: Floats, row: int) -> int:
        """The median of the mass within reach of a row."""
        near = self._run(row, self._reach)
        held = np.cumsum(mass[near])
        return int(near[np.searchsorted(held, 0.5 * held[-1])])

    def _around(self, mass: Floats, row: int) -> tuple[Rows, Rows]:
        """Rows within the radius of the mode at a row, and within two of them."""
        if not self._has_position[row]:
            return self._run(row, self._reach), self._run(row, 2 * self._reach)
        centre = self._table.positions[row]
        rows = self._index.within(centre, 4 * self._radius)
        place, weight = self._table.positions[rows], mass[rows]
        far = np.sqrt(((place - centre) ** 2).sum(axis=1))
        for _ in range(2):
            inside = np.where(far <= self._radius, weight, 0.0)
            if inside.sum() <= 0:
                break
            again = np.sqrt(((place - inside @ place / inside.sum()) ** 2).sum(axis=1))
            if weight[again <= self._radius].sum() < inside.sum():
                break
            far = again
        return rows[far <= self._radius], np.union1d(rows[far <= 2 * self._radius], [row])

    def _run(self, row: int, reach: int) -> Rows:
        """Rows of the same run within some steps, by their order."""
        near = np.arange(max(0, row - reach), min(len(self._table), row + reach + 1))
        same = self._table.session[near] == self._table.session[row]
        steps = np.abs(self._table.order[near] - self._table.order[row])
        result: Rows = near[same & (steps <= reach) & ~self._has_position[near]]
        return result
