"""Which places are near a point: a grid of square cells over x and y."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from placememory._types import Floats, Rows
from placememory.fusion._places import PlaceTable


class NearIndex:
    """Places near points, found by cells; rows without position are never near.

    Args:
        positions: (N, 2) or (N, 3) metres, NaN where unknown.
        cell: Side of a cell in metres; about the radius that will be asked for.

    Example:
        >>> index = NearIndex(np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]]), cell=1.0)
        >>> index.within(np.array([0.4, 0.0]), 1.0).tolist()
        [0, 1]
    """

    def __init__(self, positions: Floats, cell: float) -> None:
        self.positions = positions
        known = np.flatnonzero(~np.isnan(positions[:, 0]))
        flat = positions[known, :2]
        self._low = flat.min(axis=0) if len(known) else np.zeros(2)
        span = float(np.ptp(flat, axis=0).max()) if len(known) else 0.0
        self._cell = max(cell if math.isfinite(cell) else 1.0, span / 1e6, 1e-9)
        cells = np.floor((flat - self._low) / self._cell).astype(np.int64)
        self._size = cells.max(axis=0) + 1 if len(known) else np.zeros(2, np.int64)
        keys = cells[:, 0] * self._size[1] + cells[:, 1]
        order = np.argsort(keys, kind="stable")
        self._keys, self._rows = keys[order], known[order]

    def within(self, point: Floats, radius: float) -> Rows:
        """Rows within ``radius`` metres of one point (2,) or (3,), in their order."""
        low, high = (point[:2] - self._low - radius, point[:2] - self._low + radius)
        first = np.clip(np.floor(low / self._cell), 0, self._size).astype(np.int64).tolist()
        last = np.clip(np.floor(high / self._cell), -1, self._size - 1).astype(np.int64).tolist()
        column = np.arange(first[0], last[0] + 1) * self._size[1]
        start = np.searchsorted(self._keys, column + first[1]).tolist()
        stop = np.searchsorted(self._keys, column + last[1], side="right").tolist()
        parts = [self._rows[a:b] for a, b in zip(start, stop, strict=True) if a < b]
        rows = np.concatenate(parts) if parts else self._rows[:0]
        near = rows[np.sqrt(((self.positions[rows] - point) ** 2).sum(axis=1)) <= radius]
        return np.sort(near)

    def pairs(
        self, points: Floats, radius: float, most: int | None = None
    ) -> tuple[Rows, Rows, Floats]:
        """All places within ``radius`` metres of each point.

        Args:
            points: (M, 2) or (M, 3) metres, like the places; NaN has no neighbours.
            radius: Metres.
            most: Pairs to look at; points that would exceed it are left out, from the end.

        Returns:
            Three arrays (P,): number of the point, row of the place, metres between them.
        """
        start, stop = self._ranges(points, radius)
        counts = (stop - start).sum(axis=1)
        if most is not None:
            counts = np.where(np.cumsum(counts) <= most, counts, 0)
            stop = np.where(counts[:, None] > 0, stop, start)
        lengths = (stop - start).ravel()
        total = int(lengths.sum())
        first = np.repeat(start.ravel() - (np.cumsum(lengths) - lengths), lengths)
        rows = self._rows[first + np.arange(total)]
        source = np.repeat(np.arange(len(points)), counts)
        apart = np.sqrt(((self.positions[rows] - points[source]) ** 2).sum(axis=1))
        kept = apart <= radius
        return source[kept], rows[kept], apart[kept]

    def _ranges(self, points: Floats, radius: float) -> tuple[Rows, Rows]:
        """(M, C) first and last+1 of the sorted cells, one range for each column of cells."""
        known = ~np.isnan(points[:, 0])
        at = np.where(known[:, None], points[:, :2] - self._low, 0.0) / self._cell
        reach = radius / self._cell
        low = np.clip(np.floor(at - reach), 0, self._size).astype(np.int64)
        high = np.clip(np.floor(at + reach), -1, self._size - 1).astype(np.int64)
        width = int((high[:, 0] - low[:, 0]).max(initial=-1)) + 1
        column = low[:, :1] + np.arange(width)
        valid: NDArray[np.bool_] = (
            (column <= high[:, :1]) & (low[:, 1:] <= high[:, 1:]) & known[:, None]
        )
        key = column * self._size[1]
        start = np.searchsorted(self._keys, key + low[:, 1:])
        stop = np.searchsorted(self._keys, key + high[:, 1:], side="right")
        return start, np.where(valid, np.maximum(stop, start), start)


def evenly(table: PlaceTable, index: NearIndex) -> Floats:
    """(N,) the same for every spot of the map, however often it was passed; sums to 1."""
    count = np.ones(len(table))
    if math.isfinite(table.spacing):
        source, _, _ = index.pairs(table.positions, 0.5 * table.spacing, 200 * len(table))
        count = np.maximum(1.0, np.bincount(source, minlength=len(table)))
    result: Floats = (1.0 / count) / (1.0 / count).sum()
    return result
