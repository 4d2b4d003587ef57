"""Image-level correspondence precision: are the frames of a window matched to the right frames?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from placememory._checks import check_choice
from placememory._types import Floats
from placememory.errors import InputError
from placememory.metrics.bootstrap import Interval, block_bootstrap
from placememory.metrics.inputs import check_rows
from placememory.metrics.recall import UNMATCHED, Unmatched
from placememory.metrics.result import INTERVALS, MetricResult
from placememory.metrics.truth import GroundTruth


@dataclass(frozen=True, slots=True)
class CorrespondencePrecisionResult(MetricResult):
    """Shares of frames that were matched to a reference frame within the radius.

    Attributes:
        rule: What makes a match correct.
        unmatched: Rule for frames without a true match.
        window: Over all frames of all windows.
        last_frame: Over the last frame of each window: what a robot asks.
        windows: Windows in all.
        unanswered: Windows whose last frame was given no match; they are in no denominator.
        without_match: Answered windows whose last frame has no true match.
        counted: Windows in the denominator of ``last_frame``.
    """

    rule: str
    unmatched: Unmatched
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
        return (
            f"correct = {self.rule}; {self.windows} windows, {self.unanswered} without an answer "
            f"are left out; {self.without_match} answered ones whose last frame has no true match "
            f"{fate}; {self.counted} count; {INTERVALS}"
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
    """Share of frames that were matched to a correct reference frame.

    Args:
        unmatched: Rule for answered frames that have no true match: ``count-as-miss`` (they were
            given a place, and it is wrong) or ``drop``.

    Raises:
        SettingError: The rule is unknown.

    Example:
        >>> line = [0, 1, 2, 3, 4]
        >>> truth = GroundTruth.from_positions(line, line, radius=1, unit="frames")
        >>> metric = CorrespondencePrecision()
        >>> metric.update([[0, 0, 0]], [[0, 1, 2]], truth)
        >>> result = metric.compute()
        >>> round(result.window.value, 3), result.last_frame.value
        (0.667, 0.0)
    """

    def __init__(self, *, unmatched: Unmatched = "count-as-miss") -> None:
        check_choice("unmatched", unmatched, UNMATCHED)
        self.unmatched: Unmatched = unmatched
        self.reset()

    def reset(self) -> None:
        """Forget all windows."""
        self._windows: list[Floats] = []
        self._rule = ""

    def update(self, paths: ArrayLike, windows: ArrayLike, truth: GroundTruth) -> None:
        """Add windows in the order of their traverse.

        Args:
            paths: (W, T) matched reference rows, oldest frame first; -1 where there is no answer.
            windows: (W, T) rows of the query traverse that the windows are made of.
            truth: Of the query traverse on the reference.

        Raises:
            InputError: Shapes do not agree, or rows are not in the tables.
        """
        rows = check_rows("paths", paths, truth.places)
        frames = check_rows("windows", windows, len(truth))
        if rows.shape != frames.shape or not rows.shape[1] or (frames < 0).any():
            raise InputError(f"each of the {frames.shape} window frames needs a row: {rows.shape}")
        has_match = truth.on_map()[frames]
        answered = rows >= 0
        right = truth.correct(rows, frames)
        counted = answered & (has_match | (self.unmatched != "drop"))
        last = [right[:, -1], counted[:, -1], answered[:, -1], has_match[:, -1]]
        self._windows.append(
            np.column_stack([right.sum(axis=1), counted.sum(axis=1), *last]).astype(np.float64)
        )
        self._rule = truth.rule

    def compute(self) -> CorrespondencePrecisionResult:
        """The result over all windows so far."""
        table = np.concatenate([np.empty((0, 6)), *self._windows])
        right, counted, answered, has_match = (table[:, i] > 0 for i in range(2, 6))
        return CorrespondencePrecisionResult(
            rule=self._rule,
            unmatched=self.unmatched,
            window=block_bootstrap(table[:, :2], _ratio),
            last_frame=block_bootstrap(right[counted].astype(np.float64)),
            windows=len(table),
            unanswered=int((~answered).sum()),
            without_match=int((answered & ~has_match).sum()),
            counted=int(counted.sum()),
        )


def _ratio(sums: Floats) -> float:
    right, counted = sums.sum(axis=0)
    return float(right / counted) if counted else float("nan")
