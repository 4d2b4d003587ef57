"""SeqSLAM as published: contrast enhancement, then lines of all speeds from every row of the map.

Milford and Wyeth, "SeqSLAM: Visual route-based navigation for sunny summer days and stormy winter
nights", ICRA 2012. Speeds, windows and the uniqueness ratio are those of its open implementations
(OpenSeqSLAM and its Python port), so results are equal to theirs on the same difference matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from placememory._checks import check_whole
from placememory._types import Floats, Rows
from placememory.matching._base import ScoreKind, SequenceMatch
from placememory.matching._checks import check_distances, check_speeds
from placememory.matching._contrast import enhance_contrast
from placememory.matching._lines import line_costs, line_offsets
from placememory.matching._walk import along, nothing, over, ratios, separated_minima

_BLOCK = 1 << 14  # costs that are worked on at a time, so that they stay in the processor's cache


@dataclass(frozen=True, slots=True, eq=False)
class TraverseMatch:
    """The best row of the map for each frame of a whole traverse.

    Attributes:
        rows: (M,) int64; -1 for frames too near to either end of the traverse.
        scores: (M,) float64 ratio of the best cost to the best outside of its surroundings, lowest
            is best; NaN where there is no row.
    """

    rows: Rows
    scores: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class SeqSlamClassic:
    """The original SeqSLAM, for one window (``match``) or for a whole traverse (``match_all``).

    A line that would leave the map is not considered, so the map must have at least as many rows
    as the slowest line covers; else there is no answer. The score is the ratio of the cost of the
    best line to the best one that starts outside of its surroundings.

    Attributes:
        candidates: How many alternatives ``match`` gives, each outside of the others' surroundings.
        contrast: Rows over which contrast is enhanced, even (R_window); 0 for none.
        exclusion: Surroundings of a start, rows (R_recent); half of it to each side.
        length: Frames between the ends of a line in ``match_all`` (d_s); an odd number is raised.
        slowest: Lowest speed, rows per frame.
        fastest: Highest speed, rows per frame.

    Raises:
        SettingError: A setting has an impossible value.

    Example:
        >>> matrix = np.random.default_rng(0).random((60, 60)) + 1; np.fill_diagonal(matrix, 0)
        >>> SeqSlamClassic().match(matrix[:, 20:31]).paths[0].tolist()
        [20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]
        >>> SeqSlamClassic().match_all(matrix).rows[5:-5].tolist() == list(range(5, 55))
        True
    """

    candidates: int = 5
    contrast: int = 10
    exclusion: int = 10
    length: int = 10
    slowest: float = 0.8
    fastest: float = 1.2
    score_kind: ClassVar[ScoreKind] = "ratio"

    def __post_init__(self) -> None:
        check_whole(candidates=self.candidates)
        check_whole(contrast=self.contrast, least=0)
        check_whole(exclusion=self.exclusion, least=2)
        check_whole(length=self.length)
        check_speeds(self.slowest, self.fastest)

    def match(
        self,
        distances: ArrayLike,
        candidates: ArrayLike | None = None,  # noqa: ARG002  (of sequences: not used)
    ) -> SequenceMatch:
        """See :meth:`placememory.matching.Matcher.match`; lines cover the whole window."""
        matrix = check_distances(distances)
        rows, length = matrix.shape
        enhanced = enhance_contrast(matrix, self.contrast).T
        offsets = line_offsets(length, length - 1, self.slowest, self.fastest)
        costs = line_costs(np.ascontiguousarray(enhanced), offsets)[0]
        half = self.exclusion // 2
        starts = separated_minima(costs, max(2, self.candidates), half, half)
        if len(starts) == 0:
            return nothing(length, self.score_kind)
        scores = ratios(costs[starts] - length * min(0.0, float(enhanced.min())))
        starts, scores = starts[: self.candidates], scores[: self.candidates]
        lines = np.minimum(starts[:, None, None] + offsets, rows - 1)
        sums = enhanced[np.arange(length), lines].sum(axis=2)
        sums[(starts[:, None] + offsets[:, -1]) >= rows] = np.inf
        paths = lines[np.arange(len(starts)), sums.argmin(axis=1)]
        values = along(matrix, paths)
        means = values.mean(axis=1, dtype=np.float64)
        return SequenceMatch(paths, scores, means, values[0], self.score_kind)

    def match_all(self, distances: ArrayLike) -> TraverseMatch:
        """Match every frame of a traverse, offline: a line lies half before and half after it.

        Args:
            distances: (n, M) distances of reference rows x query frames.

        Raises:
            DescriptorError: Distances are not a matrix of finite numbers, or it is empty.
        """
        matrix = check_distances(distances)
        rows, frames = matrix.shape
        length = self.length + self.length % 2
        half, middle = self.exclusion // 2, length // 2
        found = TraverseMatch(np.full(frames, -1, np.int64), np.full(frames, np.nan))
        offsets = line_offsets(length + 1, length, self.slowest, self.fastest)
        if frames <= length or rows <= offsets[0, -1]:
            return found
        enhanced = np.ascontiguousarray(enhance_contrast(matrix, self.contrast).T)
        floor = (length + 1) * min(0.0, float(enhanced.min()))
        width = max(1, _BLOCK // rows)
        for first in range(0, frames - length, width):
            costs = line_costs(enhanced[first : first + width + length], offsets)
            best, cost, second = _unique_minima(costs, half)
            which = slice(first + middle, first + middle + len(costs))
            found.rows[which] = best + middle
            found.scores[which] = over(cost - floor, second - floor)
        return found


def _unique_minima(costs: Floats, half: int) -> tuple[Rows, Floats, Floats]:
    """Per line of (C, n) costs: index of the smallest, its cost, the smallest cost outside of it.

    Floats around the smallest ones are overwritten.
    """
    every = np.arange(len(costs))
    best = costs.argmin(axis=1)
    smallest = costs[every, best]
    around = best[:, None] + np.arange(-half, half)
    costs[every[:, None], np.clip(around, 0, costs.shape[1] - 1)] = np.inf
    return best, smallest, costs.min(axis=1)


create = SeqSlamClassic
