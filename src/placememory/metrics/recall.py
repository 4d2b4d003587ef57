"""Recall@k: whether one of the first k answers is correct, by any ground truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from placememory._checks import check_choice
from placememory._types import Bools, Floats
from placememory.errors import InputError, SettingError
from placememory.metrics.bootstrap import Interval, block_bootstrap
from placememory.metrics.result import INTERVALS, MetricResult, finite_or_none
from placememory.metrics.truth import GroundTruth

DEFAULT_KS = (1, 5, 10)

Unmatched = Literal["drop", "count-as-miss"]
"""What becomes of a query without a correct place in the map: left out, or counted as not found."""
UNMATCHED = ("drop", "count-as-miss")


@dataclass(frozen=True, slots=True)
class RecallResult(MetricResult):
    """Recall@k with the counts behind it.

    Attributes:
        rule: What makes an answer correct.
        recalls: Recall in 0..1 with interval, by k.
        queries: Queries whose truth is known.
        counted: Queries in the denominator.
        without_match: Queries without a correct place in the map.
        unmatched: The rule for those.
        unit: Of the errors: ``m``, ``frames`` or ``deg``.
        median_error: Distance of the first answer from the truth over the counted queries.
        median_error_all: The same over all queries with a known truth.
    """

    rule: str
    recalls: dict[int, Interval]
    queries: int
    counted: int
    without_match: int
    unmatched: Unmatched
    unit: str
    median_error: Interval
    median_error_all: float

    @property
    def protocol(self) -> str:
        """The rules and counts in one line."""
        fate = "are left out" if self.unmatched == "drop" else "count as misses"
        return (
            f"correct = {self.rule}; {self.counted} of {self.queries} queries count; "
            f"{self.without_match} have no correct place in the map and {fate}; {INTERVALS}"
        )

    def lines(self) -> list[str]:
        """A line for each k, and the error."""
        lines = [f"recall@{k}: {recall.percent()}" for k, recall in self.recalls.items()]
        error = self.median_error
        if not math.isnan(error.value):
            low, high = f"{error.low:.2f}", f"{error.high:.2f}"
            lines.append(f"median error: {error.value:.2f} {self.unit} [{low}, {high}]")
        return lines

    def rows(self) -> list[dict[str, Any]]:
        """A row for each k."""
        return [
            {
                "rule": self.rule,
                "k": k,
                "recall": recall.value,
                "low": recall.low,
                "high": recall.high,
                "queries": self.queries,
                "counted": self.counted,
                "without_match": self.without_match,
            }
            for k, recall in self.recalls.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is ``None``."""
        return {
            "protocol": self.protocol,
            "rule": self.rule,
            "queries": self.queries,
            "counted": self.counted,
            "without_match": self.without_match,
            "unmatched": self.unmatched,
            **{f"recall@{k}": value.to_dict() for k, value in self.recalls.items()},
            "unit": self.unit,
            "median_error": self.median_error.to_dict(),
            "median_error_of_all_queries": finite_or_none(self.median_error_all),
        }

    def _draw(self, ax: Any) -> None:
        shares = [100 * recall.value for recall in self.recalls.values()]
        ax.plot(list(self.recalls), shares, marker="o", label=self.rule)
        ax.set(xlabel="k", ylabel="recall@k (%)", ylim=(0, 102))


class Recall:
    """Recall@k of ranked answers against a ground truth.

    Queries without a correct place in the map are dropped or counted as misses, and how many there
    are is always printed: the benchmarks of the field disagree on this rule. Queries whose truth is
    not known count nowhere.

    Args:
        ks: The ks of recall@k.
        unmatched: Rule for queries without a correct place, ``drop`` or ``count-as-miss``.

    Raises:
        SettingError: A k is below 1, there is none, or the rule is unknown.

    Example:
        >>> truth = GroundTruth.from_positions([[1, 0], [2, 0]], [[0, 0], [5, 0], [50, 0]], 4.0)
        >>> metric = Recall(ks=[1, 2])
        >>> metric.update([[0, 1], [2, 1]], truth)
        >>> [recall.value for recall in metric.compute().recalls.values()]
        [0.5, 1.0]
    """

    def __init__(self, ks: Sequence[int] = DEFAULT_KS, *, unmatched: Unmatched = "drop") -> None:
        check_choice("unmatched", unmatched, UNMATCHED)
        self.ks = tuple(sorted({int(k) for k in np.atleast_1d(np.asarray(ks))}))
        if not self.ks or self.ks[0] < 1:
            raise SettingError(f"ks are whole numbers from 1, not {ks!r}")
        self.unmatched: Unmatched = unmatched
        self.reset()

    def reset(self) -> None:
        """Forget all queries."""
        self._ranks: list[Floats] = []
        self._matched: list[Bools] = []
        self._errors: list[Floats] = []
        self._rule, self._unit = "", "m"

    def update(
        self, ranked: ArrayLike, truth: GroundTruth, queries: ArrayLike | None = None
    ) -> None:
        """Add queries in the order of their traverse.

        Args:
            ranked: (Q, K) rows of the map, best first; -1 where there are fewer than K.
            truth: Of the queries.
            queries: (Q,) which queries of the truth these are; all of them by default.

        Raises:
            InputError: Rows are not in the map, there is not one row of them for each query, or
                there are fewer candidates than the largest k although the map has more places.
        """
        rows = np.atleast_2d(np.asarray(ranked))
        query_rows = np.arange(len(truth)) if queries is None else np.asarray(queries, np.int64)
        if rows.shape[1] < min(self.ks[-1], truth.places):
            raise InputError(
                f"recall@{self.ks[-1]} needs {min(self.ks[-1], truth.places)} candidates a query, "
                f"not {rows.shape[1]}; search for more, or leave out large ks"
            )
        correct, apart = truth.correct(rows, query_rows), truth.distance(rows, query_rows)
        used = truth.known[query_rows]
        first = np.argmax(correct, axis=1) + 1.0 if rows.shape[1] else np.ones(len(rows))
        self._ranks.append(np.where(correct.any(axis=1), first, np.inf)[used])
        self._matched.append(truth.on_map()[query_rows][used])
        errors = apart[:, 0] if rows.shape[1] else np.full(len(rows), math.nan)
        self._errors.append(errors[used])
        self._rule, self._unit = truth.rule, truth.unit

    def compute(self) -> RecallResult:
        """The result over all queries so far."""
        ranks = np.concatenate([np.empty(0), *self._ranks])
        errors = np.concatenate([np.empty(0), *self._errors])
        matched = np.concatenate([np.empty(0, np.bool_), *self._matched])
        counted = matched if self.unmatched == "drop" else np.ones_like(matched)
        return RecallResult(
            rule=self._rule,
            recalls={k: block_bootstrap((ranks[counted] <= k).astype(np.float64)) for k in self.ks},
            queries=len(ranks),
            counted=int(counted.sum()),
            without_match=int((~matched).sum()),
            unmatched=self.unmatched,
            unit=self._unit,
            median_error=block_bootstrap(errors[counted], _median),
            median_error_all=_median(errors),
        )


def _median(values: Floats) -> float:
    found = values[~np.isnan(values)]
    return float(np.median(found)) if len(found) else math.nan
