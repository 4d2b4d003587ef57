"""Single-image retrieval: the nearest rows of each frame by itself, without the sequence.

The baseline ``none`` of Li et al., "CaseVPR", IEEE RA-L 10(4), 2025.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from placememory._checks import check_whole
from placememory.matching._base import ScoreKind, SequenceMatch
from placememory.matching._checks import check_distances
from placememory.matching._walk import path_distances, ratios, smallest


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """Alternative i holds the i-th nearest row of every frame; the last column counts.

    The score is the ratio of the newest frame's distances: nearest over second nearest.

    Attributes:
        candidates: How many rows per frame.

    Raises:
        SettingError: ``candidates`` is not a whole number of at least 1.

    Example:
        >>> found = Nearest(candidates=2).match([[0.9, 0.4], [0.1, 0.8], [0.5, 0.2]])
        >>> found.paths.tolist(), found.scores.round(3).tolist()
        ([[1, 2], [2, 0]], [0.5, 2.0])
    """

    candidates: int = 20
    score_kind: ClassVar[ScoreKind] = "ratio"

    def __post_init__(self) -> None:
        check_whole(candidates=self.candidates)

    def match(
        self,
        distances: ArrayLike,
        candidates: ArrayLike | None = None,  # noqa: ARG002  (of sequences: not used)
    ) -> SequenceMatch:
        """See :meth:`placememory.matching.Matcher.match`."""
        matrix = check_distances(distances)
        wanted = max(2, self.candidates)  # the ratio needs a second
        paths = np.stack([smallest(column, wanted) for column in matrix.T], axis=1)
        values = path_distances(matrix, paths)
        best = slice(self.candidates)
        return SequenceMatch(
            paths=paths[best],
            scores=ratios(values[:, -1].astype(np.float64))[best],
            means=values[best].mean(axis=1, dtype=np.float64),
            distances=values[0],
            score_kind=self.score_kind,
        )


create = Nearest
