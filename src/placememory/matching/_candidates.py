"""Where in the map the sequences end that are most like a window, pooled from its frames."""

from __future__ import annotations

import numpy as np

from placememory._types import Rows
from placememory.matching._walk import smallest
from placememory.matching._windows import DistanceWindow, Growing

_OPPOSED = 1e-4  # of the longest mean: shorter ones are rounding, as their frames cancel out
_BLOCK = 1024


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
        """Free the memory reserved for further rows."""
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
