"""Sequence retrieval: windows of consecutive frames, their ground truth, and recall@k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from placememory._checks import check_choice, check_positive
from placememory._types import Protocol
from placememory.errors import SettingError
from placememory.evaluation._first_hits import FirstHits, RecallAtK
from placememory.evaluation._inputs import (
    PROTOCOLS,
    UNMATCHED,
    Unit,
    Unmatched,
    deep_enough,
    ranks_of,
    rows_of,
    same_length,
)
from placememory.evaluation._result import INTERVALS, MetricResult
from placememory.evaluation._windows import (
    STRATEGIES,
    SequenceWindows,
    Strategy,
    build_windows,
    sequence_positives,
)
from placememory.evaluation.metrics import DEFAULT_KS

__all__ = [
    "SequenceRecall",
    "SequenceRecallResult",
    "SequenceWindows",
    "Strategy",
    "build_windows",
    "sequence_positives",
]


@dataclass(frozen=True, slots=True)
class SequenceRecallResult(MetricResult):
    """Recall@k of sequence retrieval.

    Attributes:
        radius: Within which frames are near, inclusive.
        unit: Of the radius.
        strategy: Which windows are right.
        rule: Name of the protocol.
        at: Recalls and counts.
    """

    radius: float
    unit: Unit
    strategy: Strategy
    rule: Protocol
    at: RecallAtK

    @property
    def protocol(self) -> str:
        """The rules and counts in one line."""
        whose = "CaseVPR's rules: " if self.rule == "casevpr" else ""
        return (
            f"{whose}a window is right if {STRATEGIES[self.strategy]} ({self.radius:g} "
            f"{self.unit}, inclusive); {self.at.rule}; {INTERVALS}"
        )

    def lines(self) -> list[str]:
        """A line for each k."""
        return [f"sequence recall@{k}: {r.percent()}" for k, r in self.at.recalls.items()]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each k."""
        return [
            {"strategy": self.strategy, "k": k, "recall": r.value, "low": r.low, "high": r.high}
            for k, r in self.at.recalls.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is ``None``."""
        return {
            "protocol": self.protocol,
            "rule": self.rule,
            "strategy": self.strategy,
            "radius": self.radius,
            "unit": self.unit,
            "queries": self.at.queries,
            "counted": self.at.counted,
            "without_match": self.at.without_match,
            "unmatched": self.at.unmatched,
            **{f"recall@{k}": value.to_dict() for k, value in self.at.recalls.items()},
        }

    def _draw(self, ax: Any) -> None:
        shares = [100 * recall.value for recall in self.at.recalls.values()]
        ax.plot(list(self.at.recalls), shares, marker="o", label=self.strategy)
        ax.set(xlabel="k", ylabel="sequence recall@k (%)", ylim=(0, 102))


class SequenceRecall:
    """Recall@k of retrieved windows.

    Args:
        radius: Within which two frames are near, in the unit of the positions, inclusive.
        strategy: ``lax``, ``strict`` or ``last-frame`` (see :func:`sequence_positives`).
        unit: ``m`` or ``frames``.
        ks: The ks of recall@k.
        unmatched: Rule for query windows without a right window, ``drop`` or ``count-as-miss``.
        protocol: ``casevpr`` for the reference's numbers; give it to :func:`build_windows`, too.

    Raises:
        SettingError: A setting is impossible, or CaseVPR's protocol is asked to count misses.

    Example:
        >>> metric = SequenceRecall(radius=1, strategy="last-frame", ks=[1, 2])
        >>> windows = build_windows(["a"] * 4, range(4), 2)
        >>> line = [[0, 0], [5, 0], [10, 0], [15, 0]]
        >>> metric.update([[0, 1], [2, 1], [0, 1]], windows, windows, line, line)
        >>> [round(r.value, 3) for r in metric.compute().at.recalls.values()]
        [0.333, 0.667]
    """

    def __init__(
        self,
        radius: float,
        *,
        strategy: Strategy,
        unit: Unit = "m",
        ks: Sequence[int] = DEFAULT_KS,
        unmatched: Unmatched = "drop",
        protocol: Protocol = "default",
    ) -> None:
        check_choice("unit", unit, ("m", "frames"))
        check_choice("strategy", strategy, tuple(STRATEGIES))
        check_choice("unmatched", unmatched, UNMATCHED)
        check_choice("protocol", protocol, PROTOCOLS)
        if protocol == "casevpr" and unmatched != "drop":
            raise SettingError("CaseVPR's protocol leaves out queries without a true match")
        check_positive(radius=radius)
        self.radius = float(radius)
        self.strategy = strategy
        self.unit = unit
        self.protocol = protocol
        self._hits = FirstHits(ranks_of(ks), unmatched)

    def update(
        self,
        ranked: ArrayLike,
        query: SequenceWindows,
        database: SequenceWindows,
        query_positions: ArrayLike,
        database_positions: ArrayLike,
    ) -> None:
        """Add query windows in the order of their traverse.

        Args:
            ranked: (Q, K) rows of ``database``, best first; -1 where there are fewer than K.
            query: The Q query windows.
            database: The windows that were searched.
            query_positions: (M, C) positions of the frames of the query traverse.
            database_positions: (N, C) positions of the frames of the database.

        Raises:
            InputError: Shapes do not agree, rows are not windows, or there are fewer candidates
                than the largest k.
        """
        rows = rows_of("ranked", ranked, len(database))
        same_length(ranked=rows, query=query.frames)
        deep_enough(rows, self._hits.ks, len(database))
        positives = sequence_positives(
            query,
            database,
            query_positions,
            database_positions,
            radius=self.radius,
            strategy=self.strategy,
            protocol=self.protocol,
        )
        right = np.zeros(rows.shape, dtype=bool)
        for i, found in enumerate(positives):
            right[i] = np.isin(rows[i], found)
        self._hits.add(right, np.array([len(found) > 0 for found in positives], dtype=bool))

    def compute(self) -> SequenceRecallResult:
        """The result over all query windows so far."""
        return SequenceRecallResult(
            self.radius, self.unit, self.strategy, self.protocol, self._hits.compute()
        )
