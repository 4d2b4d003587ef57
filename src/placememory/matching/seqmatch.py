"""Sequence retrieval checked frame by frame along lines of speed 1.

The matcher of Garg and Milford, "SeqNet: Learning Descriptors for Sequence-Based Hierarchical Place
Recognition", IEEE RA-L 6(3), 2021, in the form ``seq_desc_seqmatch`` of Li et al., "CaseVPR", 2025.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from placememory._checks import check_whole
from placememory.matching._base import ScoreKind, SequenceMatch
from placememory.matching._checks import check_candidates, check_distances
from placememory.matching._walk import no_match, rank_paths, smallest, within


@dataclass(frozen=True, slots=True, kw_only=True)
class SeqMatch:
    """A line of speed 1 from the first row of each retrieved sequence.

    Without candidates the lines start at the rows that are nearest to the oldest frame. The score
    is the ratio of the sums of the best and the second-best line.

    Attributes:
        candidates: How many lines.
        sequence_length: Frames of a sequence descriptor (L): a line starts L - 1 rows before the
            candidate, whatever the length of the window.

    Raises:
        SettingError: A setting has an impossible value.

    Example:
        >>> distances = np.ones((8, 3)); distances[[4, 5, 6], [0, 1, 2]] = 0.1
        >>> found = SeqMatch(sequence_length=3).match(distances, candidates=[3, 6])
        >>> found.paths.tolist(), found.scores.round(3).tolist()
        ([[4, 5, 6], [1, 2, 3]], [0.1, 10.0])
    """

    candidates: int = 5
    sequence_length: int = 5
    score_kind: ClassVar[ScoreKind] = "ratio"

    def __post_init__(self) -> None:
        check_whole(candidates=self.candidates)
        check_whole(sequence_length=self.sequence_length)

    def match(self, distances: ArrayLike, candidates: ArrayLike | None = None) -> SequenceMatch:
        """See :meth:`placememory.matching.Matcher.match`."""
        matrix = check_distances(distances)
        rows, length = matrix.shape
        if candidates is None:
            starts = smallest(matrix[:, 0], self.candidates)
        else:
            ends = check_candidates(candidates, rows, self.candidates)
            starts = ends - self.sequence_length + 1
        if len(starts) == 0:
            return no_match(length, self.score_kind)
        lines = within(starts[:, None] + np.arange(length), rows)
        return rank_paths(matrix, lines, self.score_kind)


create = SeqMatch
