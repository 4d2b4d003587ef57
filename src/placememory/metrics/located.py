"""How right the verdicts are: located where it is right, unknown where it is off the map."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory.metrics.bootstrap import Interval, block_bootstrap
from placememory.metrics.coverage import Coverage, CoverageResult
from placememory.metrics.result import INTERVALS, MetricResult, finite_or_none, share

BINS = 10


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Frames whose probability fell into a bin.

    Attributes:
        low: Lower end of the bin.
        high: Upper end.
        count: Frames.
        probability: Their mean probability.
        right: Share of them that was right.
    """

    low: float
    high: float
    count: int
    probability: float
    right: float


@dataclass(frozen=True, slots=True)
class LocatedResult(MetricResult):
    """Verdicts and probabilities against the truth.

    Attributes:
        rule: What makes an answer correct.
        frames: Frames with a known truth.
        on_map: Of these, frames for which the map has a correct place.
        located: Share of the on-map frames that were located, right or wrong.
        precision: Share of all located frames that were right; a located frame off the map is not.
        recall: Share of the on-map frames that were located and right.
        median_error: Of the located frames on the map, metres.
        false_locations: Share of the off-map frames that were located.
        off_map: Frames off the map.
        calibration_error: Expected calibration error: mean distance of probability and share right
            over ten bins, weighted by their frames; NaN where no frame has a probability.
        bins: The bins, those with frames.
        coverage: Of the poses of the located frames on the map by their covariance.
    """

    rule: str
    frames: int
    on_map: int
    located: Interval
    precision: Interval
    recall: Interval
    median_error: float
    false_locations: float
    off_map: int
    calibration_error: float
    bins: tuple[ReliabilityBin, ...]
    coverage: CoverageResult

    @property
    def protocol(self) -> str:
        """The rules and counts in one line."""
        return (
            f"correct = {self.rule}; {self.on_map} frames are on the map (it has a correct place), "
            f"{self.off_map} off it; {INTERVALS}"
        )

    def lines(self) -> list[str]:
        """The numbers."""
        off = "" if not self.off_map else f", off the map {100 * self.false_locations:.1f} %"
        return [
            f"located on the map: {self.located.percent()}{off}",
            f"precision of located: {self.precision.percent()}",
            f"located and right: {self.recall.percent()}",
            "median error of located: "
            + ("no value" if math.isnan(self.median_error) else f"{self.median_error:.2f} m"),
            "expected calibration error: "
            + (
                "the method gives no probability"
                if math.isnan(self.calibration_error)
                else f"{100 * self.calibration_error:.1f} %"
            ),
            *self.coverage.lines(),
        ]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each bin."""
        return [
            {"low": b.low, "high": b.high, "count": b.count, "probability": b.probability,
             "right": b.right}
            for b in self.bins
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is ``None``."""
        return {
            "protocol": self.protocol,
            "rule": self.rule,
            "frames": self.frames,
            "on_map": self.on_map,
            "off_map": self.off_map,
            "located": self.located.to_dict(),
            "precision": self.precision.to_dict(),
            "located_and_right": self.recall.to_dict(),
            "median_error_m": finite_or_none(self.median_error),
            "false_locations": finite_or_none(self.false_locations),
            "expected_calibration_error": finite_or_none(self.calibration_error),
            "reliability": self.rows(),
            "coverage": self.coverage.to_dict(),
        }

    def _draw(self, ax: Any) -> None:
        ax.plot([0, 1], [0, 1], linestyle="--", linewidth=1, color="0.6")
        ax.plot([b.probability for b in self.bins], [b.right for b in self.bins], marker="o")
        ax.set(xlabel="probability", ylabel="share correct", xlim=(0, 1), ylim=(0, 1.02))


class LocatedFrames:
    """Verdicts of a run against the truth, fed frame by frame.

    Args:
        rule: What makes an answer correct, in words; of the ground truth as a rule.

    Example:
        >>> metric = LocatedFrames("within 1 m of the true position")
        >>> metric.update(located=True, probability=0.9, correct=True, on_map=True, error=0.3)
        >>> metric.update(located=True, probability=0.8, correct=False, on_map=False)
        >>> metric.update(located=False, probability=0.1, correct=False, on_map=True)
        >>> result = metric.compute()
        >>> result.located.value, result.precision.value, result.false_locations
        (0.5, 0.5, 1.0)
    """

    def __init__(self, rule: str = "listed as correct") -> None:
        self.rule = rule
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._rows: list[tuple[float, float, float, float, float]] = []
        self._coverage = Coverage()

    def update(
        self,
        *,
        located: bool,
        probability: float | None,
        correct: bool,
        on_map: bool,
        error: float = math.nan,
        pose_error: NDArray[np.float64] | None = None,
        covariance: NDArray[np.float64] | None = None,
    ) -> None:
        """Add a frame.

        Args:
            located: Whether the verdict was ``located``.
            probability: Of the best hypothesis; ``None`` where the method has none, or it is out
                of date: such frames are not in the calibration error.
            correct: Whether the best hypothesis is correct; never where the frame is off the map.
            on_map: Whether the map has a correct place.
            error: Metres from the best hypothesis to the truth; NaN if there is no position.
            pose_error: (3,) of x, y, yaw from the truth to the best hypothesis; see
                :class:`Coverage`.
            covariance: Of the best hypothesis.
        """
        sure = math.nan if probability is None else probability
        self._rows.append((located, sure, error, on_map, correct and on_map))
        if located and on_map and pose_error is not None and covariance is not None:
            self._coverage.update(pose_error, covariance)

    def compute(self) -> LocatedResult:
        """The result over all frames so far."""
        table = np.array(self._rows, dtype=np.float64).reshape(-1, 5)
        located, probability, error, on_map, right = table.T
        known_place, answered = on_map == 1, located == 1
        both = located * right
        sure = np.isfinite(probability)
        bins, count = _bins(probability[sure], right[sure]), int(sure.sum())
        apart = sum(b.count * abs(b.probability - b.right) for b in bins)
        return LocatedResult(
            rule=self.rule,
            frames=len(table),
            on_map=int(on_map.sum()),
            located=block_bootstrap(located[known_place]),
            precision=block_bootstrap(right[answered]),
            recall=block_bootstrap(both[known_place]),
            median_error=_median(error[answered & known_place]),
            false_locations=_mean(located[~known_place]),
            off_map=int((~known_place).sum()),
            calibration_error=share(apart, count),
            bins=bins,
            coverage=self._coverage.compute(),
        )


def _bins(
    probability: NDArray[np.float64], right: NDArray[np.float64]
) -> tuple[ReliabilityBin, ...]:
    index = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    return tuple(
        ReliabilityBin(
            low=b / BINS,
            high=(b + 1) / BINS,
            count=int((index == b).sum()),
            probability=float(probability[index == b].mean()),
            right=float(right[index == b].mean()),
        )
        for b in range(BINS)
        if (index == b).any()
    )


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else math.nan


def _median(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else math.nan
