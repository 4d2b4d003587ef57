"""What matchers have in common: choose starts, walk from them, rank the paths.

Nothing here loops over rows of the map, and in every choice the first of equal minima wins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from placememory._types import Rows
from placememory.matching._base import Distances, ScoreKind, SequenceMatch

_FEW = 48  # so many minima are found faster one by one than by a partition


def within(indices: Rows, count: int) -> Rows:
    """Indices clipped to 0 ... ``count - 1``; quicker than ``np.clip`` on few."""
    clipped: Rows = np.minimum(np.maximum(indices, 0), count - 1)
    return clipped


def smallest(values: Distances, count: int) -> Rows:
    """Indices of the ``count`` smallest of (n,) values, increasing; equal ones in their order.

    Example:
        >>> smallest(np.array([3.0, 1.0, 2.0, 1.0]), 3).tolist()
        [1, 3, 2]
    """
    if count <= _FEW:
        return separated_minima(values, count, before=0, after=1)
    near = np.arange(len(values))
    if count < len(values):
        near = np.flatnonzero(values <= np.partition(values, count - 1)[count - 1])
    chosen: Rows = near[np.argsort(values[near], kind="stable")[:count]]
    return chosen


def separated_minima(costs: Distances, count: int, before: int, after: int) -> Rows:
    """Indices of the smallest of (n,) costs, one by one, each excluding its surroundings.

    Args:
        costs: (n,) finite costs, or infinite where nothing may be chosen; not changed.
        count: At most so many.
        before: A choice i excludes i - before ... i + after - 1.
        after: See ``before``.

    Example:
        >>> separated_minima(np.array([3.0, 1.0, 1.5, 2.0, 5.0]), 3, before=1, after=2).tolist()
        [1, 3]
    """
    left = costs.copy()
    chosen: list[int] = []
    while len(chosen) < count:
        best = int(left.argmin())
        if left[best] == np.inf:
            break
        chosen.append(best)
        left[max(0, best - before) : best + after] = np.inf
    return np.array(chosen, np.int64)


def block_minima(distances: Distances, tops: Rows, height: int, first: int) -> tuple[Rows, Rows]:
    """The smallest element of each block: rows (K,), columns (K,).

    Args:
        distances: (n, T).
        tops: (K,) first row of each block; rows outside of the map count as the nearest one in it.
        height: Rows of a block.
        first: First column of the blocks, which reach to the last column.
    """
    rows = within(tops[:, None] + np.arange(height), len(distances))
    width = distances.shape[1] - first
    blocks = distances[rows][:, :, first:].reshape(len(tops), height * width)
    place = blocks.argmin(axis=1)
    return rows[np.arange(len(tops)), place // width], first + place % width


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


def greedy_walk(distances: Distances, rows: Rows, columns: Rows, search_width: int) -> Rows:
    """Walk from each start to both ends of the window, each step to the smallest distance in reach.

    A step forward in time goes ``0 ... search_width - 1`` rows on, a step backward in time as many
    rows back; rows stay inside of the map. All walks, in both directions, step together.

    Args:
        distances: (n, T).
        rows: (K,) rows of the starts.
        columns: (K,) columns of the starts.
        search_width: Rows that a step may choose from.

    Returns:
        (K, T) paths.

    Example:
        >>> distances = np.array([[0.1, 0.9], [0.5, 0.7], [0.2, 0.6]])
        >>> greedy_walk(distances, np.array([0]), np.array([0]), search_width=3).tolist()
        [[0, 2]]
    """
    count, length = len(rows), distances.shape[1]
    reach = np.arange(search_width)
    offsets = np.repeat([reach, reach - reach[-1]], count, axis=0)  # forward walkers, then backward
    steps = np.arange(max(int(columns.max()), length - 1 - int(columns.min())) + 1)[:, None]
    at = np.concatenate([columns + steps, columns - steps], axis=1)
    at = within(at, length)[:, :, None]  # whoever has arrived, idles
    furthest = (search_width - 1) * (len(steps) - 1)
    near_border = rows.min() < furthest or rows.max() + furthest >= len(distances)
    walker = np.arange(2 * count)
    taken = np.empty((len(steps), 2 * count), np.int64)
    taken[0] = row = np.concatenate([rows, rows])
    for i in range(1, len(steps)):
        choice = row[:, None] + offsets
        if near_border:
            choice = within(choice, len(distances))
        best = distances[choice, at[i]].argmin(axis=1)
        taken[i] = row = choice[walker, best]
    away = np.arange(length) - columns[:, None]
    who = np.where(away < 0, walker[count:, None], walker[:count, None])
    paths: Rows = taken[np.abs(away), who]
    return paths


def path_distances(distances: Distances, paths: Rows) -> Distances:
    """Distances (K, T) of the frames to their rows along paths (K, T)."""
    values: Distances = distances[paths, np.arange(paths.shape[1])]
    return values


def rank_paths(distances: Distances, paths: Rows, score_kind: ScoreKind) -> SequenceMatch:
    """Order paths (K, T) by their sum of distances and score them by ``sum`` or ``ratio``."""
    values = path_distances(distances, paths)
    sums = values.sum(axis=1, dtype=np.float64)
    order = np.argsort(sums, kind="stable")
    sums = sums[order]
    return SequenceMatch(
        paths=paths[order],
        scores=ratios(sums) if score_kind == "ratio" else sums,
        means=sums / paths.shape[1],
        distances=values[order[0]],
        score_kind=score_kind,
    )


def ratios(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each cost over the smallest other one; 1 where there is no other, or both are zero.

    Args:
        costs: (K,) increasing. Distances may be below zero by rounding; that counts as zero.

    Example:
        >>> ratios(np.array([1.0, 2.0, 4.0])).tolist()
        [0.5, 2.0, 4.0]
    """
    others = np.full(len(costs), costs[:1])
    others[:1] = costs[1] if len(costs) > 1 else np.inf
    return cost_ratio(costs, others)


def cost_ratio(costs: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ratio of costs to others (K,); 1 if both are zero, or the other is infinite (there is none).

    Example:
        >>> cost_ratio(np.array([1.0, 0.0, 1.0, 1.0]), np.array([2.0, 0.0, 0.0, np.inf])).tolist()
        [0.5, 1.0, inf, 1.0]
    """
    costs, others = np.maximum(costs, 0.0), np.maximum(others, 0.0)
    ratio = np.where((costs > 0) & (others == 0), np.inf, 1.0)
    return np.divide(costs, others, out=ratio, where=(others > 0) & (others < np.inf))


def no_match(length: int, score_kind: ScoreKind) -> SequenceMatch:
    """No answer for a window of so many frames."""
    none = np.empty(0, np.float64)
    return SequenceMatch(np.empty((0, length), np.int64), none, none, none, score_kind)
