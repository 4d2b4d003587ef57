"""SeqSLAM as it was published: local contrast enhancement, then straight lines.

Milford and Wyeth, "SeqSLAM", ICRA 2012.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory._checks import check_whole
from placememory._types import Rows
from placememory.matching._base import Distances, ScoreKind, SequenceMatch
from placememory.matching._checks import check_distances, check_speeds
from placememory.matching._walk import (
    line_offsets,
    no_match,
    path_distances,
    ratios,
    separated_minima,
)

_ROUNDING = 1e-10  # variances below this share of the column's are rounding of running sums
_CONTRAST_BLOCK = 1 << 15


def enhance_contrast(distances: Distances, window: int = 10) -> NDArray[np.float64]:
    """Each distance in units of the spread of its neighbours: (d - mean) / standard deviation.

    Neighbours are the rows from ``window // 2`` before to ``window // 2`` after, same column, fewer
    at the borders of the map. Where they are all equal the result is 0. (Milford and Wyeth 2012,
    equation 3. Published code then subtracts the smallest element of the whole matrix.)

    Args:
        distances: (n, M).
        window: Even; 0 leaves the distances as they are.

    Returns:
        (n, M) float64, the rows of a column side by side in memory.

    Example:
        >>> enhance_contrast(np.array([[1.0], [1.0], [4.0]]), window=2).round(3).ravel().tolist()
        [0.0, -0.577, 0.707]
    """
    columns = np.array(distances.T, dtype=np.float64, order="C")
    rows, half = columns.shape[1], window // 2
    if half > 0 and rows > 1:
        width = max(1, _CONTRAST_BLOCK // rows)
        for start in range(0, len(columns), width):
            _enhance(columns[start : start + width], half)
    return columns.T


def _enhance(columns: NDArray[np.float64], half: int) -> None:
    """Enhance (C, n) in place by running sums; they start from the column's mean to stay exact."""
    rows = columns.shape[1]
    columns -= columns.mean(axis=1, keepdims=True)
    index = np.arange(rows)
    count = np.minimum(index + half + 1, rows) - np.maximum(index - half, 0)
    squares = _window_sums(np.square(columns), half)
    level = _ROUNDING * np.square(columns).mean(axis=1, keepdims=True)
    mean = _window_sums(columns, half)
    mean /= count
    variance = (squares - count * np.square(mean)) / (count - 1)
    varied = variance > level
    columns -= mean
    np.sqrt(variance, out=variance, where=varied)
    np.divide(columns, variance, out=columns, where=varied)
    columns[~varied] = 0.0


def _window_sums(values: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    """Sums of (C, n) over a window of ``half`` to each side, cut off at the ends."""
    rows = values.shape[1]
    running = np.zeros((len(values), rows + 2 * half + 1))
    np.cumsum(values, axis=1, out=running[:, half + 1 : half + 1 + rows])
    running[:, half + 1 + rows :] = running[:, half + rows : half + rows + 1]
    sums: NDArray[np.float64] = running[:, 2 * half + 1 :] - running[:, :rows]
    return sums


@dataclass(frozen=True, slots=True, kw_only=True)
class SeqSlamClassic:
    """The original SeqSLAM, for one window.

    A line that would leave the map is not considered, so the map must have at least as many rows
    as the slowest line covers; else there is no answer. The score is the ratio of the cost of the
    best line to the best one that starts outside of its surroundings.

    Attributes:
        candidates: How many alternatives there are, each outside of the others' surroundings.
        contrast: Rows over which contrast is enhanced, even (R_window); 0 for none.
        exclusion: Surroundings of a start, rows (R_recent); half of it to each side.
        slowest: Lowest speed, rows per frame.
        fastest: Highest speed, rows per frame.

    Raises:
        SettingError: A setting has an impossible value.

    Example:
        >>> matrix = np.random.default_rng(0).random((60, 60)) + 1; np.fill_diagonal(matrix, 0)
        >>> SeqSlamClassic().match(matrix[:, 20:31]).paths[0].tolist()
        [20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]
    """

    candidates: int = 5
    contrast: int = 10
    exclusion: int = 10
    slowest: float = 0.8
    fastest: float = 1.2
    score_kind: ClassVar[ScoreKind] = "ratio"

    def __post_init__(self) -> None:
        check_whole(candidates=self.candidates)
        check_whole(contrast=self.contrast, least=0)
        check_whole(exclusion=self.exclusion, least=2)
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
        costs = _line_costs(np.ascontiguousarray(enhanced), offsets)
        half = self.exclusion // 2
        starts = separated_minima(costs, max(2, self.candidates), half, half)
        if len(starts) == 0:
            return no_match(length, self.score_kind)
        scores = ratios(costs[starts] - length * min(0.0, float(enhanced.min())))
        starts, scores = starts[: self.candidates], scores[: self.candidates]
        lines = np.minimum(starts[:, None, None] + offsets, rows - 1)
        sums = enhanced[np.arange(length), lines].sum(axis=2)
        sums[(starts[:, None] + offsets[:, -1]) >= rows] = np.inf
        paths = lines[np.arange(len(starts)), sums.argmin(axis=1)]
        values = path_distances(matrix, paths)
        means = values.mean(axis=1, dtype=np.float64)
        return SequenceMatch(paths, scores, means, values[0], self.score_kind)


def _line_costs(columns: NDArray[np.float64], offsets: Rows) -> NDArray[np.float64]:
    """Sums (n,) along lines from every row; the best speed counts, infinite if all leave the map.

    Args:
        columns: (T, n) distances, so that the rows of a frame lie side by side.
        offsets: (V, T) of :func:`line_offsets`.
    """
    rows = columns.shape[1]
    best = np.full(rows, np.inf)
    for line in offsets:
        starts = max(0, rows - int(line[-1]))
        sums = columns[0, :starts].copy()
        for column, moved in zip(columns[1:], line[1:], strict=True):
            sums += column[moved : moved + starts]
        np.minimum(best[:starts], sums, out=best[:starts])
    return best


create = SeqSlamClassic
