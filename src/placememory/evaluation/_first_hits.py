"""Recall@k from the rank of each query's first right candidate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placememory.evaluation._inputs import Unmatched
from placememory.evaluation.bootstrap import Interval, block_bootstrap


@dataclass(frozen=True, slots=True)
class RecallAtK:
    """Recall@k with the counts behind it.

    Attributes:
        recalls: Recall in 0..1 with interval, by k.
        queries: Queries in all.
        without_match: Of these, queries without a true match in the database.
        counted: Queries in the denominator.
        unmatched: The rule for queries without a true match.
    """

    recalls: dict[int, Interval]
    queries: int
    without_match: int
    counted: int
    unmatched: Unmatched

    @property
    def rule(self) -> str:
        """How queries without a true match were counted, in words."""
        fate = "are left out" if self.unmatched == "drop" else "count as misses"
        return (
            f"{self.counted} of {self.queries} queries count; {self.without_match} have no true "
            f"match and {fate}"
        )


class FirstHits:
    """Collects first hits query by query."""

    def __init__(self, ks: tuple[int, ...], unmatched: Unmatched) -> None:
        self.ks = ks
        self.unmatched = unmatched
        self._ranks: list[NDArray[np.float64]] = []
        self._matched: list[NDArray[np.bool_]] = []

    def add(self, right: NDArray[np.bool_], matched: NDArray[np.bool_]) -> None:
        """Add queries.

        Args:
            right: (Q, K), whether each candidate is right, best first.
            matched: (Q,), whether the query has a true match at all.
        """
        first = np.argmax(right, axis=1) + 1.0 if right.shape[1] else np.ones(len(right))
        self._ranks.append(np.where(right.any(axis=1), first, np.inf))
        self._matched.append(matched)

    def compute(self) -> RecallAtK:
        """Recall over all queries so far."""
        ranks = np.concatenate([np.empty(0), *self._ranks])
        matched = np.concatenate([np.empty(0, dtype=bool), *self._matched])
        counted = ranks[matched] if self.unmatched == "drop" else ranks
        return RecallAtK(
            recalls={k: block_bootstrap((counted <= k).astype(np.float64)) for k in self.ks},
            queries=len(ranks),
            without_match=int((~matched).sum()),
            counted=len(counted),
            unmatched=self.unmatched,
        )
