"""SeqSLAM as CaseVPR uses it: constant speeds from the nearest first rows.

The algorithm is the baseline ``seqslam`` of Li et al., "CaseVPR", IEEE RA-L 10(4), 2025, after
Milford and Wyeth, "SeqSLAM", ICRA 2012. It has no contrast enhancement and tries few starts; for
the original see :mod:`placememory.matching.seqslam_classic`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from placememory._checks import check_whole
from placememory.matching._base import ScoreKind, SequenceMatch
from placememory.matching._checks import check_distances, check_speeds
from placememory.matching._walk import line_offsets, rank_paths, smallest


@dataclass(frozen=True, slots=True, kw_only=True)
class SeqSlam:
    """Lines of constant speed from the rows that are nearest to the oldest frame.

    The score is the ratio of the sums of the best and the second-best start. Neighbouring rows are
    not excluded, so it is close to 1 even for a good match.

    Attributes:
        candidates: How many starts.
        slowest: Lowest speed, rows per frame.
        fastest: Highest speed, rows per frame.

    Raises:
        SettingError: A setting has an impossible value.

    Example:
        >>> distances = np.ones((8, 3)); distances[[4, 5, 6], [0, 1, 2]] = 0.1
        >>> SeqSlam(candidates=2).match(distances).paths[0].tolist()
        [4, 5, 6]
    """

    candidates: int = 5
    slowest: float = 0.8
    fastest: float = 1.2
    score_kind: ClassVar[ScoreKind] = "ratio"

    def __post_init__(self) -> None:
        check_whole(candidates=self.candidates)
        check_speeds(self.slowest, self.fastest)

    def match(
        self,
        distances: ArrayLike,
        candidates: ArrayLike | None = None,  # noqa: ARG002  (of sequences: not used)
    ) -> SequenceMatch:
        """See :meth:`placememory.matching.Matcher.match`."""
        matrix = check_distances(distances)
        rows, length = matrix.shape
        starts = smallest(matrix[:, 0], self.candidates)
        offsets = line_offsets(length, length, self.slowest, self.fastest)
        lines = np.minimum(starts[:, None, None] + offsets, rows - 1)  # (K, V, T)
        sums = matrix[lines, np.arange(length)].sum(axis=2, dtype=np.float64)
        best = lines[np.arange(len(starts)), sums.argmin(axis=1)]
        return rank_paths(matrix, best, self.score_kind)


create = SeqSlam
