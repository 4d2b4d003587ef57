"""SeqSLAM's local contrast enhancement of a difference matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from placememory.matching._base import Distances

_ROUNDING = 1e-10  # variances below this share of the column's are rounding of running sums
_BLOCK = 1 << 15


def enhance_contrast(distances: Distances, window: int = 10) -> NDArray[np.float64]:
    """Each distance in units of the spread of its neighbours: (d - mean) / standard deviation.

    Neighbours are the rows from ``window // 2`` before to ``window // 2`` after, same column, fewer
    at the borders of the map. Where they are all equal the result is 0. (Milford and Wyeth 2012,
    equation 3. Published code then subtracts the smallest element of the whole matrix.)

    Args:
        distances: (n, M).
        window: Even; 0 leaves the distances as they are.

    Returns:
        (n, M) float64, the rows of a column side by side in memory.

    Example:
        >>> enhance_contrast(np.array([[1.0], [1.0], [4.0]]), window=2).round(3).ravel().tolist()
        [0.0, -0.577, 0.707]
    """
    columns = np.array(distances.T, dtype=np.float64, order="C")
    rows, half = columns.shape[1], window // 2
    if half > 0 and rows > 1:
        width = max(1, _BLOCK // rows)
        for start in range(0, len(columns), width):
            _enhance(columns[start : start + width], half)
    return columns.T


def _enhance(columns: NDArray[np.float64], half: int) -> None:
    """Enhance (C, n) in place by running sums; they start from the column's mean to stay exact."""
    rows = columns.shape[1]
    columns -= columns.mean(axis=1, keepdims=True)
    index = np.arange(rows)
    count = np.minimum(index + half + 1, rows) - np.maximum(index - half, 0)
    squares = _windowed(np.square(columns), half)
    level = _ROUNDING * np.square(columns).mean(axis=1, keepdims=True)
    mean = _windowed(columns, half)
    mean /= count
    variance = (squares - count * np.square(mean)) / (count - 1)
    varied = variance > level
    columns -= mean
    np.sqrt(variance, out=variance, where=varied)
    np.divide(columns, variance, out=columns, where=varied)
    columns[~varied] = 0.0


def _windowed(values: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    """Sums of (C, n) over a window of ``half`` to each side, cut off at the ends."""
    rows = values.shape[1]
    running = np.zeros((len(values), rows + 2 * half + 1))
    np.cumsum(values, axis=1, out=running[:, half + 1 : half + 1 + rows])
    running[:, half + 1 + rows :] = running[:, half + rows : half + rows + 1]
    sums: NDArray[np.float64] = running[:, 2 * half + 1 :] - running[:, :rows]
    return sums
