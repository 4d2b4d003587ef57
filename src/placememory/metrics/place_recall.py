"""Recall@k of places within a radius, and the localisation error of the first candidate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory.errors import SettingError
from placememory.frames.pose import Pose
from placememory.metrics.bootstrap import Interval, block_bootstrap

DEFAULT_KS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class RecallResult:
    """Recall@k with its protocol.

    Attributes:
        radius: A candidate is right within this many metres of the query's true position.
        heading: And within this many degrees of its true rotation; ``None`` asks nothing.
        recalls: Recall in 0..1 with interval, by k.
        queries: Queries with a true pose.
        counted: Queries that have a true match in the memory; the others are left out.
        median_error: Of the first candidate's position over the counted queries, metres.
        median_error_all: The same over all queries with a true pose, metres.
        median_heading: Of the first candidate's rotation over the counted queries, degrees; NaN
            where no rotations are known.
    """

    radius: float
    heading: float | None
    recalls: dict[int, Interval]
    queries: int
    counted: int
    median_error: Interval
    median_error_all: float
    median_heading: float

    @property
    def protocol(self) -> str:
        """The rules in one line."""
        gate = "" if self.heading is None else f" and {self.heading:g} degrees"
        return (
            f"right = within {self.radius:g} m{gate} of the true pose; {self.counted} of "
            f"{self.queries} queries have such a place in the memory and count, "
            f"{self.queries - self.counted} are left out; 95% intervals by bootstrap over blocks "
            f"of {self.median_error.block} frames"
        )

    def __str__(self) -> str:
        """A few lines of text, protocol first."""
        lines = [self.protocol]
        for k, recall in self.recalls.items():
            lines.append(
                f"recall@{k}: {100 * recall.value:.1f} % "
                f"[{100 * recall.low:.1f}, {100 * recall.high:.1f}]"
            )
        error = self.median_error
        lines.append(f"median error: {error.value:.2f} m [{error.low:.2f}, {error.high:.2f}]")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is ``None``."""
        return {
            "protocol": self.protocol,
            "radius_m": self.radius,
            "heading_deg": self.heading,
            "queries": self.queries,
            "queries_with_a_true_match": self.counted,
            **{f"recall@{k}": _interval(value) for k, value in self.recalls.items()},
            "median_error_m": _interval(self.median_error),
            "median_error_of_all_queries_m": _known(self.median_error_all),
            "median_heading_error_deg": _known(self.median_heading),
        }


class PlaceRecall:
    """Recall@k within a radius, fed query by query in the order of the traverse.

    A query counts if the memory holds a place that would be right (``solvable``); the share of the
    others is reported, never hidden (VPR benchmarks disagree on this rule, so it is printed).

    Example:
        >>> metric = PlaceRecall(radius=2.0)
        >>> metric.update(Pose(0, 0), [Pose(1, 0), Pose(9, 0)], solvable=True)
        >>> metric.update(Pose(0, 0), [Pose(9, 0), Pose(1, 0)], solvable=True)
        >>> result = metric.compute()
        >>> {k: value.value for k, value in result.recalls.items()}
        {1: 0.5, 5: 1.0, 10: 1.0}
    """

    def __init__(
        self, radius: float, heading: float | None = None, ks: Sequence[int] = DEFAULT_KS
    ) -> None:
        if not radius > 0 or (heading is not None and not heading > 0):
            raise SettingError(f"radius and heading must be positive, not {radius}, {heading}")
        self.radius = radius
        self.heading = heading
        self.ks = tuple(ks)
        self._first_hits: list[float] = []
        self._solvable: list[bool] = []
        self._errors: list[float] = []
        self._headings: list[float] = []

    def update(self, true: Pose, candidates: Sequence[Pose | None], *, solvable: bool) -> None:
        """Add a query.

        Args:
            true: The query's true pose.
            candidates: Poses of the candidates, best first; ``None`` where a place has none.
            solvable: Whether the memory holds a place that would be right.
        """
        hits = [
            rank
            for rank, pose in enumerate(candidates, start=1)
            if pose is not None and is_right(true, pose, self.radius, self.heading)
        ]
        best = candidates[0] if candidates else None
        self._first_hits.append(hits[0] if hits else math.inf)
        self._solvable.append(solvable)
        self._errors.append(math.nan if best is None else true.distance_to(best))
        self._headings.append(math.nan if best is None else true.angle_to(best))

    def compute(self) -> RecallResult:
        """The result over all queries so far."""
        counted = np.array(self._solvable, dtype=bool)
        ranks = np.array(self._first_hits, dtype=np.float64)[counted]
        errors = np.array(self._errors, dtype=np.float64)
        return RecallResult(
            radius=self.radius,
            heading=self.heading,
            recalls={k: block_bootstrap((ranks <= k).astype(np.float64)) for k in self.ks},
            queries=len(self._errors),
            counted=int(counted.sum()),
            median_error=block_bootstrap(errors[counted], _median),
            median_error_all=_median(errors),
            median_heading=_median(np.array(self._headings, dtype=np.float64)[counted]),
        )


def is_right(true: Pose, found: Pose, radius: float, heading: float | None = None) -> bool:
    """Whether a found pose is within a radius (metres) and a rotation (degrees) of the true one.

    A rotation that is not known on both sides is not held against it.

    Example:
        >>> is_right(Pose(0, 0), Pose(3, 4), radius=5.0)
        True
    """
    if true.distance_to(found) > radius:
        return False
    angle = math.nan if heading is None else true.angle_to(found)
    return math.isnan(angle) or heading is None or angle <= heading


def _median(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else math.nan


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _interval(interval: Interval) -> dict[str, float | int | None]:
    return {
        "value": _known(interval.value),
        "low": _known(interval.low),
        "high": _known(interval.high),
        "count": interval.count,
    }
