"""Try a training with one batch of each kind: does it run, with what time and memory?"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from placememory._types import TitledProgress
from placememory.errors import SettingError
from placememory.training.config import Training
from placememory.training.sampling import Batch, Sampler
from placememory.training.trainer import Trainer

_SHOWN = 4
_NEGATIVES, _JUDGED = 64, 16


@dataclass(frozen=True, slots=True)
class DryRun:
    """The result of a dry run.

    Attributes:
        frames: Of the training set.
        queries: Windows that ask.
        database: Windows that are searched.
        validation: Windows of query and database of each validation set.
        trained: Parameters that are trained.
        frozen: Parameters that are not.
        trained_names: Names of the trained ones.
        steps: Optimiser steps in all.
        step_seconds: Of one step.
        mining_seconds: To mine all triplets once, estimated; 0 where none are mined.
        validation_seconds: To validate once, estimated.
        hours: Of all steps, minings and validations, estimated.
        loss: Of one batch.
        active: Share of it that costs something.
        peak_megabytes: Of this process.
    """

    frames: int
    queries: int
    database: int
    validation: tuple[tuple[int, int], ...]
    trained: int
    frozen: int
    trained_names: tuple[str, ...]
    steps: int
    step_seconds: float
    mining_seconds: float
    validation_seconds: float
    hours: float
    loss: float
    active: float
    peak_megabytes: float

    def rows(self) -> list[tuple[str, str]]:
        """What and how much, for people."""
        judged = ", ".join(f"{q:,} in {d:,}" for q, d in self.validation)
        return [
            ("training frames", f"{self.frames:,}"),
            ("windows that ask, windows searched", f"{self.queries:,} in {self.database:,}"),
            ("windows to validate on", judged),
            ("parameters trained", f"{self.trained:,}"),
            ("parameters frozen", f"{self.frozen:,}"),
            ("trained are", _shorten(self.trained_names)),
            ("loss of one batch", f"{self.loss:.4g}, {100 * self.active:.0f} % of it active"),
            ("one step", f"{self.step_seconds:.2f} s"),
            ("mining once", f"about {self.mining_seconds:.1f} s"),
            ("validating once", f"about {self.validation_seconds:.1f} s"),
            ("all", f"{self.steps:,} steps, about {self.hours:.2g} hours"),
            ("peak memory", f"{self.peak_megabytes:,.0f} MB"),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def _shorten(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}, … ({len(names)} tensors)"


def dry_run(
    training: Training, *, device: str = "cpu", progress: TitledProgress | None = None
) -> DryRun:
    """Build everything, take one batch forward and back; nothing is trained or written.

    Triplets are mined among a few windows only; what it would cost among all is estimated.

    Args:
        training: What would be done.
        device: Where.
        progress: As for :func:`train`.

    Raises:
        PlaceMemoryError: As for :func:`train`; that is what it is for.
    """
    trainer = Trainer(training, device=device, progress=progress)
    validating = _validation_seconds(trainer)
    batch, mining = _batch(trainer)
    started = time.perf_counter()
    result = trainer.stepper.run(batch, (training.seed, 0, 0))
    step = time.perf_counter() - started
    trained, frozen = trainer.parts.counts()
    seconds = (
        trainer.total_steps * step
        + (training.optimization.epochs + 1) * validating
        + _refreshes(trainer) * mining
    )
    return DryRun(
        frames=len(trainer.data.frames),
        queries=len(trainer.data.queries),
        database=len(trainer.data.database),
        validation=tuple((len(part.queries), len(part.database)) for part in trainer.validation),
        trained=trained,
        frozen=frozen,
        trained_names=trainer.parts.trained,
        steps=trainer.total_steps,
        step_seconds=step,
        mining_seconds=mining,
        validation_seconds=validating,
        hours=seconds / 3600,
        loss=result.loss,
        active=result.active,
        peak_megabytes=_peak_megabytes(),
    )


def _batch(trainer: Trainer) -> tuple[Batch, float]:
    """A batch, and the seconds that one whole mining would take."""
    training = trainer.training
    mining, size = training.mining, training.optimization.batch
    if mining.kind == "places":
        return next(trainer.sampler.epoch(0)), 0.0
    least = max(_NEGATIVES, 8 * mining.per_query)
    few = {
        "queries": min(mining.queries, 2 * size),
        "negatives": min(mining.negatives, least),
    }
    small = training.model_copy(update={"mining": mining.model_copy(update=few)})
    started = time.perf_counter()
    try:
        batch = next(Sampler(trainer.data, small, trainer.describe_training).epoch(0))
    except SettingError:  # among so few; the message for all of them is the true one
        started, few = time.perf_counter(), {}
        batch = next(trainer.sampler.epoch(0))
    seconds = time.perf_counter() - started
    share = sum(few.values()) / (mining.queries + mining.negatives) if few else 1.0
    return batch, seconds / share


def _validation_seconds(trainer: Trainer) -> float:
    """Estimated from the first windows."""
    windows = trainer.validation[0].queries[:_JUDGED]
    started = time.perf_counter()
    trainer.describe_validation(windows)
    a_window = (time.perf_counter() - started) / len(windows)
    return a_window * sum(len(part.queries) + len(part.database) for part in trainer.validation)


def _refreshes(trainer: Trainer) -> int:
    """How often triplets are mined."""
    training = trainer.training
    if training.mining.kind == "places":
        return 0
    per_epoch = trainer.sampler.steps * training.optimization.batch / training.mining.refresh
    return training.optimization.epochs * math.ceil(per_epoch)


def _peak_megabytes() -> float:
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / (1e6 if sys.platform == "darwin" else 1e3)
