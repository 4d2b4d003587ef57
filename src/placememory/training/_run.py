"""Train, resume, or only look whether it would run."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from placememory.training._config import Training
from placememory.training._folder import RunFolder, read_config
from placememory.training._result import Trained, read_trained
from placememory.training._trainer import Trainer

Told = Callable[[str, int, int], None]
_SHOWN = 4


def train(training: Training, *, device: str = "cpu", told: Told | None = None) -> Trained:
    """Train from the beginning, in a new folder.

    Args:
        training: What to do, from :func:`read_training`.
        device: Where.
        told: Called with what is being done, how much is done and in all.

    Returns:
        Recall before and after, with intervals, and the best weights.

    Raises:
        PlaceMemoryError: Data or weights cannot be read, or settings do not fit them.
        MissingExtraError: A package of the extra ``train`` is not installed.
    """
    trainer = Trainer(training, device=device, told=told)
    return _run(trainer, _shared_folder(trainer))


def resume(folder: Path, *, device: str = "cpu", told: Told | None = None) -> Trained:
    """Go on with a run, exactly as if it had not stopped.

    Args:
        folder: Of the run.
        device: Where; another one than before gives other rounding.
        told: As for :func:`train`.

    Raises:
        InputError: The folder holds no run, or its checkpoint is damaged.
        PlaceMemoryError: As for :func:`train`.
    """
    trainer = Trainer(read_config(folder), device=device, told=told)
    return _run(trainer, RunFolder(folder))


def _run(trainer: Trainer, folder: RunFolder) -> Trained:
    trainer.run(folder)
    result = read_trained(folder.path)
    if trainer.accelerator.is_main_process:
        folder.result(result.to_dict())
    return result


def _shared_folder(trainer: Trainer) -> RunFolder:
    """A new folder, made by the first process, known to all."""
    from accelerate.utils import broadcast_object_list

    names = [""]
    if trainer.accelerator.is_main_process:
        names = [str(RunFolder.new(trainer.training).path)]
    broadcast_object_list(names)
    return RunFolder(Path(names[0]))


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a training would do.

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
        mining_seconds: To choose a batch, once.
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
    loss: float
    active: float
    peak_megabytes: float

    @property
    def hours(self) -> float:
        """Of all steps; mining and validation come on top."""
        return self.steps * self.step_seconds / 3600

    def rows(self) -> list[tuple[str, str]]:
        """What and how much, for people."""
        judged = ", ".join(f"{q:,} in {d:,}" for q, d in self.validation)
        return [
            ("training frames", f"{self.frames:,}"),
            ("windows that ask, windows searched", f"{self.queries:,} in {self.database:,}"),
            ("windows to validate on", judged),
            ("parameters trained", f"{self.trained:,}"),
            ("parameters frozen", f"{self.frozen:,}"),
            ("trained are", _shortened(self.trained_names)),
            ("loss of one batch", f"{self.loss:.4g}, {100 * self.active:.0f} % of it active"),
            ("choosing the batch", f"{self.mining_seconds:.2f} s"),
            ("one step", f"{self.step_seconds:.2f} s"),
            ("all steps", f"{self.steps:,}, about {self.hours:.2g} hours without validation"),
            ("peak memory", f"{self.peak_megabytes:,.0f} MB"),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "hours": self.hours}


def _shortened(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}, … ({len(names)} tensors)"


def dry_run(training: Training, *, device: str = "cpu", told: Told | None = None) -> DryRun:
    """Build everything and take one batch forward and back; nothing is trained or written.

    Args:
        training: What would be done.
        device: Where.
        told: As for :func:`train`.

    Raises:
        PlaceMemoryError: As for :func:`train`; that is what it is for.
    """
    trainer = Trainer(training, device=device, told=told)
    started = time.perf_counter()
    batch = next(trainer.sampler.epoch(0))
    mined = time.perf_counter()
    result = trainer.stepper.run(batch, (training.seed, 0, 0))
    stepped = time.perf_counter()
    trained, frozen = trainer.parts.counts()
    return DryRun(
        len(trainer.data.frames),
        len(trainer.data.queries),
        len(trainer.data.database),
        tuple((len(part.queries), len(part.database)) for part in trainer.validation),
        trained,
        frozen,
        trainer.parts.trained,
        trainer.total_steps,
        stepped - mined,
        mined - started,
        result.loss,
        result.active,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    )
