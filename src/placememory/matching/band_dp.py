"""The cheapest path through a band, exactly: AdaptSeq without its greed.

A greedy walk (Li et al., "CaseVPR", IEEE RA-L 10(4), 2025) decides each step by one distance and
cannot take it back. Over the same band of speeds dynamic programming finds the path with the
smallest sum (Sakoe and Chiba, "Dynamic programming algorithm optimization for spoken word
recognition", IEEE TASSP 26(1), 1978; in place recognition Naseer et al., "Robust visual robot
localization across seasons using network flows", AAAI 2014).

The score is the mean distance along the path over the usual level of its frames: the lower quartile
of a frame's distances to the map, averaged over the window. The raw mean differs from encoder to
encoder and with light and crowd; dividing by a level that the same frames set takes that away, and
the mean makes lengths comparable. A lower quartile rather than the median, as rows that look alike
are what a match has to beat. A z-score against the costs of all paths sounds better founded but is
worse: on a small map a slow, smooth path makes many costs low at once, and their spread means
nothing. ``benchmarks/matchers.py`` compares them on real images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from placememory._checks import check_whole
from placememory._types import Rows
from placememory.matching._band import follow, paths_through, ways_in
from placememory.matching._base import Distances, ScoreKind, SequenceMatch
from placememory.matching._checks import check_candidates, check_distances
from placememory.matching._walk import along, nothing, over, separated_minima

_SAMPLE = 512  # rows that are enough to tell the usual level


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
                return nothing(length, self.score_kind)
            paths = self._under(matrix, ends)
        values = along(matrix, paths)
        means = values.mean(axis=1, dtype=np.float64)
        order = self._distinct(paths[:, -1], np.argsort(means, kind="stable"))
        return SequenceMatch(
            paths=paths[order],
            scores=over(means, np.full(len(means), usual_level(matrix)))[order],
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
        kept: list[int] = []
        for path in order.tolist():
            if all(abs(ends[path] - ends[other]) >= self.block for other in kept):
                kept.append(path)
        return np.array(kept[: self.candidates], np.int64)


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
