"""The training loop: everything made ready, steps, validation, checkpoints, and going on."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from placememory._registry import require
from placememory._types import Rows, TitledProgress
from placememory.encoders import BATCH, Encoder, EncoderCard, Workers, create, info
from placememory.encoders.device import choose_device
from placememory.encoders.lite0 import FoldedTrunk, Trunk
from placememory.errors import EncoderMismatchError, SettingError
from placememory.metrics.sequences import Strategy
from placememory.training.config import Training, read_training
from placememory.training.data import (
    TrainingSet,
    check_disjoint,
    read_evaluation_sets,
    read_training_set,
    read_validation_sets,
)
from placememory.training.inputs import FeatureInputs, ImageInputs, Inputs, TrunkEncoder
from placememory.training.network import Parts, initialise
from placememory.training.run import (
    BEST,
    LAST,
    Checkpoint,
    RunFolder,
    TrainingResult,
    TrainingState,
    find_checkpoint,
    optimizer_state,
    read_checkpoint_folder,
    read_config,
    read_result,
    restore_optimizer,
    save_checkpoint,
)
from placememory.training.sampling import Batch, Descriptors, Position, Sampler
from placememory.training.step import Stepper, create_cost, create_optimizer, factor, set_rates
from placememory.training.validation import Validation, describe, validate

if TYPE_CHECKING:
    from accelerate import Accelerator

_MIXED = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
_STEP = 5  # what is drawn: separates the streams of numbers
_SHOWN = 4
_SHARD = 4 * BATCH  # features of an image are up to a megabyte


def create_accelerator(training: Training, device: str) -> Accelerator:
    """Processes, device and precision; whatever an earlier training of this process had.

    Raises:
        SettingError: The device is not there, or cannot train in this precision.
        MissingExtraError: ``accelerate`` is not installed.
    """
    accelerate = require("accelerate", extra="train", purpose="Training")
    chosen = choose_device(device, "float32").torch
    mixed = _MIXED[training.optimization.precision]
    if mixed == "fp16" and chosen.type == "cpu":
        raise SettingError("float16 does not train on a processor; use bfloat16 or float32 there")
    alone = "WORLD_SIZE" not in os.environ
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=alone)
    if chosen.type == "cuda" and chosen.index is not None and alone:
        torch.cuda.set_device(chosen)
    return cast(
        "Accelerator", accelerate.Accelerator(cpu=chosen.type == "cpu", mixed_precision=mixed)
    )


def create_encoder(training: Training) -> Encoder:
    """The encoder as it starts.

    Raises:
        SettingError: Its windows or images are not those of the data.
        EncoderError: It has no such option, or its weights cannot be loaded.
    """
    choice, length = training.encoder, training.data.length
    options = dict(choice.options)
    if info(choice.name).sequence:
        if options.setdefault("length", length) != length:
            raise SettingError(
                f"data.length is {length}, but encoder.options.length {options['length']}"
            )
    elif length != 1:
        raise SettingError(f"{choice.name} describes single frames: set data.length to 1")
    encoder = create(choice.name, choice.weights, precision="float32", **cast(Any, options))
    preprocess, wanted = encoder.card.preprocess, training.data.image_size
    if wanted is not None and (preprocess is None or preprocess.size != wanted):
        raise SettingError(
            f"data.image_size is {list(wanted)}, but {choice.name} takes "
            f"{'images as they are' if preprocess is None else preprocess.size}"
        )
    return encoder


def create_inputs(
    training: Training,
    encoder: Encoder,
    parts: Parts,
    sets: Sequence[TrainingSet],
    accelerator: Accelerator,
    progress: TitledProgress,
) -> list[Inputs]:
    """The network's input for each set: images, or features of its frozen trunk."""
    preprocess = encoder.card.preprocess
    assert preprocess is not None
    device = choose_device(str(accelerator.device), "float32")
    workers = training.running.workers
    images = [
        ImageInputs(part.frames, preprocess, device, training.augment, workers) for part in sets
    ]
    if not training.running.cache_trunk:
        return [*images]
    trunk = _fast(parts.take_out_trunk()).to(accelerator.device).eval()
    folder, running, shared = training.output / "trunk_cache", training.running, None
    if running.processes > 1 or running.scheduler is not None:
        make = partial(make_trunk, training=training, device=str(accelerator.device))
        shared = Workers(running.processes, running.scheduler, make, size=_SHARD)

    def report(done: int, total: int) -> None:
        progress("running the trunk", done, total)

    cached: list[Inputs] = []
    for one in images:
        with accelerator.main_process_first():
            cached.append(
                FeatureInputs(trunk, one, folder, preprocess, accelerator.device, report, shared)
            )
    return cached


def make_trunk(card: EncoderCard, *, training: Training, device: str) -> TrunkEncoder:
    """The frozen trunk of a training, made again in a worker.

    Raises:
        EncoderMismatchError: It is another one here, of other weights.
    """
    encoder = create_encoder(training)
    trunk = _fast(Parts(encoder, training.encoder).trunk).to(device).eval()
    preprocess = encoder.card.preprocess
    assert preprocess is not None
    made = TrunkEncoder(trunk, preprocess, choose_device(device, "float32"), card.dim)
    if made.card.hash != card.hash:
        raise EncoderMismatchError(
            f"the trunk of {training.encoder.name} is another one in a worker "
            f"({', '.join(made.card.differences(card))}); do all machines have the same "
            "weights and versions?"
        )
    return made


def _fast(trunk: nn.Module) -> nn.Module:
    """The same function, twice as fast on a processor where there is a folded form of it."""
    folded = FoldedTrunk(trunk) if isinstance(trunk, Trunk) else trunk
    return folded.to(memory_format=torch.channels_last)


@contextmanager
def deterministic() -> Iterator[None]:
    """Operations whose result is the same every time, where there are such."""
    before = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)


class Trainer:
    """Everything a training needs, made ready.

    Args:
        training: Its configuration.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        progress: Called with what is being done, how much is done and in all.

    Raises:
        PlaceMemoryError: Data or weights cannot be read, or settings do not fit them.
        MissingExtraError: A package of the extra ``train`` is not installed.
    """

    def __init__(
        self, training: Training, *, device: str = "cpu", progress: TitledProgress | None = None
    ) -> None:
        self.training = training
        self.accelerator = create_accelerator(training, device)
        self._report: TitledProgress = lambda _title, _done, _total: None
        if progress is not None and self.accelerator.is_main_process:
            self._report = progress
        self.encoder = create_encoder(training)
        self.parts = Parts(self.encoder, training.encoder)
        self.data = read_training_set(training.data)
        self.validation = read_validation_sets(training.data)
        self.tests = read_evaluation_sets(training.data.test, training.data)
        check_disjoint(self.data, [*self.validation, *self.tests])
        sets = [self.data, *self.validation, *self.tests]
        self.inputs, *self._evaluation_inputs = create_inputs(
            training, self.encoder, self.parts, sets, self.accelerator, self._report
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
        progress = self._begin(folder)
        while progress.epoch < self.training.optimization.epochs and not self._is_over(progress):
            for batch in self.sampler.epoch(progress.epoch, progress.position):
                self._step(folder, batch, progress)
                progress = replace(progress, step=progress.step + 1, position=self.sampler.position)
                if self._is_due(progress.position.step):
                    self._save(folder, progress)
            progress = replace(progress, epoch=progress.epoch + 1, position=Position())
            progress = self._validate(folder, progress)
            self._save(folder, progress)
        if self.accelerator.is_main_process:
            folder.write_weights(LAST, self.parts.state(), self._about(progress))
        if self.tests:
            self.accelerator.wait_for_everyone()
            self.parts.load(load_file(folder.path / BEST))
            self._test(folder, progress, "test")
        folder.close()
        self.accelerator.wait_for_everyone()

    def _begin(self, folder: RunFolder) -> TrainingState:
        """From the newest checkpoint; a new training is validated before its first step."""
        progress = self._restore(folder)
        if self.accelerator.is_main_process:
            folder.rewind(-1 if progress is None else progress.step)
            if self.training.running.tensorboard:
                folder.open_events(0 if progress is None else progress.step + 1)
        if progress is not None:
            return progress
        if self.training.encoder.initialise:
            initialise(self.parts, self.inputs, self.data, self.training.seed)
        progress = self._validate(folder, TrainingState())
        self._test(folder, progress, "test at the start")
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
            parameters = [parameter for _, parameter in self.parts.trained_parameters()]
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
        self._report(f"epoch {progress.epoch + 1}", progress.position.step + 1, self.sampler.steps)

    def _validate(self, folder: RunFolder, progress: TrainingState) -> TrainingState:
        """Validate, and write the weights if they are the best so far."""
        data = self.training.data
        found = self.evaluate(
            self.validation,
            self._evaluation_inputs[: len(self.validation)],
            data.validation_radius,
            data.validation_strategy,
        )
        better = progress.best is None or found.score > progress.best
        if self.accelerator.is_main_process:
            folder.log(progress.step, {"epoch": progress.epoch, **found.to_dict()})
            if self.training.running.keep_epochs:
                name = f"epoch_{progress.epoch:03d}.safetensors"
                folder.write_weights(name, self.parts.state(), self._about(progress))
            if better:
                folder.write_weights(BEST, self.parts.state(), self._about(progress))
        if better:
            return replace(progress, best=found.score, best_epoch=progress.epoch, waited=0)
        return replace(progress, waited=progress.waited + 1)

    def evaluate(
        self,
        sets: Sequence[TrainingSet],
        inputs: Sequence[Inputs],
        radius: float,
        strategy: Strategy,
    ) -> Validation:
        """Recall of the network as it is, on some sets."""
        described = []
        for part, own in zip(sets, inputs, strict=True):
            count = len(part.queries)
            windows = np.concatenate([part.queries, part.database])
            rows = self._describe(own, windows, "validating")
            described.append((rows[:count], rows[count:]))
        return validate(sets, described, radius, strategy)

    def _test(self, folder: RunFolder, progress: TrainingState, name: str) -> None:
        """Evaluate on the test sets, at the start and at the end; nothing is chosen by it."""
        if not self.tests:
            return
        data = self.training.data
        found = self.evaluate(
            self.tests,
            self._evaluation_inputs[len(self.validation) :],
            data.validation_radius if data.test_radius is None else data.test_radius,
            data.test_strategy or data.validation_strategy,
        )
        if self.accelerator.is_main_process:
            folder.log(progress.step, {name: found.to_dict()})

    def _is_over(self, progress: TrainingState) -> bool:
        patience = self.training.optimization.patience
        return patience is not None and progress.waited >= patience

    def _is_due(self, step: int) -> bool:
        every = self.training.running.save_every
        return every is not None and step % every == 0 and step < self.sampler.steps

    def _restore(self, folder: RunFolder) -> TrainingState | None:
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
            folder.show("windows", (x - low) / (high - low), 0)

    def describe_training(self, windows: Rows) -> Descriptors:
        """Windows (n, L) of the training set to descriptors (n, D), to mine with."""
        return self._describe(self.inputs, windows, "mining")

    def describe_validation(self, windows: Rows) -> Descriptors:
        """Windows (n, L) of the first validation set to descriptors (n, D)."""
        return self._describe(self._evaluation_inputs[0], windows, "validating")

    def _describe(self, inputs: Inputs, windows: Rows, label: str) -> Descriptors:
        return describe(
            self.parts,
            inputs,
            windows,
            self.accelerator,
            progress=lambda done, total: self._report(label, done, total),
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


def train(
    training: Training | Path | str,
    *,
    device: str = "cpu",
    progress: TitledProgress | None = None,
) -> TrainingResult:
    """Train from the beginning, in a new folder.

    Args:
        training: What to do, from :func:`read_training`, or its YAML file.
        device: Where.
        progress: Called with what is being done, how much is done and in all.

    Returns:
        Recall before and after, with intervals, and the best weights.

    Raises:
        PlaceMemoryError: Data or weights cannot be read, or settings do not fit them.
        MissingExtraError: A package of the extra ``train`` is not installed.
    """
    if not isinstance(training, Training):
        training = read_training(Path(training))
    trainer = Trainer(training, device=device, progress=progress)
    return _run(trainer, _shared_folder(trainer))


def resume(
    folder: Path, *, device: str = "cpu", progress: TitledProgress | None = None
) -> TrainingResult:
    """Go on with a run, exactly as if it had not stopped.

    Args:
        folder: Of the run.
        device: Where; another one than before gives other rounding.
        progress: As for :func:`train`.

    Raises:
        InputError: The folder holds no run, or its checkpoint is damaged.
        PlaceMemoryError: As for :func:`train`.
    """
    trainer = Trainer(read_config(folder), device=device, progress=progress)
    return _run(trainer, RunFolder(folder))


def _run(trainer: Trainer, folder: RunFolder) -> TrainingResult:
    try:
        trainer.run(folder)
    except BaseException as error:  # Ctrl-C, too
        error.add_note(f"to go on: placememory train --resume {folder.path}")
        raise
    result = read_result(folder.path)
    if trainer.accelerator.is_main_process:
        folder.write_result(result.to_dict())
        folder.draw(trainer.training.name)
    return result


def _shared_folder(trainer: Trainer) -> RunFolder:
    """A new folder, made by the first process, known to all."""
    from accelerate.utils import broadcast_object_list

    names = [""]
    if trainer.accelerator.is_main_process:
        names = [str(RunFolder.new(trainer.training).path)]
    broadcast_object_list(names)
    return RunFolder(Path(names[0]))
