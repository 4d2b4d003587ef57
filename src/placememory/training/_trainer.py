"""The training loop: batches, gradients, steps; validation, checkpoints, an early end."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from safetensors.torch import load_file

from placememory._types import Rows
from placememory.errors import SettingError
from placememory.training._checkpoint import (
    Checkpoint,
    TrainingState,
    find_checkpoint,
    optimizer_state,
    read_checkpoint_folder,
    restore_optimizer,
    save_checkpoint,
)
from placememory.training._config import Training
from placememory.training._data import TrainingSet
from placememory.training._describe import describe
from placememory.training._folder import BEST, LAST, RunFolder
from placememory.training._images import ImageInputs, Inputs
from placememory.training._initialise import initialise
from placememory.training._losses import create_cost
from placememory.training._network import Parts
from placememory.training._optimizer import create_optimizer, factor, set_rates
from placememory.training._sampler import Position, Sampler
from placememory.training._sampling import Batch, Descriptors
from placememory.training._setup import (
    Told,
    create_accelerator,
    create_encoder,
    create_inputs,
    deterministic,
)
from placememory.training._sources import check_apart, judged_sets, training_set, validation_sets
from placememory.training._step import Stepper
from placememory.training._validate import Validation, validate

_STEP = 5  # what is drawn: keeps the streams of numbers apart
_SHOWN = 4


class Trainer:
    """Everything a training needs, made ready.

    Args:
        training: Its configuration.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        told: Called with what is being done, how much is done and in all.

    Raises:
        PlaceMemoryError: Data or weights cannot be read, or settings do not fit them.
        MissingExtraError: A package of the extra ``train`` is not installed.
    """

    def __init__(
        self, training: Training, *, device: str = "cpu", told: Told | None = None
    ) -> None:
        self.training = training
        self.accelerator = create_accelerator(training, device)
        told = told if self.accelerator.is_main_process else None
        self.told = told or (lambda _what, _done, _total: None)
        self.encoder = create_encoder(training)
        self.parts = Parts(self.encoder, training.encoder)
        self.data = training_set(training.data)
        self.validation = validation_sets(training.data)
        self.tests = judged_sets(training.data.test, training.data)
        check_apart(self.data, [*self.validation, *self.tests])
        sets = [self.data, *self.validation, *self.tests]
        self.inputs, *self._judged_inputs = create_inputs(
            training, self.encoder, self.parts, sets, self.accelerator, self.told
        )
        self.parts.net.to(self.accelerator.device)
        self.cost = create_cost(training.loss, training.mining)
        self.sampler = Sampler(self.data, training, self.describe_training)
        self.optimizer = self.accelerator.prepare(
            create_optimizer(self.parts, training.optimization)
        )
        group = 2 + training.mining.per_query if training.mining.kind == "cached" else 1
        micro = training.optimization.micro_batch
        self.stepper = Stepper(self.parts, self.inputs, self.cost, group, micro, self.accelerator)

    @property
    def total_steps(self) -> int:
        """Steps of the whole training, if it does not end early."""
        return self.training.optimization.epochs * self.sampler.steps

    def run(self, folder: RunFolder) -> None:
        """Train from the beginning, or from the newest checkpoint of the folder.

        Args:
            folder: Of the run; gets log, checkpoints and weights.

        Raises:
            ImageError: An image cannot be read.
            SettingError: The data gives no batch, or the loss is no number any more.
        """
        with deterministic():
            self._run(folder)

    def _run(self, folder: RunFolder) -> None:
        progress = self._begun(folder)
        while progress.epoch < self.training.optimization.epochs and not self._is_over(progress):
            for batch in self.sampler.epoch(progress.epoch, progress.position):
                self._step(folder, batch, progress)
                progress = replace(progress, step=progress.step + 1, position=self.sampler.position)
                if self._is_due(progress.position.step):
                    self._save(folder, progress)
            progress = replace(progress, epoch=progress.epoch + 1, position=Position())
            progress = self._judged(folder, progress)
            self._save(folder, progress)
        if self.accelerator.is_main_process:
            folder.weights(LAST, self.parts.state(), self._about(progress))
        if self.tests:
            self.accelerator.wait_for_everyone()
            self.parts.load(load_file(folder.path / BEST))
            self._tested(folder, progress, "test")
        folder.close()
        self.accelerator.wait_for_everyone()

    def _begun(self, folder: RunFolder) -> TrainingState:
        """As the newest checkpoint says; a new training is judged before its first step."""
        progress = self._restored(folder)
        if self.accelerator.is_main_process:
            folder.take_back(-1 if progress is None else progress.step)
            if self.training.running.tensorboard:
                folder.open_events(0 if progress is None else progress.step + 1)
        if progress is not None:
            return progress
        if self.training.encoder.initialise:
            initialise(self.parts, self.inputs, self.data, self.training.seed)
        progress = self._judged(folder, TrainingState())
        self._tested(folder, progress, "test at the start")
        self._save(folder, progress)
        return progress

    def _step(self, folder: RunFolder, batch: Batch, progress: TrainingState) -> None:
        """One step of the optimiser."""
        started, settings = time.perf_counter(), self.training.optimization
        share = factor(progress.step, self.total_steps, settings)
        set_rates(self.optimizer, share)
        result = self.stepper.run(batch, (self.training.seed, _STEP, progress.step))
        if not math.isfinite(result.loss):
            raise SettingError(
                f"the loss is {result.loss} at step {progress.step + 1}; make optimization.lr "
                "smaller, or set optimization.clip"
            )
        if settings.clip is not None:
            parameters = [parameter for _, parameter in self.parts.named_trained()]
            self.accelerator.clip_grad_norm_(parameters, settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        took = time.perf_counter() - started
        if self.accelerator.is_main_process:
            rate = max(group["lr"] for group in self.optimizer.param_groups)
            values = {"loss": result.loss, "active": result.active, "lr": rate, "seconds": took}
            folder.log(progress.step + 1, values)
            if progress.step == 0:
                self._show(folder, batch)
        self.told(f"epoch {progress.epoch + 1}", progress.position.step + 1, self.sampler.steps)

    def _judged(self, folder: RunFolder, progress: TrainingState) -> TrainingState:
        """Validate, and keep the weights if they are the best so far."""
        found = self.judge(self.validation, self._judged_inputs[: len(self.validation)])
        better = progress.best is None or found.score > progress.best
        if self.accelerator.is_main_process:
            folder.log(progress.step, {"epoch": progress.epoch, **found.to_dict()})
            if self.training.running.keep_epochs:
                name = f"epoch_{progress.epoch:03d}.safetensors"
                folder.weights(name, self.parts.state(), self._about(progress))
            if better:
                folder.weights(BEST, self.parts.state(), self._about(progress))
        if better:
            return replace(progress, best=found.score, best_epoch=progress.epoch, waited=0)
        return replace(progress, waited=progress.waited + 1)

    def judge(self, sets: Sequence[TrainingSet], inputs: Sequence[Inputs]) -> Validation:
        """Judge the network as it is."""
        described = []
        for part, own in zip(sets, inputs, strict=True):
            count = len(part.queries)
            windows = np.concatenate([part.queries, part.database])
            rows = self._describe(own, windows, "validating")
            described.append((rows[:count], rows[count:]))
        return validate(sets, described, self.training.data)

    def _tested(self, folder: RunFolder, progress: TrainingState, name: str) -> None:
        """Judge on the test sets: at the start and at the end; nothing is chosen by it."""
        if not self.tests:
            return
        found = self.judge(self.tests, self._judged_inputs[len(self.validation) :])
        if self.accelerator.is_main_process:
            folder.log(progress.step, {name: found.to_dict()})

    def _is_over(self, progress: TrainingState) -> bool:
        patience = self.training.optimization.patience
        return patience is not None and progress.waited >= patience

    def _is_due(self, step: int) -> bool:
        every = self.training.running.save_every
        return every is not None and step % every == 0 and step < self.sampler.steps

    def _restored(self, folder: RunFolder) -> TrainingState | None:
        found = find_checkpoint(folder.path)
        if found is None:
            return None
        checkpoint = read_checkpoint_folder(found)
        self.parts.load(checkpoint.model)
        restore_optimizer(self.optimizer, checkpoint.optimizer)
        if self.accelerator.scaler is not None and checkpoint.progress.scaler is not None:
            self.accelerator.scaler.load_state_dict(checkpoint.progress.scaler)
        return checkpoint.progress

    def _save(self, folder: RunFolder, progress: TrainingState) -> None:
        scaler = self.accelerator.scaler
        progress = replace(progress, scaler=None if scaler is None else scaler.state_dict())
        if self.accelerator.is_main_process:
            state = optimizer_state(self.optimizer)
            save_checkpoint(folder.path, Checkpoint(progress, self.parts.state(), state))
        self.accelerator.wait_for_everyone()

    def _show(self, folder: RunFolder, batch: Batch) -> None:
        """The first windows of the first batch as the network sees them."""
        if isinstance(self.inputs, ImageInputs):
            seed = (self.training.seed, _STEP, 0)
            x = self.inputs(batch.windows[:_SHOWN], seed).flatten(0, 1).float().cpu()
            low, high = x.amin(), x.amax()
            folder.images("windows", (x - low) / (high - low), 0)

    def describe_training(self, windows: Rows) -> Descriptors:
        """Windows (n, L) of the training set to descriptors (n, D), to mine with."""
        return self._describe(self.inputs, windows, "mining")

    def describe_judged(self, windows: Rows) -> Descriptors:
        """Windows (n, L) of the first validation set to descriptors (n, D)."""
        return self._describe(self._judged_inputs[0], windows, "validating")

    def _describe(self, inputs: Inputs, windows: Rows, label: str) -> Descriptors:
        return describe(
            self.parts,
            inputs,
            windows,
            self.accelerator,
            progress=lambda done, total: self.told(label, done, total),
        )

    def _about(self, progress: TrainingState) -> dict[str, str]:
        """The header of a file of weights."""
        choice = self.training.encoder
        return {
            "encoder": choice.name,
            "options": json.dumps(dict(self.encoder.card.options), sort_keys=True),
            "training": self.training.name,
            "epoch": str(progress.epoch),
        }
