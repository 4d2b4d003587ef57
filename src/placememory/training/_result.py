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
        test: Recalls, intervals and protocol of the best on the test sets; ``None`` if there are
            none, or training has not ended.
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
    test: dict[str, Any] | None
    seconds_per_step: float

    def __str__(self) -> str:
        tested = [] if self.test is None else [f"recall@1 of the test: {_percent(self.test)}"]
        return "\n".join(
            [
                f"{self.epochs} epochs, {self.steps} steps of {self.seconds_per_step:.3g} s",
                f"recall@1 at the start: {_percent(self.start)}",
                f"recall@1 of epoch {self.best_epoch}, the best: {_percent(self.best)}",
                f"on the same queries: {self.difference.lines()[2]}",
                *tested,
                self.best["protocol"],
                f"weights: {self.weights}",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        kept = ("recall@1", "recall@5", "recall@10", "score", "intervals")
        return {
            "folder": str(self.folder),
            "weights": str(self.weights),
            "epochs": self.epochs,
            "steps": self.steps,
            "best_epoch": self.best_epoch,
            "start": {name: self.start[name] for name in kept},
            "best": {name: self.best[name] for name in kept},
            "test": None if self.test is None else {name: self.test[name] for name in kept},
            "difference": self.difference.to_dict(),
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
    metric = PairedDifference("trained", "start")
    metric.update(_hits(best), _hits(start))
    seconds = [line["seconds"] for line in lines if "seconds" in line]
    return Trained(
        folder,
        folder / BEST,
        judged[-1]["epoch"],
        len(seconds),
        best["epoch"],
        start,
        best,
        metric.compute(),
        next((line["test"] for line in lines if "test" in line), None),
        statistics.median(seconds) if seconds else float("nan"),
    )


def _hits(line: dict[str, Any]) -> list[float]:
    return [float(hit) for hit in line["hits"]]


def _percent(line: dict[str, Any]) -> str:
    low, high = (100 * end for end in line["intervals"]["recall@1"])
    return f"{100 * line['recall@1']:.1f} % (95 % interval {low:.1f} to {high:.1f})"
