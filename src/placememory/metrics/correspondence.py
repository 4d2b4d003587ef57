"""Image-level correspondence precision: are the frames of a window matched to the right frames?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory._checks import check_choice, check_positive
from placememory._types import Protocol
from placememory.errors import InputError, SettingError
from placememory.metrics.bootstrap import Interval, block_bootstrap
from placememory.metrics.inputs import (
    PROTOCOLS,
    UNMATCHED,
    Unit,
    Unmatched,
    positions_of,
    rows_of,
    rows_within,
)
from placememory.metrics.result import INTERVALS, MetricResult


@dataclass(frozen=True, slots=True)
class CorrespondencePrecisionResult(MetricResult):
    """Shares of frames that were matched to a reference frame within the radius.

    Attributes:
        radius: Of a right match, inclusive.
        unit: Of the radius.
        unmatched: Rule for frames without a true match.
        rule: Name of the protocol.
        window: Over all frames of all windows.
        last_frame: Over the last frame of each window: what a robot asks.
        windows: Windows in all.
        unanswered: Windows whose last frame was given no match; they are in no denominator.
        without_match: Answered windows whose last frame has no true match.
        counted: Windows in the denominator of ``last_frame``.
    """

    radius: float
    unit: Unit
    unmatched: Unmatched
    rule: Protocol
    window: Interval
    last_frame: Interval
    windows: int
    unanswered: int
    without_match: int
    counted: int

    @property
    def protocol(self) -> str:
        """The rules and counts in one line."""
        fate = "are left out" if self.unmatched == "drop" else "count as wrong"
        whose = "CaseVPR's rules: " if self.rule == "casevpr" else ""
        return (
            f"{whose}right = within {self.radius:g} {self.unit} (inclusive); {self.windows} "
            f"windows, {self.unanswered} without an answer are left out; {self.without_match} "
            f"answered ones whose last frame has no true match {fate}; {self.counted} count; "
            f"{INTERVALS}"
        )

    def lines(self) -> list[str]:
        """The two precisions."""
        return [
            f"last-frame precision: {self.last_frame.percent()}",
            f"window precision: {self.window.percent()}",
        ]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each precision."""
        return [
            {"frames": name, "precision": found.value, "low": found.low, "high": found.high}
            for name, found in (("last", self.last_frame), ("window", self.window))
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is ``None``."""
        return {
            "protocol": self.protocol,
            "rule": self.rule,
            "radius": self.radius,
            "unit": self.unit,
            "unmatched": self.unmatched,
            "windows": self.windows,
            "unanswered": self.unanswered,
            "without_match": self.without_match,
            "counted": self.counted,
            "last_frame_precision": self.last_frame.to_dict(),
            "window_precision": self.window.to_dict(),
        }

    def _draw(self, ax: Any) -> None:
        rows = self.rows()
        ax.bar([row["frames"] for row in rows], [100 * row["precision"] for row in rows])
        ax.set(ylabel="precision (%)", ylim=(0, 102))


class CorrespondencePrecision:
    """Share of frames that were matched to a reference frame within a radius.

    Args:
        radius: In the unit of the positions, inclusive.
        unit: ``m`` or ``frames``.
        unmatched: Rule for answered frames that have no true match: ``count-as-miss`` (they were
            given a place, and it is wrong) or ``drop``.
        protocol: ``casevpr`` drops them and cuts the radius to a whole number, as CaseVPR does.

    Raises:
        SettingError: The radius, unit, rule or protocol is impossible.

    Example:
        >>> metric = CorrespondencePrecision(radius=1, unit="frames")
        >>> reference = query = [0, 1, 2, 3, 4]
        >>> metric.update([[0, 0, 0]], [[0, 1, 2]], query, reference)
        >>> result = metric.compute()
        >>> round(result.window.value, 3), result.last_frame.value
        (0.667, 0.0)
    """

    def __init__(
        self,
        radius: float,
        *,
        unit: Unit = "m",
        unmatched: Unmatched = "count-as-miss",
        protocol: Protocol = "default",
    ) -> None:
        check_choice("unit", unit, ("m", "frames"))
        check_choice("unmatched", unmatched, UNMATCHED)
        check_choice("protocol", protocol, PROTOCOLS)
        check_positive(radius=radius)
        self.radius = float(radius)
        if protocol == "casevpr":
            self.radius, unmatched = float(int(radius)), "drop"
            if radius < 1:
                raise SettingError(f"CaseVPR cuts the radius to a whole number; {radius} becomes 0")
        self.unit: Unit = unit
        self.unmatched: Unmatched = unmatched
        self.protocol: Protocol = protocol
        self._windows: list[NDArray[np.float64]] = []

    def update(
        self, paths: ArrayLike, windows: ArrayLike, query: ArrayLike, reference: ArrayLike
    ) -> None:
        """Add windows in the order of their traverse.

        Args:
            paths: (W, T) matched reference rows, oldest frame first; -1 where there is no answer.
            windows: (W, T) rows of the query traverse that the windows are made of.
            query: (M, C) positions of the query traverse.
            reference: (N, C) positions of the reference.

        Raises:
            InputError: Shapes do not agree, or rows are not in the tables.
        """
        true, places = positions_of("query", query), positions_of("reference", reference)
        rows = rows_of("paths", paths, len(places))
        frames = rows_of("windows", windows, len(true))
        if rows.shape != frames.shape or not rows.shape[1] or (frames < 0).any():
            raise InputError(f"each of the {frames.shape} window frames needs a row: {rows.shape}")
        has_match = self._has_match(frames, true, places)
        if not len(places):
            rows, apart = np.full_like(rows, -1), np.zeros(rows.shape)
        else:
            apart = np.linalg.norm(places[rows] - true[frames], axis=2)
        answered = rows >= 0
        right = answered & (apart <= self.radius)
        counted = answered & (has_match | (self.unmatched != "drop"))
        last = [right[:, -1], counted[:, -1], answered[:, -1], has_match[:, -1]]
        self._windows.append(
            np.column_stack([right.sum(axis=1), counted.sum(axis=1), *last]).astype(np.float64)
        )

    def _has_match(
        self, frames: NDArray[np.int64], true: NDArray[np.float64], places: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """(W, T), whether a reference frame is within the radius of each window frame."""
        used, back = np.unique(frames, return_inverse=True)
        near = rows_within(true[used], places, self.radius)
        has_match = np.array([len(rows) > 0 for rows in near], dtype=bool)
        return has_match[back.reshape(frames.shape)]

    def compute(self) -> CorrespondencePrecisionResult:
        """The result over all windows so far."""
        table = np.concatenate([np.empty((0, 6)), *self._windows])
        right, counted, answered, has_match = (table[:, i] > 0 for i in range(2, 6))
        return CorrespondencePrecisionResult(
            radius=self.radius,
            unit=self.unit,
            unmatched=self.unmatched,
            rule=self.protocol,
            window=block_bootstrap(table[:, :2], _ratio),
            last_frame=block_bootstrap(right[counted].astype(np.float64)),
            windows=len(table),
            unanswered=int((~answered).sum()),
            without_match=int((answered & ~has_match).sum()),
            counted=int(counted.sum()),
        )


def _ratio(sums: NDArray[np.float64]) -> float:
    right, counted = sums.sum(axis=0)
    return float(right / counted) if counted else float("nan")
