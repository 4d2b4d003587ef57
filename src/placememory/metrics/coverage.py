"""Coverage: how often the true pose is inside the ellipse that the covariance says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory.frames import Pose
from placememory.metrics.bootstrap import Interval, wilson
from placememory.metrics.result import MetricResult, finite_or_none

_LEVELS = ("1 sigma", "2 sigma", "3 sigma", "95 %")
_POSITION = (1.0, 4.0, 9.0, -2.0 * math.log(0.05))  # chi squared of two degrees of freedom
_YAW = (1.0, 4.0, 9.0, 1.959963984540054**2)


@dataclass(frozen=True, slots=True)
class CoverageResult(MetricResult):
    """Shares of true poses inside the ellipses, each with its Wilson interval.

    Attributes:
        position: Of x and y together, inside 1, 2, 3 sigma and the 95 % ellipse, in this order; a
            right covariance has 39.3, 86.5, 98.9 and 95 %.
        yaw: The same for the yaw; a right variance has 68.3, 95.4, 99.7 and 95 %.
        scale: Median squared error in sigmas over that of a right covariance, of the position: by
            this its covariance is too small. NaN where nothing was counted.
        yaw_scale: The same for the yaw.
        scale_95: By this factor of the covariance its 95 % ellipse would hold 95 % of the true
            positions. NaN where nothing was counted.
        yaw_scale_95: The same for the yaw.
    """

    position: tuple[Interval, ...]
    yaw: tuple[Interval, ...]
    scale: float
    yaw_scale: float
    scale_95: float
    yaw_scale_95: float

    @property
    def protocol(self) -> str:
        """The rules and counts in one line."""
        return (
            f"coverage: share of the located frames on the map whose true position "
            f"({self.position[0].count}) and yaw ({self.yaw[0].count}) is inside the ellipse of "
            "the covariance; 95% Wilson intervals"
        )

    def lines(self) -> list[str]:
        """The numbers."""
        return [
            f"true {name} inside the 95 % ellipse: {shares[-1].percent()}; inside 1, 2, 3 sigma: "
            + ", ".join(f"{100 * share.value:.1f}" for share in shares[:-1])
            + " %"
            for name, shares in (("position", self.position), ("yaw", self.yaw))
            if shares[0].count
        ]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each ellipse."""
        return [
            {"of": name, "ellipse": level, "expected": right, **share.to_dict()}
            for name, shares, expected in (
                ("position", self.position, [1 - math.exp(-0.5 * limit) for limit in _POSITION]),
                ("yaw", self.yaw, [math.erf(math.sqrt(0.5 * limit)) for limit in _YAW]),
            )
            for level, share, right in zip(_LEVELS, shares, expected, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is ``None``."""
        return {
            "protocol": self.protocol,
            "ellipses": self.rows(),
            "scale": finite_or_none(self.scale),
            "yaw_scale": finite_or_none(self.yaw_scale),
            "scale_95": finite_or_none(self.scale_95),
            "yaw_scale_95": finite_or_none(self.yaw_scale_95),
        }

    def _draw(self, ax: Any) -> None:
        rows = self.rows()
        ax.plot([0, 1], [0, 1], linestyle="--", linewidth=1, color="0.6")
        for name in ("position", "yaw"):
            of = [row for row in rows if row["of"] == name and row["count"]]
            of.sort(key=lambda row: row["expected"])
            ax.plot([r["expected"] for r in of], [r["value"] for r in of], marker="o", label=name)
        ax.set(xlabel="share expected inside", ylabel="share inside", xlim=(0, 1), ylim=(0, 1.02))
        ax.legend()


class Coverage:
    """Errors of located frames against their covariance, fed frame by frame.

    Example:
        >>> metric = Coverage()
        >>> for error in ([0.1, 0.0, 0.05], [0.3, 0.3, math.nan], [9.0, 0.0, 0.0]):
        ...     metric.update(error, np.diag([0.04, 0.04, 0.01]))
        >>> result = metric.compute()
        >>> [round(share.value, 2) for share in result.position], result.yaw[0].value
        ([0.33, 0.33, 0.67, 0.67], 1.0)
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._position: list[float] = []
        self._yaw: list[float] = []

    def update(self, error: NDArray[np.float64], covariance: NDArray[np.float64]) -> None:
        """Add a frame.

        Args:
            error: (3,) of x, y (metres) and yaw (radians, -pi to pi); NaN where unknown.
            covariance: (3, 3) of the same, or (6, 6) in ROS order; what it does not know is NaN,
                and not counted.
        """
        error, spread = np.asarray(error, np.float64), np.asarray(covariance, np.float64)
        if spread.shape == (6, 6):
            spread = spread[np.ix_([0, 1, 5], [0, 1, 5])]
        here = spread[:2, :2]
        if np.isfinite(error[:2]).all() and np.isfinite(here).all():
            self._position.append(float(error[:2] @ np.linalg.pinv(here) @ error[:2]))
        if math.isfinite(error[2]) and math.isfinite(spread[2, 2]):
            self._yaw.append(float(error[2] ** 2 / max(spread[2, 2], 1e-12)))

    def compute(self) -> CoverageResult:
        """The result over all frames so far."""
        at, yaw = np.array(self._position), np.array(self._yaw)
        return CoverageResult(
            tuple(_inside(at, limit) for limit in _POSITION),
            tuple(_inside(yaw, limit) for limit in _YAW),
            float(np.median(at)) / (2 * math.log(2)) if len(at) else math.nan,
            float(np.median(yaw)) / 0.4549364 if len(yaw) else math.nan,
            float(np.quantile(at, 0.95)) / _POSITION[-1] if len(at) else math.nan,
            float(np.quantile(yaw, 0.95)) / _YAW[-1] if len(yaw) else math.nan,
        )


def _inside(squared: NDArray[np.float64], limit: float) -> Interval:
    return wilson(int((squared <= limit).sum()), len(squared))


def pose_error(true: Pose | None, found: Pose | None) -> NDArray[np.float64]:
    """(3,) of x, y (metres) and yaw (radians, -pi to pi) from the truth; NaN where unknown.

    Example:
        >>> true, found = Pose.from_yaw(1.0, 2.0, 3.1), Pose.from_yaw(1.5, 2.0, -3.1)
        >>> pose_error(true, found).round(2).tolist()
        [0.5, 0.0, 0.08]
    """
    if true is None or found is None:
        return np.full(3, np.nan)
    turn = math.remainder(found.yaw - true.yaw, 2 * math.pi)
    return np.array([found.x - true.x, found.y - true.y, turn])
