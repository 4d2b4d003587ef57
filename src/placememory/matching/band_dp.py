"""The cheapest paths through a band by dynamic programming (Viterbi, DTW without repeated columns).

A path has one row per column and moves ``0 ... search_width - 1`` rows on with each column. Tables
are (T, B, n): columns of the window, maps (or parts of one) that are searched side by side, rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from placememory._checks import check_whole
from placememory._types import Floats, Rows
from placememory.matching._base import Distances, ScoreKind, SequenceMatch
from placememory.matching._checks import check_candidates, check_distances
from placememory.matching._walk import (
    cost_ratio,
    no_match,
    path_distances,
    separated_minima,
    within,
)


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


_SAMPLE = 512  # rows that are enough to estimate the usual level


@dataclass(frozen=True, slots=True, kw_only=True)
class BandDp:
    """The path with the smallest sum of distances, and the best ones that end elsewhere.

    Each step moves 0 ... ``search_width`` - 1 rows on, so the robot may stop, be slower or up to
    that much faster than in the map. With candidates a path must pass through the L x L block of
    one of them (rows e - L + 1 ... e, newest L frames); without, all paths compete. Takes
    8 n T bytes for the sums.

    Attributes:
        candidates: How many alternatives, and how many of the given candidates are used (K).
        search_width: Rows that a step may choose from (KK).
        block: Least rows between the last rows of two alternatives (stp_gap).
        sequence_length: Frames of a sequence descriptor (L).
        reverse: Whether paths may also descend: the robot drives the route backwards.

    Raises:
        SettingError: A setting has an impossible value.

    Example:
        >>> distances = np.ones((40, 4)); distances[[15, 15, 18, 19], [0, 1, 2, 3]] = 0.1
        >>> found = BandDp(candidates=2).match(distances)
        >>> found.paths[0].tolist(), found.scores.round(3).tolist()
        ([15, 15, 18, 19], [0.1, 1.0])
    """

    candidates: int = 5
    search_width: int = 4
    block: int = 14
    sequence_length: int = 5
    reverse: bool = False
    score_kind: ClassVar[ScoreKind] = "relative"

    def __post_init__(self) -> None:
        check_whole(candidates=self.candidates)
        check_whole(search_width=self.search_width)
        check_whole(block=self.block)
        check_whole(sequence_length=self.sequence_length)

    def match(self, distances: ArrayLike, candidates: ArrayLike | None = None) -> SequenceMatch:
        """See :meth:`placememory.matching.Matcher.match`."""
        matrix = check_distances(distances)
        rows, length = matrix.shape
        if candidates is None:
            paths = self._anywhere(matrix)
        else:
            ends = check_candidates(candidates, rows, self.candidates)
            if len(ends) == 0:
                return no_match(length, self.score_kind)
            paths = self._under(matrix, ends)
        values = path_distances(matrix, paths)
        means = values.mean(axis=1, dtype=np.float64)
        order = self._distinct(paths[:, -1], np.argsort(means, kind="stable"))
        return SequenceMatch(
            paths=paths[order],
            scores=cost_ratio(means, np.full(len(means), usual_level(matrix)))[order],
            means=means[order],
            distances=values[order[0]],
            score_kind=self.score_kind,
        )

    def _anywhere(self, matrix: Distances) -> Rows:
        """Best paths over the whole map, one per neighbourhood of last rows."""
        last, width = len(matrix) - 1, self.search_width
        up = ways_in(matrix.T[:, None], width)
        costs = up[-1, 0]
        if self.reverse:
            down = ways_in(matrix[::-1].T[:, None], width)
            descending = down[-1, 0, ::-1] < costs
            costs = np.where(descending, down[-1, 0, ::-1], costs)
        ends = separated_minima(costs, self.candidates, self.block - 1, self.block)
        first, newest = np.zeros_like(ends), np.full_like(ends, matrix.shape[1] - 1)
        paths = follow(up, first, ends, newest, width, step=-1)
        if self.reverse:
            mirrored = follow(down, first, last - ends, newest, width, step=-1)
            paths = np.where(descending[ends, None], last - mirrored, paths)
        return paths

    def _under(self, matrix: Distances, ends: Rows) -> Rows:
        """Best path through the block of each candidate, of each direction."""
        size, width = self.sequence_length, self.search_width
        paths = paths_through(matrix, ends - size + 1, size, size, width)
        if not self.reverse:
            return paths
        last = len(matrix) - 1
        mirrored = paths_through(matrix[::-1], last - ends, size, size, width)
        return np.concatenate([paths, last - mirrored])

    def _distinct(self, ends: Rows, order: Rows) -> Rows:
        """Of paths in this order, those whose last row is a block away from all better ones."""
        chosen: list[int] = []
        for path in order.tolist():
            if all(abs(ends[path] - ends[other]) >= self.block for other in chosen):
                chosen.append(path)
        return np.array(chosen[: self.candidates], np.int64)


def usual_level(distances: Distances) -> float:
    """Lower quartile of each column of (n, T), averaged; of large maps evenly spaced rows count.

    Example:
        >>> usual_level(np.array([[0.1], [0.5], [0.6], [0.7], [0.8]]))
        0.5
    """
    sample = distances[:: -(-len(distances) // _SAMPLE)]
    quarter = (len(sample) - 1) // 4
    return float(np.partition(sample, quarter, axis=0)[quarter].mean(dtype=np.float64))


create = BandDp
