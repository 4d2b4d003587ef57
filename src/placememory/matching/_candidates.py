"""Where in the map the nearest sequences end: of a sequence encoder, or pooled from frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from placememory._types import Rows, Vectors
from placememory.matching._walk import smallest
from placememory.matching._windows import DistanceWindow, Growing

_ROUNDING = 2e-5  # of a squared distance in float32, as a share of the squared lengths
_OPPOSED = 1e-4  # of the longest mean: shorter ones are rounding, as their frames cancel out
_BLOCK = 1024


class SequenceIndex:
    """Sequence descriptors as they came, and the row of the map that each one ends at.

    Args:
        dim: Ds, length of sequence descriptors.

    Example:
        >>> index = SequenceIndex(dim=1)
        >>> index.append(np.array([[0.0], [5.0], [4.0]], np.float32), [4, 5, 6])
        >>> index.nearest(np.array([4.8], np.float32), count=2, limit=7).tolist()
        [5, 6]
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._vectors: Growing[np.float32] = Growing((dim,), np.float32)
        self._squares: Growing[np.float32] = Growing((), np.float32)
        self._ends: Growing[np.int64] = Growing((), np.int64)

    def __len__(self) -> int:
        """How many sequences there are."""
        return len(self._ends)

    @property
    def nbytes(self) -> int:
        """Size of all buffers."""
        return self._vectors.nbytes + self._squares.nbytes + self._ends.nbytes

    def append(self, vectors: Vectors, ends: NDArray[np.int64] | list[int]) -> None:
        """Add descriptors (m, Ds) and their last rows (m,), which only increase."""
        self._vectors.append(vectors)
        self._squares.append(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        self._ends.append(ends)

    def trim(self) -> None:
        """Give back the room that was kept for further sequences."""
        for grown in (self._vectors, self._squares, self._ends):
            grown.trim()

    def nearest(self, query: Vectors, count: int, limit: int) -> Rows:
        """Last rows of the sequences with the smallest Euclidean distance, nearest first.

        Exact: a float32 product selects, and what lies within its rounding is measured in float64.
        Of equal ones the earlier row comes first.

        Args:
            query: (Ds,).
            count: How many; fewer where there are fewer.
            limit: Only sequences that end before this row.
        """
        known = int(np.searchsorted(self._ends.rows, limit))
        if known == 0:
            return np.empty(0, np.int64)
        vectors, squares = self._vectors.rows[:known], self._squares.rows[:known]
        costs = squares - 2 * (vectors @ query)
        slack = 0.0
        if count < known:
            length = float(np.einsum("i,i->", query, query, dtype=np.float64))
            slack = _ROUNDING * (length + float(squares.max()))
            costs -= costs[smallest(costs, count)[-1]]
            near = np.flatnonzero(costs <= slack)
        else:
            near = np.arange(known)
        exact = np.concatenate(
            [
                np.square(vectors[near[start : start + _BLOCK]] - query, dtype=np.float64).sum(
                    axis=1
                )
                for start in range(0, len(near), _BLOCK)
            ]
        )
        return self._ends.rows[near[np.argsort(exact, kind="stable")[:count]]]


class PooledSequences:
    """Sequences pooled from frames: the normalised mean of a window's frame descriptors.

    No mean is kept. The inner product of two means is the mean of all inner products between their
    frames, and those are in the distances already: a block of T x T of them. Only the lengths of
    the means are computed ahead, one per row.

    Args:
        window: Rows of the map, and the frames of the window.

    Example:
        >>> window = DistanceWindow(length=2, dim=2)
        >>> window.append(np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32))
        >>> for frame in ([1, 0], [0, 1]):
        ...     window.push(np.array(frame, np.float32))
        >>> PooledSequences(window).nearest(count=1, limit=4).tolist()
        [2]
    """

    def __init__(self, window: DistanceWindow) -> None:
        self._window = window
        self._lengths: Growing[np.float32] = Growing((), np.float32)

    @property
    def nbytes(self) -> int:
        """Size of the buffer."""
        return self._lengths.nbytes

    def extend(self) -> None:
        """Compute the lengths of means that end at new rows; called by ``nearest`` if need be."""
        rows, size = self._window.rows, self._window.length
        for start in range(size - 1 + len(self._lengths), len(rows), _BLOCK):
            stop = min(start + _BLOCK, len(rows))
            sums = np.zeros((stop - start, rows.shape[1]), np.float32)
            for back in range(size):
                sums += rows[start - back : stop - back]
            self._lengths.append(np.sqrt(np.einsum("ij,ij->i", sums, sums, dtype=np.float64)))

    def trim(self) -> None:
        """Give back the room that was kept for further rows."""
        self._lengths.trim()

    def nearest(self, count: int, limit: int) -> Rows:
        """Last rows of the sequences of the map that are nearest to the window, nearest first.

        Args:
            count: How many; fewer where there are fewer.
            limit: Only sequences that end before this row.
        """
        size = self._window.length
        if len(self._window) < size or limit < size:
            return np.empty(0, np.int64)
        self.extend()
        running = np.zeros(limit + 1)
        np.cumsum(self._window.products(limit), dtype=np.float64, out=running[1:])
        blocks = running[size:] - running[:-size]
        lengths = self._lengths.rows[: len(blocks)]
        lengths = np.maximum(lengths, _OPPOSED * lengths.max())
        return smallest(-blocks / lengths, count) + size - 1
