"""Straight lines of constant speed through a window, as SeqSLAM searches them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from placememory._types import Rows


def line_offsets(length: int, span: int, slowest: float, fastest: float) -> Rows:
    """Rows that lines of all speeds have moved on at each frame.

    Speeds are the multiples of 1 / span from ``slowest`` to ``fastest``, and a frame k later a line
    has moved by floor(k * speed) rows. Both are computed in whole numbers, so they do not hang on
    rounding (5 / 13 * 13 may be 4.99...).

    Args:
        length: Frames of the window.
        span: Frames in which speeds differ by one row.
        slowest: Rows per frame.
        fastest: Rows per frame.

    Returns:
        (V, length) int64, slowest first.

    Example:
        >>> line_offsets(length=5, span=5, slowest=0.8, fastest=1.0).tolist()
        [[0, 0, 1, 2, 3], [0, 1, 2, 3, 4]]
    """
    moves = np.arange(int(slowest * span), int(fastest * span) + 1)
    return np.arange(length) * moves[:, None] // max(span, 1)


def line_costs(columns: NDArray[np.float64], offsets: Rows) -> NDArray[np.float64]:
    """Sums along lines from every row and every frame; the best speed counts.

    Args:
        columns: (M, n) distances of frames x rows: the transpose of what matchers take, so that
            the rows of a frame lie side by side.
        offsets: (V, T) of :func:`line_offsets`, T <= M.

    Returns:
        (M - T + 1, n): smallest sum of T distances along the lines that start at each frame and
        row, infinite where all of them leave the map.

    Example:
        >>> line_costs(np.arange(6.0).reshape(2, 3), np.array([[0, 0], [0, 1]])).tolist()
        [[3.0, 5.0, 7.0]]
    """
    rows = columns.shape[1]
    frames = len(columns) - offsets.shape[1] + 1
    best = np.full((frames, rows), np.inf)
    for line in offsets:
        starts = max(0, rows - int(line[-1]))
        sums = columns[:frames, :starts].copy()
        for k, moved in enumerate(line[1:], start=1):
            sums += columns[k : k + frames, moved : moved + starts]
        np.minimum(best[:, :starts], sums, out=best[:, :starts])
    return best
