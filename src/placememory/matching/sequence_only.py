"""Sequence retrieval alone: the candidates, as the sequence descriptors ordered them.

The baseline ``seq_desc`` of Li et al., "CaseVPR", IEEE RA-L 10(4), 2025.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from placememory._checks import check_whole
from placememory.matching._base import ScoreKind, SequenceMatch
from placememory.matching._checks import check_candidates, check_distances
from placememory.matching._walk import no_match, path_distances


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceOnly:
    """Alternative i is the i-th candidate, for every frame of the window.

    There is no answer without candidates, and no score: it is 0. (The published code repeats the
    first candidate in all alternatives; the best one is the same.)

    Attributes:
        candidates: How many are kept.

    Raises:
        SettingError: ``candidates`` is not a whole number of at least 1.

    Example:
        >>> SequenceOnly().match(np.ones((8, 2)), candidates=[6, 3]).paths.tolist()
        [[6, 6], [3, 3]]
    """

    candidates: int = 5
    score_kind: ClassVar[ScoreKind] = "constant"

    def __post_init__(self) -> None:
        check_whole(candidates=self.candidates)

    def match(self, distances: ArrayLike, candidates: ArrayLike | None = None) -> SequenceMatch:
        """See :meth:`placememory.matching.Matcher.match`."""
        matrix = check_distances(distances)
        rows, length = matrix.shape
        given = () if candidates is None else candidates
        ends = check_candidates(given, rows, self.candidates)
        if len(ends) == 0:
            return no_match(length, self.score_kind)
        paths = np.repeat(ends[:, None], length, axis=1)
        values = path_distances(matrix, paths)
        return SequenceMatch(
            paths=paths,
            scores=np.zeros(len(paths)),
            means=values.mean(axis=1, dtype=np.float64),
            distances=values[0],
            score_kind=self.score_kind,
        )


create = SequenceOnly
