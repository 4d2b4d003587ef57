"""Precision against recall as the acceptance threshold on the score moves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory._checks import check_choice
from placememory.errors import InputError
from placememory.metrics.bootstrap import Interval, block_bootstrap
from placememory.metrics.inputs import check_flags, check_lengths
from placememory.metrics.result import INTERVALS, MetricResult, finite_or_none

RecallOver = Literal["matchable", "right"]
_RECALL_OVER = {
    "matchable": "of all queries that have a true match",
    "right": "of the queries whose best match is right",
}


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecallResult(MetricResult):
    """A precision-recall curve and its summaries.

    Attributes:
        thresholds: (S,) the distinct scores, the most certain first.
        precision: (S,) when all answers up to this score (inclusive) are given.
        recall: (S,) the same for recall.
        average_precision: Sum of precision times gain in recall over the curve, with interval.
        recall_at_full_precision: Largest recall at which no answer is wrong; 0 if there is none.
        threshold_at_full_precision: The score that gives it; NaN if there is none.
        lower_is_better: Whether low scores are certain.
        recall_over: What recall is a share of.
        queries: Queries in all.
        right: Queries whose best match is right.
        positives: The denominator of recall.
    """

    thresholds: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    average_precision: Interval
    recall_at_full_precision: float
    threshold_at_full_precision: float
    lower_is_better: bool
    recall_over: RecallOver
    queries: int
    right: int
    positives: int

    @property
    def protocol(self) -> str:
        """The rules and counts in one line."""
        better = "lower" if self.lower_is_better else "higher"
        return (
            f"one best match a query, {better} scores first, equal scores accepted together; "
            f"recall is the share {_RECALL_OVER[self.recall_over]} ({self.positives} of "
            f"{self.queries} queries); {self.right} best matches are right; {INTERVALS}"
        )

    def lines(self) -> list[str]:
        """The two summaries."""
        return [
            f"average precision: {self.average_precision.percent()}",
            f"recall at 100 % precision: {100 * self.recall_at_full_precision:.1f} % "
            f"(score {self.threshold_at_full_precision:g})",
        ]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each threshold."""
        return [
            {"threshold": float(t), "precision": float(p), "recall": float(r)}
            for t, p, r in zip(self.thresholds, self.precision, self.recall, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the curve; what is not known is ``None``."""
        return {
            "protocol": self.protocol,
            "average_precision": self.average_precision.to_dict(),
            "recall_at_full_precision": finite_or_none(self.recall_at_full_precision),
            "threshold_at_full_precision": finite_or_none(self.threshold_at_full_precision),
            "queries": self.queries,
            "right": self.right,
            "positives": self.positives,
        }

    def _draw(self, ax: Any) -> None:
        ax.step([0.0, *(100 * self.recall)], [100.0, *(100 * self.precision)], where="pre")
        ax.set(xlabel="recall (%)", ylabel="precision (%)", xlim=(0, 102), ylim=(0, 102))


class PrecisionRecall:
    """Precision-recall curve of best matches by their score.

    Args:
        lower_is_better: Whether a low score is a certain match (distances, the matchers' scores)
            or a high one (similarities).
        recall_over: What recall is a share of: the queries that are ``matchable`` (a wrong best
            match can never be made up for, so recall may end below 1), or the queries whose best
            match is ``right`` (ranks the scores only, as classifiers are ranked; recall ends at 1).

    Raises:
        SettingError: ``recall_over`` is not known.

    Example:
        >>> metric = PrecisionRecall(lower_is_better=True)
        >>> metric.update([0.1, 0.2, 0.2, 0.9], correct=[1, 1, 0, 1])
        >>> result = metric.compute()
        >>> result.recall.tolist(), result.recall_at_full_precision
        ([0.25, 0.5, 0.75], 0.25)
        >>> round(result.average_precision.value, 4)
        0.6042
    """

    def __init__(self, *, lower_is_better: bool, recall_over: RecallOver = "matchable") -> None:
        check_choice("recall_over", recall_over, tuple(_RECALL_OVER))
        self.lower_is_better = lower_is_better
        self.recall_over = recall_over
        self.reset()

    def reset(self) -> None:
        """Forget all queries."""
        self._table: list[NDArray[np.float64]] = []

    def update(
        self, scores: ArrayLike, correct: ArrayLike, has_match: ArrayLike | None = None
    ) -> None:
        """Add queries in the order of their traverse.

        Args:
            scores: (Q,) score of each query's best match; the worst score (infinite) where the
                search gave none.
            correct: (Q,) whether it is right.
            has_match: (Q,) whether the query has a true match; all have by default.

        Raises:
            InputError: A score is NaN, lengths differ, or a best match is called right where no
                true match exists.
        """
        values = np.atleast_1d(np.asarray(scores, dtype=np.float64))
        right = check_flags("correct", correct)
        there = np.ones_like(right) if has_match is None else check_flags("has_match", has_match)
        check_lengths(scores=values, correct=right, has_match=there)
        if np.isnan(values).any():
            raise InputError(
                f"score {int(np.isnan(values).argmax())} is NaN; leave out such queries"
            )
        if (right & ~there).any():
            first = int((right & ~there).argmax())
            raise InputError(f"query {first} is right although it has no true match")
        costs = values if self.lower_is_better else -values
        self._table.append(np.column_stack([costs, right, there]))

    def compute(self) -> PrecisionRecallResult:
        """The result over all queries so far."""
        table = np.concatenate([np.empty((0, 3)), *self._table])
        costs, table[:, 0] = np.unique(table[:, 0], return_inverse=True)
        precision, recall = self._curve(table, len(costs))
        full = np.flatnonzero(precision == 1.0)
        best = int(full[-1]) if len(full) else -1
        thresholds = costs if self.lower_is_better else -costs
        return PrecisionRecallResult(
            thresholds=thresholds,
            precision=precision,
            recall=recall,
            average_precision=block_bootstrap(table, lambda t: self._average(t, len(costs))),
            recall_at_full_precision=float(recall[best]) if best >= 0 else 0.0,
            threshold_at_full_precision=float(thresholds[best]) if best >= 0 else math.nan,
            lower_is_better=self.lower_is_better,
            recall_over=self.recall_over,
            queries=len(table),
            right=int(table[:, 1].sum()),
            positives=self._positives(table),
        )

    def _positives(self, table: NDArray[np.float64]) -> int:
        return int(table[:, 2 if self.recall_over == "matchable" else 1].sum())

    def _curve(
        self, table: NDArray[np.float64], scores: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Precision and recall when all queries up to each distinct score are accepted.

        Args:
            table: (Q, 3): number of the score, from the best; right; has a match.
            scores: How many distinct scores there are.
        """
        group = table[:, 0].astype(np.int64)
        accepted = np.cumsum(np.bincount(group, minlength=scores))
        right = np.cumsum(np.bincount(group, weights=table[:, 1], minlength=scores))
        positives = self._positives(table)
        recall = right / positives if positives else np.full(scores, math.nan)
        return right / np.maximum(accepted, 1), recall

    def _average(self, table: NDArray[np.float64], scores: int) -> float:
        if not self._positives(table):
            return math.nan
        precision, recall = self._curve(table, scores)
        return float(np.sum(precision * np.diff(recall, prepend=0.0)))
