"""What every matcher takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

ScoreKind = Literal["ratio", "sum", "constant", "relative"]
"""What a score is; in all of them the lowest is the best.

``ratio``: cost of the path over the cost of the best other path, below 1 for the best path.
``sum``: sum of distances along the path; it grows with the length of the window.
``constant``: always 0, the matcher has no score.
``relative``: mean distance along the path over what is usual for these frames in this map; 1 is a
common look-alike, 0 the same image. It can be compared between windows, lengths and maps.
"""

Distances: TypeAlias = NDArray[np.floating[Any]]
Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class SequenceMatch:
    """Rows of the map that were matched to the frames of a window, best alternative first.

    Attributes:
        paths: (K', T) int64, a row of the map for each frame of the window, oldest first. K' may be
            smaller than what was asked for, and 0 if there is no answer.
        scores: (K',) float64, increasing; what they are says ``score_kind``.
        means: (K',) float64, mean distance along each path: raw, but the same in every matcher.
        distances: (T,) distances of the frames to their rows along the best path; (0,) if there
            is no answer.
        score_kind: See :data:`ScoreKind`.
    """

    paths: Rows
    scores: NDArray[np.float64]
    means: NDArray[np.float64]
    distances: Distances
    score_kind: ScoreKind

    def __len__(self) -> int:
        """How many alternatives there are."""
        return len(self.paths)


@runtime_checkable
class Matcher(Protocol):
    """A sequence matcher. Its settings are arguments of its constructor; it keeps no state."""

    @property
    def score_kind(self) -> ScoreKind:
        """The kind of this matcher's scores."""

    def match(self, distances: ArrayLike, candidates: ArrayLike | None = None) -> SequenceMatch:
        """Match a window of query frames to rows of the map.

        Args:
            distances: (n, T) distances, 1 - cosine as a rule: rows are the frames of one traverse
                of the map in order, columns are the frames of the window, oldest first. float32
                and float64 are taken as they are, other numbers are converted to float32.
            candidates: (K,) rows of the map that are the last frames of the nearest sequence
                descriptors, nearest first. A matcher that has no use for them ignores them.

        Returns:
            The alternatives, best first.

        Raises:
            DescriptorError: Distances are not a matrix of finite numbers, or it is empty.
            InputError: Candidates are not rows of the map.
        """
