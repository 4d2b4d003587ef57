"""What a training came to, read from its log."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from placememory.errors import InputError
from placememory.evaluation import PairedDifference, PairedDifferenceResult
from placememory.training._folder import BEST, read_log


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training came to.

    Attributes:
        folder: Of the run.
        weights: Of the best epoch, for ``weights=``.
        epochs: Epochs done.
        steps: Steps done.
        best_epoch: The best; 0 if none was better than the start.
        start: Recalls, intervals and protocol before the first step.
        best: Those of the best epoch.
        difference: Recall@1 of the best minus that of the start, on the same queries.
        test_start: Recalls, intervals and protocol on the test sets before the first step; ``None``
            if there are none.
        test: Those of the best; ``None`` also if training has not ended.
        test_difference: As ``difference``, on the test sets.
        seconds_per_step: Median; NaN where there was no step.
    """

    folder: Path
    weights: Path
    epochs: int
    steps: int
    best_epoch: int
    start: dict[str, Any]
    best: dict[str, Any]
    difference: PairedDifferenceResult
    test_start: dict[str, Any] | None
    test: dict[str, Any] | None
    test_difference: PairedDifferenceResult | None
    seconds_per_step: float

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.epochs} epochs, {self.steps} steps of {self.seconds_per_step:.3g} s",
                f"recall@1 at the start: {_percent(self.start)}",
                f"recall@1 of epoch {self.best_epoch}, the best: {_percent(self.best)}",
                f"on the same queries: {self.difference.lines()[2]}",
                *self._tested(),
                self.best["protocol"],
                f"weights: {self.weights}",
            ]
        )

    def _tested(self) -> list[str]:
        if self.test is None or self.test_start is None or self.test_difference is None:
            return []
        return [
            f"recall@1 of the test at the start: {_percent(self.test_start)}",
            f"recall@1 of the test, the best: {_percent(self.test)}",
            f"on the same queries: {self.test_difference.lines()[2]}",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "folder": str(self.folder),
            "weights": str(self.weights),
            "epochs": self.epochs,
            "steps": self.steps,
            "best_epoch": self.best_epoch,
            "start": _recalls(self.start),
            "best": _recalls(self.best),
            "difference": self.difference.to_dict(),
            "test_start": None if self.test_start is None else _recalls(self.test_start),
            "test": None if self.test is None else _recalls(self.test),
            "test_difference": None
            if self.test_difference is None
            else self.test_difference.to_dict(),
            "protocol": self.best["protocol"],
            "seconds_per_step": self.seconds_per_step,
        }


def read_trained(folder: Path) -> Trained:
    """The result of a run so far.

    Raises:
        InputError: The folder holds no run that was judged.
    """
    lines = read_log(folder)
    judged = [line for line in lines if "score" in line]
    if not judged:
        raise InputError(f"{folder}: this training was never judged; resume it")
    start, best = judged[0], max(judged, key=lambda line: (line["score"], -line["epoch"]))
    before, after = (_line(lines, name) for name in ("test at the start", "test"))
    seconds = [line["seconds"] for line in lines if "seconds" in line]
    return Trained(
        folder,
        folder / BEST,
        judged[-1]["epoch"],
        len(seconds),
        best["epoch"],
        start,
        best,
        _difference(best, start),
        before,
        after,
        None if before is None or after is None else _difference(after, before),
        statistics.median(seconds) if seconds else float("nan"),
    )


def _line(lines: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    return next((line[name] for line in lines if name in line), None)


def _recalls(line: dict[str, Any]) -> dict[str, Any]:
    names = ("recall@1", "recall@5", "recall@10", "score", "intervals")
    return {name: line[name] for name in names}


def _difference(after: dict[str, Any], before: dict[str, Any]) -> PairedDifferenceResult:
    metric = PairedDifference("trained", "start")
    metric.update(_hits(after), _hits(before))
    return metric.compute()


def _hits(line: dict[str, Any]) -> list[float]:
    return [float(hit) for hit in line["hits"]]


def _percent(line: dict[str, Any]) -> str:
    low, high = (100 * end for end in line["intervals"]["recall@1"])
    return f"{100 * line['recall@1']:.1f} % (95 % interval {low:.1f} to {high:.1f})"
