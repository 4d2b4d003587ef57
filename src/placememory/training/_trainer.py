"""The training loop: batches, gradients, steps; validation, checkpoints, an early end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch

from placememory._extras import require
from placememory.encoders import Encoder, create
from placememory.encoders._device import choose_device
from placememory.errors import SettingError
from placememory.training._checkpoint import (
    Checkpoint,
    Progress,
    find_checkpoint,
    optimizer_state,
    read_checkpoint_folder,
    restore_optimizer,
    save_checkpoint,
)
from placememory.training._config import Training
from placememory.training._data import Rows, training_set, validation_sets
from placememory.training._describe import describe
from placememory.training._features import FeatureInputs
from placememory.training._folder import BEST, LAST, RunFolder
from placememory.training._images import ImageInputs, Inputs
from placememory.training._initialise import initialise
from placememory.training._losses import create_cost
from placememory.training._network import Parts
from placememory.training._optimizer import create_optimizer, factor, set_rates
from placememory.training._sampler import Position, Sampler
from placememory.training._sampling import Batch, Descriptors
from placememory.training._step import Stepper
from placememory.training._validate import Validation, validate

Told = Callable[[str, int, int], None]
_MIXED = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
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
        self.told = told or (lambda _what, _done, _total: None)
        self.accelerator = _accelerator(training, device)
        torch.use_deterministic_algorithms(True, warn_only=True)
        self.encoder = _encoder(training)
        self.parts = Parts(self.encoder, training.encoder)
        self.data = training_set(training.data)
        self.validation = validation_sets(training.data)
        self.inputs, self.judged = self._inputs()
        self.parts.net.to(self.accelerator.device)
        self.cost = create_cost(training.loss, training.mining)
        self.sampler = Sampler(self.data, training, self._describe_training)
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
            SettingError: The data gives no batch.
        """
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
            folder.close()
        self.accelerator.wait_for_everyone()

    def _begun(self, folder: RunFolder) -> Progress:
        """As the newest checkpoint says; a new training is judged before its first step."""
        progress = self._restored(folder)
        if self.accelerator.is_main_process:
            folder.take_back(-1 if progress is None else progress.step)
            if self.training.running.tensorboard:
                folder.open_events(0 if progress is None else progress.step)
        if progress is not None:
            return progress
        if self.training.encoder.initialise:
            initialise(self.parts, self.inputs, self.data, self.training.seed)
        progress = self._judged(folder, Progress())
        self._save(folder, progress)
        return progress

    def _step(self, folder: RunFolder, batch: Batch, progress: Progress) -> None:
        """One step of the optimiser."""
        started, settings = time.perf_counter(), self.training.optimization
        share = factor(progress.step, self.total_steps, settings)
        set_rates(self.optimizer, share)
        result = self.stepper.run(batch, (self.training.seed, _STEP, progress.step))
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

    def _judged(self, folder: RunFolder, progress: Progress) -> Progress:
        """Validate, and keep the weights if they are the best so far."""
        found = self.judge()
        better = progress.best is None or found.score > progress.best
        if self.accelerator.is_main_process:
            folder.log(progress.step, {"epoch": progress.epoch, **found.to_dict()})
            if better:
                folder.weights(BEST, self.parts.state(), self._about(progress))
        if better:
            return replace(progress, best=found.score, best_epoch=progress.epoch, waited=0)
        return replace(progress, waited=progress.waited + 1)

    def judge(self) -> Validation:
        """Validate the network as it is."""
        described = []
        for part, inputs in zip(self.validation, self.judged, strict=True):
            count = len(part.queries)
            rows = self._describe(
                inputs, np.concatenate([part.queries, part.database]), "validating"
            )
            described.append((rows[:count], rows[count:]))
        return validate(self.validation, described, self.training.data)

    def _is_over(self, progress: Progress) -> bool:
        patience = self.training.optimization.patience
        return patience is not None and progress.waited >= patience

    def _is_due(self, step: int) -> bool:
        every = self.training.running.save_every
        return every is not None and step % every == 0 and step < self.sampler.steps

    def _restored(self, folder: RunFolder) -> Progress | None:
        found = find_checkpoint(folder.path)
        if found is None:
            return None
        checkpoint = read_checkpoint_folder(found)
        self.parts.load(checkpoint.model)
        restore_optimizer(self.optimizer, checkpoint.optimizer)
        scaler, scale = self.accelerator.scaler, checkpoint.progress.scale
        if scaler is not None and scale is not None:
            scaler.load_state_dict({**scaler.state_dict(), "scale": scale})
        return checkpoint.progress

    def _save(self, folder: RunFolder, progress: Progress) -> None:
        scaler = self.accelerator.scaler
        scale = None if scaler is None else float(scaler.get_scale())
        progress = replace(progress, scale=scale)
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

    def _inputs(self) -> tuple[Inputs, list[Inputs]]:
        """Of the training set and of each validation set."""
        training, preprocess = self.training, self.encoder.card.preprocess
        assert preprocess is not None
        device = choose_device(str(self.accelerator.device), "float32")
        workers = training.running.workers
        first, *others = [
            ImageInputs(part.frames, preprocess, device, training.augment, workers)
            for part in (self.data, *self.validation)
        ]
        if not training.running.cache_trunk:
            return first, [*others]
        trunk = self.parts.without_trunk().to(self.accelerator.device).eval()
        folder = training.output / "trunk_cache"
        cached = []
        for images in (first, *others):
            with self.accelerator.main_process_first():
                cached.append(
                    FeatureInputs(
                        trunk, images, folder, preprocess, self.accelerator.device,
                        lambda done, total: self.told("running the trunk", done, total),
                    )
                )  # fmt: skip
        return cached[0], [*cached[1:]]

    def _describe_training(self, windows: Rows) -> Descriptors:
        return self._describe(self.inputs, windows, "mining")

    def _describe(self, inputs: Inputs, windows: Rows, label: str) -> Descriptors:
        return describe(
            self.parts,
            inputs,
            windows,
            self.accelerator,
            workers=self.training.running.workers,
            progress=lambda done, total: self.told(label, done, total),
        )

    def _about(self, progress: Progress) -> dict[str, str]:
        """The header of a file of weights."""
        choice = self.training.encoder
        return {
            "encoder": choice.name,
            "options": json.dumps(dict(self.encoder.card.options), sort_keys=True),
            "training": self.training.name,
            "epoch": str(progress.epoch),
        }


def _accelerator(training: Training, device: str) -> Any:
    accelerate = require("accelerate", extra="train", purpose="Training")
    choose_device(device, "float32")
    mixed = _MIXED[training.optimization.precision]
    if mixed == "fp16" and device == "cpu":
        raise SettingError("float16 does not train on a processor; use bfloat16 or float32 there")
    return accelerate.Accelerator(cpu=device == "cpu", mixed_precision=mixed)


def _encoder(training: Training) -> Encoder:
    from placememory.encoders import info

    choice, length = training.encoder, training.data.length
    options = dict(choice.options)
    if info(choice.name).sequence:
        if options.setdefault("length", length) != length:
            raise SettingError(
                f"data.length is {length}, but encoder.options.length {options['length']}"
            )
    elif length != 1:
        raise SettingError(f"{choice.name} describes single frames: set data.length to 1")
    return create(choice.name, choice.weights, precision="float32", **cast(Any, options))
