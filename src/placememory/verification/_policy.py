"""When a geometric check pays, and how much of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from placememory.errors import SettingError
from placememory.fusion import Belief
from placememory.memory import Candidate, Place
from placememory.verification._verified import FLOOR


@dataclass(frozen=True, slots=True)
class Policy:
    """Says for a frame whether to check its candidates, how many, and for how long.

    Attributes:
        ambiguous_only: Check only where the answer is in doubt, see :meth:`count`.
        top: The most candidates to check.
        min_inliers: Inliers below which a pair says nothing.
        max_ms: Milliseconds a frame, its own features among them; ``inf`` for no limit. A pair
            that has begun is finished.
        margin: Share of the best similarity by which the best candidate elsewhere must be behind
            for the frame to be clear.
        radius: Metres within which two places are one.
        reach: Indices within a session that are one place, where poses are unknown.

    Raises:
        SettingError: A value is impossible.

    Example:
        >>> places = [Place("run", i, f"{i}.png") for i in (3, 40)]
        >>> clear = [Candidate(place, s, 1) for place, s in zip(places, (0.6, 0.2))]
        >>> alike = [Candidate(place, s, 1) for place, s in zip(places, (0.60, 0.59))]
        >>> Policy().count(clear), Policy().count(alike)
        (0, 2)
    """

    ambiguous_only: bool = True
    top: int = 20
    min_inliers: int = FLOOR
    max_ms: float = math.inf
    margin: float = 0.2
    radius: float = 2.0
    reach: int = 2

    def __post_init__(self) -> None:
        if self.top < 1 or self.min_inliers < 1 or not self.max_ms > 0:
            raise SettingError(
                f"top is {self.top}, min_inliers {self.min_inliers}, max_ms {self.max_ms}; "
                "all must be above 0"
            )
        if not 0 <= self.margin <= 1 or self.radius < 0 or self.reach < 0:
            raise SettingError(
                f"margin is {self.margin}, radius {self.radius}, reach {self.reach}; give "
                "0 <= margin <= 1 and the others not below 0"
            )

    def count(self, candidates: Sequence[Candidate], belief: Belief | None = None) -> int:
        """How many candidates to check, best first; 0 where it does not pay.

        It pays where the belief of the frames before is ``ambiguous`` or ``unknown``; where it is
        ``located``, only if the frame's best candidate is not there; and where there is none yet,
        if a candidate elsewhere is nearly as similar as the best.

        Args:
            candidates: Of the frame, best first.
            belief: Of the frames before; ``None`` if there is none.
        """
        if not candidates:
            return 0
        if self.ambiguous_only and not self._doubtful(candidates, belief):
            return 0
        return min(self.top, len(candidates))

    def _doubtful(self, candidates: Sequence[Candidate], belief: Belief | None) -> bool:
        verdict = "warming-up" if belief is None else belief.verdict
        if verdict in ("ambiguous", "unknown"):
            return True
        if belief is not None and verdict == "located":
            return not self._at(candidates[0].place, belief)
        best = candidates[0].similarity
        others = [c.similarity for c in candidates if not self.same(c.place, candidates[0].place)]
        return bool(others) and others[0] > best - self.margin * abs(best)

    def same(self, one: Place, other: Place) -> bool:
        """Whether two places are one: near in metres, or near in their session."""
        if one.pose is not None and other.pose is not None:
            return one.pose.distance_to(other.pose) <= self.radius
        return one.session == other.session and abs(one.index - other.index) <= self.reach

    def _at(self, place: Place, belief: Belief) -> bool:
        """Whether a place is where the belief has the robot."""
        if place.pose is not None and belief.position is not None:
            x, y = belief.position[:2]
            return math.hypot(place.pose.x - x, place.pose.y - y) <= self.radius
        best = belief.best
        if best is None:
            return False
        session, index = best.place
        return place.session == session and abs(place.index - index) <= self.reach
