"""AdaptSeq-V2: greedy walks from where the nearest sequence descriptors point.

Li et al., "CaseVPR: Correlation-Aware Sequential Embedding for Sequence-to-Frame Visual Place
Recognition", IEEE RA-L 10(4), 2025.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from placememory._checks import check_whole
from placememory._types import Rows
from placememory.matching._base import Distances, ScoreKind, SequenceMatch
from placememory.matching._checks import check_candidates, check_distances
from placememory.matching._walk import (
    block_minima,
    greedy_walk,
    no_match,
    rank_paths,
    separated_minima,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptSeqV2:
    """Under each candidate a greedy walk from the smallest element of its L x L block.

    The block of a candidate e is rows e - L + 1 ... e and the newest L frames. Without candidates
    walks start at the rows with the smallest distance to any frame, at least ``block`` rows apart.
    Different candidates may lead to the same path; they are all given. The score is the sum of
    distances along the path.

    Attributes:
        candidates: How many starts (K).
        search_width: Rows that a step may choose from (KK): speeds 0 ... KK - 1 rows per frame.
        block: Least rows between starts where there are no candidates (stp_gap).
        sequence_length: Frames of a sequence descriptor (L).

    Raises:
        SettingError: A setting has an impossible value.

    Example:
        >>> distances = np.ones((28, 3)); distances[[15, 15, 18], [0, 1, 2]] = 0.1
        >>> AdaptSeqV2(sequence_length=3).match(distances, candidates=[19]).paths.tolist()
        [[15, 15, 18]]
    """

    candidates: int = 5
    search_width: int = 4
    block: int = 14
    sequence_length: int = 5
    score_kind: ClassVar[ScoreKind] = "sum"

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
            start_rows, start_columns = self._nearest_rows(matrix)
        else:
            ends = check_candidates(candidates, rows, self.candidates)
            if len(ends) == 0:
                return no_match(length, self.score_kind)
            first = max(0, length - self.sequence_length)
            tops = ends - self.sequence_length + 1
            start_rows, start_columns = block_minima(matrix, tops, self.sequence_length, first)
        paths = greedy_walk(matrix, start_rows, start_columns, self.search_width)
        return rank_paths(matrix, paths, self.score_kind)

    def _nearest_rows(self, matrix: Distances) -> tuple[Rows, Rows]:
        nearest = matrix[:, 0]
        for column in matrix.T[1:]:
            nearest = np.minimum(nearest, column)
        rows = separated_minima(nearest, self.candidates, self.block - 1, self.block)
        return rows, matrix[rows].argmin(axis=1)


create = AdaptSeqV2
