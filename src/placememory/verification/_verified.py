"""Verified: a candidate with what the geometry says. The rule by which it re-ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory.memory import Candidate

FLOOR = 20
"""Inliers below which a pair says nothing: 95 % of pairs that cannot match have fewer."""

LEAD = 1.5
"""How many times the inliers of the most similar candidate move another one before it."""


@dataclass(frozen=True, slots=True, eq=False)
class Verified:
    """A candidate with what the geometry of the two images says.

    Attributes:
        candidate: As the memory found it.
        matches: Mutual matches of local features.
        inliers: Those that one motion of the camera explains.
        kind: What that is: ``fundamental``, ``essential``, ``homography`` or ``none``.
        matrix: (3, 3) of that kind, from the query to the place.
        rotation: (3, 3), turns vectors of the query's camera frame into the place's; with known
            intrinsics only.
        direction: (3,) unit vector from the place's camera to the query's, in the place's camera
            frame (x right, y down, z forward); with known intrinsics only, and not for a plane.
        unchecked: Why it was not checked: ``no image``, ``budget``, ``rank``; empty if it was.
    """

    candidate: Candidate
    matches: int = 0
    inliers: int = 0
    kind: str = "none"
    matrix: NDArray[np.float64] | None = None
    rotation: NDArray[np.float64] | None = None
    direction: NDArray[np.float64] | None = None
    unchecked: str = ""

    @property
    def similarity(self) -> float:
        """Of the candidate."""
        return self.candidate.similarity

    @property
    def share(self) -> float:
        """Inliers among the matches, 0 to 1."""
        return self.inliers / self.matches if self.matches else 0.0

    @property
    def checked(self) -> bool:
        """Whether its image was compared."""
        return not self.unchecked

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            **self.candidate.to_dict(),
            "inliers": self.inliers,
            "matches": self.matches,
            "kind": self.kind,
            "direction": None if self.direction is None else self.direction.tolist(),
            "rotation": None if self.rotation is None else self.rotation.tolist(),
            "unchecked": self.unchecked,
        }


def rerank(found: Sequence[Verified], floor: int = FLOOR, lead: float = LEAD) -> list[Verified]:
    """Verified candidates, best first.

    Candidates with at least ``floor`` inliers come first, by inliers, ties by similarity and then
    by the order of before; all others follow in the order of before, so weak evidence moves
    nothing. And nothing is moved unless the most inliers are at least ``lead`` times those of the
    most similar candidate: neighbours along a corridor differ by less than that by chance.

    Args:
        found: In the order of the memory, most similar first.
        floor: Inliers below which a pair says nothing.
        lead: How many times the inliers of the most similar candidate the best must have.

    Example:
        >>> from placememory.memory import Place
        >>> def of(name, inliers, rank):
        ...     candidate = Candidate(Place("run", rank, name), 0.5 - 0.1 * rank, rank)
        ...     return Verified(candidate, inliers, inliers)
        >>> rows = [of("alike", 9, 1), of("right", 80, 2), of("other", 12, 3)]
        >>> [row.candidate.place.name for row in rerank(rows)]
        ['right', 'alike', 'other']
        >>> [row.candidate.place.name for row in rerank(rows, floor=100)]
        ['alike', 'right', 'other']
    """
    strong = [row for row in found if row.inliers >= floor]
    if not strong or max(row.inliers for row in strong) < lead * found[0].inliers:
        return list(found)
    strong.sort(key=lambda row: (-row.inliers, -row.similarity))  # stable
    return strong + [row for row in found if row.inliers < floor]
