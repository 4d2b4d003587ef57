"""The cheapest paths through a band by dynamic programming (Viterbi, DTW without repeated columns).

A path has one row per column and moves ``0 ... search_width - 1`` rows on with each column. Tables
are (T, B, n): columns of the window, maps (or parts of one) that are searched side by side, rows.
"""

from __future__ import annotations

import numpy as np

from placememory._types import Floats, Rows
from placememory.matching._base import Distances
from placememory.matching._walk import within


def ways_in(columns: Distances, search_width: int) -> Floats:
    """Sums along the cheapest paths from the first column to every element, that one included.

    Args:
        columns: (T, B, n) distances.
        search_width: Rows that a step may choose from.

    Returns:
        (T, B, n) float64.

    Example:
        >>> distances = np.array([[1.0, 9.0], [2.0, 9.0], [9.0, 1.0]])
        >>> ways_in(distances.T[:, None], search_width=2).tolist()
        [[[1.0, 2.0, 9.0]], [[10.0, 10.0, 3.0]]]
    """
    ways = np.empty(columns.shape)
    ways[0] = columns[0]
    for before, here, column in zip(ways[:-1], ways[1:], columns[1:], strict=True):
        here[:] = before
        for back in range(1, min(search_width, columns.shape[2])):
            np.minimum(here[:, back:], before[:, :-back], out=here[:, back:])
        here += column
    return ways


def ways_out(columns: Distances, search_width: int) -> Floats:
    """Sums along the cheapest paths from every element to the last column: (T, B, n).

    Seen from the end of the window, with rows counted from the end of the map, they are ways in.
    """
    return ways_in(columns[::-1, :, ::-1], search_width)[::-1, :, ::-1]


def follow(
    ways: Floats, maps: Rows, rows: Rows, columns: Rows, search_width: int, *, step: int
) -> Rows:
    """Paths of the ways in, back in time (step -1), or of the ways out, on in time (step 1).

    Args:
        ways: (T, B, n) of :func:`ways_in` or :func:`ways_out`.
        maps: (K,) in which map each way ends (or starts).
        rows: (K,) at which row.
        columns: (K,) at which column.
        search_width: As for the ways.
        step: 1 or -1.

    Returns:
        (K, T) paths; columns that a way does not pass hold its end.
    """
    length, _, count = ways.shape
    reach = np.arange(search_width) if step > 0 else np.arange(1 - search_width, 1)
    every, inside = np.arange(len(rows)), maps[:, None]
    paths = np.repeat(rows[:, None], length, axis=1)
    row = rows
    for column in range(1, length) if step > 0 else range(length - 2, -1, -1):
        choice = within(row[:, None] + reach, count)
        best = choice[every, ways[column, inside, choice].argmin(axis=1)]
        paths[:, column] = row = np.where((column - columns) * step > 0, best, row)
    return paths


def paths_through(
    distances: Distances, tops: Rows, height: int, width: int, search_width: int
) -> Rows:
    """The cheapest path that passes through each block.

    Through an element leads the cheapest way in and the cheapest way out; the best element of the
    block counts. Only rows that such a path can reach are looked at.

    Args:
        distances: (n, T).
        tops: (K,) first rows of the blocks; rows outside of the map count as the nearest one in it.
        height: Rows of a block.
        width: Columns of a block, the newest ones.
        search_width: Rows that a step may choose from.

    Returns:
        (K, T) paths.

    Example:
        >>> distances = np.ones((9, 3)); distances[[2, 5, 8], [0, 1, 2]] = 0.0
        >>> paths_through(distances, np.array([4]), height=2, width=2, search_width=4).tolist()
        [[2, 5, 8]]
    """
    rows, length = distances.shape
    first, every = max(0, length - width), np.arange(len(tops))
    reach = (search_width - 1) * (length - 1)
    part = min(rows, height + 2 * reach)
    origins = within(tops - reach, rows - part + 1)
    columns = distances[origins[:, None] + np.arange(part)].transpose(2, 0, 1)  # (T, K, part)

    inward, outward = ways_in(columns, search_width), ways_out(columns[first:], search_width)
    through = (inward[first:] + outward - columns[first:]).transpose(1, 2, 0)
    local = within((tops - origins)[:, None] + np.arange(height), part)
    blocks = through[every[:, None], local].reshape(len(tops), -1)
    row, column = np.divmod(blocks.argmin(axis=1), length - first)
    row = local[every, row]

    paths = follow(inward, every, row, column + first, search_width, step=-1)
    tails = follow(outward, every, row, column, search_width, step=1)
    after = np.arange(length - first) > column[:, None]
    paths[:, first:] = np.where(after, tails, paths[:, first:])
    paths += origins[:, None]
    return paths
