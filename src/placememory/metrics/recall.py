"""Recall@k from the rank of each query's first right candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory._checks import check_choice, check_positive
from placememory.errors import InputError, SettingError
from placememory.metrics.bootstrap import Interval, block_bootstrap
from placememory.metrics.inputs import (
    UNITS,
    UNMATCHED,
    Unit,
    Unmatched,
    deep_enough,
    distance_chunks,
    positions_of,
    ranks_of,
    rows_of,
    same_length,
)
from placememory.metrics.place_recall import DEFAULT_KS
from placememory.metrics.result import INTERVALS, MetricResult


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


Threshold = float | tuple[float, float]


@dataclass(frozen=True, slots=True)
class RetrievalRecallResult(MetricResult):
    """Recall@k for each threshold.

    Attributes:
        unit: Of the thresholds; a pair is metres and degrees.
        at: Recalls and counts, by threshold.
    """

    unit: Unit
    at: dict[Threshold, RecallAtK]

    @property
    def protocol(self) -> str:
        """The rules and counts in one line."""
        rules = "; ".join(f"{self.label(t)}: {found.rule}" for t, found in self.at.items())
        return (
            f"right = within the threshold (inclusive) of the true position; {rules}; {INTERVALS}"
        )

    def label(self, threshold: Threshold) -> str:
        """A threshold with its unit, such as ``5 m and 30 deg``."""
        if isinstance(threshold, tuple):
            return f"{threshold[0]:g} m and {threshold[1]:g} deg"
        return f"{threshold:g} {self.unit}"

    def lines(self) -> list[str]:
        """A line for each threshold and k."""
        return [
            f"recall@{k} within {self.label(threshold)}: {recall.percent()}"
            for threshold, found in self.at.items()
            for k, recall in found.recalls.items()
        ]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each threshold and k."""
        return [
            {
                "threshold": self.label(threshold),
                "k": k,
                "recall": recall.value,
                "low": recall.low,
                "high": recall.high,
                "queries": found.queries,
                "counted": found.counted,
                "without_match": found.without_match,
                "unmatched": found.unmatched,
            }
            for threshold, found in self.at.items()
            for k, recall in found.recalls.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is ``None``."""
        return {
            "protocol": self.protocol,
            "thresholds": {
                self.label(threshold): {
                    "queries": found.queries,
                    "counted": found.counted,
                    "without_match": found.without_match,
                    "unmatched": found.unmatched,
                    **{f"recall@{k}": value.to_dict() for k, value in found.recalls.items()},
                }
                for threshold, found in self.at.items()
            },
        }

    def _draw(self, ax: Any) -> None:
        for threshold, found in self.at.items():
            shares = [100 * recall.value for recall in found.recalls.values()]
            ax.plot(list(found.recalls), shares, marker="o", label=self.label(threshold))
        ax.set(xlabel="k", ylabel="recall@k (%)", ylim=(0, 102))
        if self.at:
            ax.legend()


class RetrievalRecall:
    """Recall@k of ranked reference rows, at several thresholds in one run.

    A candidate is right if its position is within the threshold (inclusive) of the query's. A pair
    is metres and degrees, both of which must hold; a heading that is not known on both sides is not
    held against a candidate. A query has a true match if any row of the database would be right;
    those without are dropped or counted as misses, and how many there are is always printed.

    Args:
        thresholds: Numbers, or pairs of metres and degrees.
        unit: ``m`` or ``frames`` (distance of positions) or ``deg`` (positions are angles).
        ks: The ks of recall@k.
        unmatched: Rule for queries without a true match, ``drop`` or ``count-as-miss``.

    Raises:
        SettingError: A threshold, unit, k or rule is impossible.

    Example:
        >>> metric = RetrievalRecall([2, 10], ks=[1, 2])
        >>> database = [[0, 0], [5, 0], [50, 0]]
        >>> metric.update([[1, 0], [2, 0]], [[0, 1], [90, 0]], database)
        >>> result = metric.compute()
        >>> [result.at[10].recalls[k].value for k in (1, 2)]
        [1.0, 1.0]
        >>> result.at[2].without_match
        1
    """

    def __init__(
        self,
        thresholds: Sequence[Threshold],
        *,
        unit: Unit = "m",
        ks: Sequence[int] = DEFAULT_KS,
        unmatched: Unmatched = "drop",
    ) -> None:
        check_choice("unit", unit, UNITS)
        check_choice("unmatched", unmatched, UNMATCHED)
        for value in (v for t in thresholds for v in np.atleast_1d(t)):
            check_positive(threshold=value)
        pairs = [t for t in thresholds if isinstance(t, tuple)]
        if not thresholds or any(len(t) != 2 for t in pairs) or (pairs and unit != "m"):
            raise SettingError(
                f"thresholds are numbers, or pairs (metres, degrees) with unit m, not {thresholds}"
            )
        self.unit = unit
        self.ks = ranks_of(ks)
        self._hits = {t: FirstHits(self.ks, unmatched) for t in thresholds}

    def update(
        self,
        ranked: ArrayLike,
        query: ArrayLike,
        database: ArrayLike,
        *,
        query_headings: ArrayLike | None = None,
        database_headings: ArrayLike | None = None,
    ) -> None:
        """Add queries in the order of their traverse.

        Args:
            ranked: (Q, K) rows of the database, best first; -1 where there are fewer than K.
            query: (Q, C) true positions, in the unit; NaN where not known.
            database: (N, C) positions of the database.
            query_headings: (Q,) degrees; needed for pairs.
            database_headings: (N,) degrees; needed for pairs.

        Raises:
            InputError: Shapes do not agree, rows are not in the database, headings are missing, or
                there are fewer candidates than the largest k.
        """
        true, places = positions_of("query", query), positions_of("database", database)
        rows = rows_of("ranked", ranked, len(places))
        same_length(ranked=rows, query=true)
        deep_enough(rows, self.ks, len(places))
        angles = self._angles(len(true), query_headings, len(places), database_headings)
        for part, distances in distance_chunks(true, places):
            if self.unit == "deg":
                distances = _turn(true[part, :1] - places[:, 0])
            turned = None if angles is None else _turn(angles[0][part, None] - angles[1])
            for threshold, hits in self._hits.items():
                right = _right(threshold, distances, turned)
                found = np.take_along_axis(right, np.maximum(rows[part], 0), axis=1)
                hits.add(found & (rows[part] >= 0), np.any(right, axis=1))

    def compute(self) -> RetrievalRecallResult:
        """The result over all queries so far."""
        return RetrievalRecallResult(
            self.unit, {threshold: hits.compute() for threshold, hits in self._hits.items()}
        )

    def _angles(
        self, queries: int, query: ArrayLike | None, places: int, database: ArrayLike | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        if not any(isinstance(threshold, tuple) for threshold in self._hits):
            return None
        if query is None or database is None:
            raise InputError("a threshold in metres and degrees needs headings of both sides")
        found = np.asarray(query, dtype=np.float64), np.asarray(database, dtype=np.float64)
        if found[0].shape != (queries,) or found[1].shape != (places,):
            raise InputError(
                f"headings are ({queries},) and ({places},), not {found[0].shape} and "
                f"{found[1].shape}"
            )
        return found


def _turn(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Size of a turn, 0 to 180 degrees."""
    turned: NDArray[np.float64] = np.abs((degrees + 180.0) % 360.0 - 180.0)
    return turned


def _right(
    threshold: Threshold, distances: NDArray[np.float64], turned: NDArray[np.float64] | None
) -> NDArray[np.bool_]:
    if not isinstance(threshold, tuple) or turned is None:
        return distances <= threshold
    return (distances <= threshold[0]) & ((turned <= threshold[1]) | np.isnan(turned))
