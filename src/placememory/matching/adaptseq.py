"""AdaptSeq: greedy walks from the best blocks of the map.

Li et al., "CaseVPR: Correlation-Aware Sequential Embedding for Sequence-to-Frame Visual Place
Recognition", IEEE RA-L 10(4), 2025.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from numpy.typing import ArrayLike

from placememory._checks import check_whole
from placememory.matching._base import ScoreKind, SequenceMatch
from placememory.matching._checks import check_distances
from placememory.matching._walk import block_minima, greedy_walk, rank_paths, smallest


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptSeq:
    """Blocks of rows with the smallest mean; in each a greedy walk from its smallest element.

    A last, incomplete block of the map gives no start (a walk may lead into it), unless it is the
    only one. A map with fewer blocks than ``candidates`` gives fewer alternatives. The score is the
    sum of distances along the path.

    Attributes:
        candidates: How many blocks (K).
        search_width: Rows that a step may choose from (KK): speeds 0 ... KK - 1 rows per frame.
        block: Rows of a block (stp_gap).

    Raises:
        SettingError: A setting has an impossible value.

    Example:
        >>> import numpy as np
        >>> distances = np.ones((28, 3)); distances[[15, 15, 18], [0, 1, 2]] = 0.1
        >>> AdaptSeq(candidates=1).match(distances).paths.tolist()
        [[15, 15, 18]]
    """

    candidates: int = 5
    search_width: int = 4
    block: int = 14
    score_kind: ClassVar[ScoreKind] = "sum"

    def __post_init__(self) -> None:
        check_whole(candidates=self.candidates)
        check_whole(search_width=self.search_width)
        check_whole(block=self.block)

    def match(
        self,
        distances: ArrayLike,
        candidates: ArrayLike | None = None,  # noqa: ARG002  (of sequences: not used)
    ) -> SequenceMatch:
        """See :meth:`placememory.matching.Matcher.match`."""
        matrix = check_distances(distances)
        rows, length = matrix.shape
        height = min(self.block, rows)
        count = rows // height
        sums = matrix[: count * height].reshape(count, height * length).sum(axis=1)
        tops = smallest(sums, self.candidates) * height
        start_rows, start_columns = block_minima(matrix, tops, height, 0)
        paths = greedy_walk(matrix, start_rows, start_columns, self.search_width)
        return rank_paths(matrix, paths, self.score_kind)


create = AdaptSeq
