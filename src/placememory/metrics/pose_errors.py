"""How far off the answers are: the distribution of position and heading errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from placememory._checks import check_positive
from placememory.errors import SettingError
from placememory.frames.pose import Pose
from placememory.metrics.bootstrap import Interval, block_bootstrap
from placememory.metrics.result import INTERVALS, MetricResult, finite_or_none

DEFAULT_THRESHOLDS = ((0.25, 2.0), (0.5, 5.0), (5.0, 10.0))
DEFAULT_QUANTILES = (0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class PoseErrorsResult(MetricResult):
    """Quantiles of the errors, and shares within thresholds.

    Attributes:
        quantiles: Position error in metres with interval, by quantile, over the answered queries.
        heading_quantiles: Rotation error in degrees, by quantile, over the answered queries whose
            rotations are known; NaN where there is none.
        within: Share of all queries within metres and degrees, by threshold.
        queries: Queries in all; those without an answer are within no threshold.
        answered: Queries with an answer.
        headings: Answered queries whose rotations are known.
    """

    quantiles: dict[float, Interval]
    heading_quantiles: dict[float, float]
    within: dict[tuple[float, float], Interval]
    queries: int
    answered: int
    headings: int

    @property
    def protocol(self) -> str:
        """The rules and counts in one line."""
        return (
            f"errors over the {self.answered} of {self.queries} queries that were answered "
            f"({self.headings} with rotations); shares within thresholds are of all "
            f"{self.queries}, no answer is within none, an unknown rotation is not held against an "
            f"answer; {INTERVALS}"
        )

    def lines(self) -> list[str]:
        """A line for each quantile and threshold."""
        return [
            *(
                f"{100 * q:g} % of errors are up to {e.value:.2f} m [{e.low:.2f}, {e.high:.2f}]"
                + (f", {self.heading_quantiles[q]:.1f} deg" if self.headings else "")
                for q, e in self.quantiles.items()
                if self.answered
            ),
            *(
                f"within {metres:g} m and {degrees:g} deg: {found.percent()}"
                for (metres, degrees), found in self.within.items()
            ),
        ]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each quantile."""
        return [
            {
                "quantile": q,
                "metres": error.value,
                "low": error.low,
                "high": error.high,
                "degrees": self.heading_quantiles[q],
            }
            for q, error in self.quantiles.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is ``None``."""
        return {
            "protocol": self.protocol,
            "queries": self.queries,
            "answered": self.answered,
            "answered_with_rotations": self.headings,
            "position_error_m": {f"{q:g}": e.to_dict() for q, e in self.quantiles.items()},
            "heading_error_deg": {
                f"{q:g}": finite_or_none(e) for q, e in self.heading_quantiles.items()
            },
            "within": {f"{m:g} m, {d:g} deg": e.to_dict() for (m, d), e in self.within.items()},
        }

    def _draw(self, ax: Any) -> None:
        quantiles = [100 * q for q in self.quantiles]
        ax.plot([error.value for error in self.quantiles.values()], quantiles, marker="o")
        ax.set(xlabel="position error (m)", ylabel="share of answers (%)", ylim=(0, 102))


class PoseErrors:
    """Distribution of position and rotation errors, fed query by query.

    Args:
        thresholds: Pairs of metres and degrees.
        quantiles: In 0..1.

    Raises:
        SettingError: A threshold is not positive, or a quantile not in 0..1.

    Example:
        >>> metric = PoseErrors(thresholds=[(2, 10)], quantiles=[0.5])
        >>> for found in (Pose(1, 0), Pose(3, 0), None):
        ...     metric.update(Pose(0, 0), found)
        >>> result = metric.compute()
        >>> result.quantiles[0.5].value, round(result.within[2, 10].value, 3)
        (2.0, 0.333)
    """

    def __init__(
        self,
        thresholds: Sequence[tuple[float, float]] = DEFAULT_THRESHOLDS,
        quantiles: Sequence[float] = DEFAULT_QUANTILES,
    ) -> None:
        for value in (value for pair in thresholds for value in pair):
            check_positive(threshold=value)
        if not all(0 <= q <= 1 for q in quantiles):
            raise SettingError(f"quantiles are in 0..1, not {tuple(quantiles)}")
        self.thresholds = tuple(thresholds)
        self.quantiles = tuple(quantiles)
        self.reset()

    def reset(self) -> None:
        """Forget all queries."""
        self._errors: list[tuple[float, float]] = []

    def update(self, true: Pose, found: Pose | None) -> None:
        """Add a query.

        Args:
            true: The query's true pose.
            found: The answer; ``None`` where there was none.
        """
        if found is None:
            self._errors.append((math.inf, math.inf))
        else:
            self._errors.append((true.distance_to(found), true.angle_to(found)))

    def compute(self) -> PoseErrorsResult:
        """The result over all queries so far."""
        errors = np.array(self._errors, dtype=np.float64).reshape(-1, 2)
        answered = errors[np.isfinite(errors[:, 0])]
        headings = answered[~np.isnan(answered[:, 1]), 1]
        within = {}
        for metres, degrees in self.thresholds:
            inside = (errors[:, 0] <= metres) & ~(errors[:, 1] > degrees)
            within[metres, degrees] = block_bootstrap(inside.astype(np.float64))
        return PoseErrorsResult(
            quantiles={
                q: block_bootstrap(answered[:, 0], lambda e, q=q: float(np.quantile(e, q)))  # type: ignore[misc]
                for q in self.quantiles
            },
            heading_quantiles={
                q: float(np.quantile(headings, q)) if len(headings) else math.nan
                for q in self.quantiles
            },
            within=within,
            queries=len(errors),
            answered=len(answered),
            headings=len(headings),
        )
