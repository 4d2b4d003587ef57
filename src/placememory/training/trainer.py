"""Descriptors of many windows by the network as it is now."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from placememory._types import Progress, Rows
from placememory.encoders.layers import SequenceNet
from placememory.errors import SettingError
from placememory.memory.search import nearest
from placememory.metrics import Recall, RecallResult, SequenceWindows, sequence_truth
from placememory.training.config import Data, Training
from placememory.training.data import (
    TrainingSet,
    check_apart,
    judged_sets,
    training_set,
    validation_sets,
)
from placememory.training.features import (
    Told,
    create_accelerator,
    create_encoder,
    create_inputs,
    deterministic,
)
from placememory.training.images import ImageInputs, Inputs, read_ahead
from placememory.training.losses import create_cost
from placememory.training.network import Parts, initialise
from placememory.training.run import (
    BEST,
    LAST,
    Checkpoint,
    RunFolder,
    Trained,
    TrainingState,
    find_checkpoint,
    optimizer_state,
    read_checkpoint_folder,
    read_config,
    read_trained,
    restore_optimizer,
    save_checkpoint,
)
from placememory.training.sampling import Batch, Descriptors, Position, Sampler
from placememory.training.step import Stepper, create_optimizer, factor, set_rates

if TYPE_CHECKING:
    from accelerate import Accelerator

_BLOCK = 32
_FRAMES = 8


def describe(
    parts: Parts,
    inputs: Inputs,
    windows: Rows,
    accelerator: Accelerator,
    *,
    progress: Progress | None = None,
) -> Descriptors:
    """Windows (n, L) of rows to (n, D) float32, in evaluation mode.

    Windows that overlap are described together, so that a frame passes the trunk about once. The
    processes share the work.

    Args:
        parts: The network.
        inputs: Gives the frames, which are not changed.
        windows: Rows of frames.
        accelerator: Processes and precision.
        progress: Called with windows done, about, and in all.
    """
    parts.eval()
    order = np.lexsort(windows.T[::-1])
    blocks = [order[i : i + _BLOCK] for i in range(0, len(order), _BLOCK)]
    own = blocks[accelerator.process_index :: accelerator.num_processes]
    shown = own or blocks[:1]  # a process without work needs the shape of the others'
    jobs = ((block, np.unique(windows[block])[:, None]) for block in shown)
    found: Tensor | None = None
    done = 0
    with torch.no_grad():
        for block, x in read_ahead(jobs, inputs):
            with accelerator.autocast():
                rows = _rows(parts, x[:, 0], windows[block]).float()
            if found is None:
                found = rows.new_zeros((len(windows), rows.shape[1]))
            if own:
                found[torch.from_numpy(block).to(found.device)] = rows
            done += len(block) * accelerator.num_processes
            if progress is not None:
                progress(min(done, len(windows)), len(windows))
    assert found is not None
    summed: Tensor = accelerator.reduce(found, "sum")
    return np.asarray(summed.cpu().numpy(), np.float32)


def _rows(parts: Parts, frames: Tensor, windows: Rows) -> Tensor:
    """Unique frames of a block and its windows to descriptors (n, D)."""
    network = parts.network
    sequence = isinstance(network, SequenceNet)
    once = network.per_frame if isinstance(network, SequenceNet) else network
    states = torch.cat([once(part) for part in torch.split(frames, _FRAMES)])
    _, places = np.unique(windows, return_inverse=True)
    chosen = states[torch.from_numpy(places.reshape(windows.shape)).to(states.device)]
    if not sequence:
        return chosen[:, 0]
    assert isinstance(network, SequenceNet)
    found: Tensor = network.window(chosen)[1]
    return found


KS = (1, 5, 10)


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """Recall on the validation sets.

    Attributes:
        recall: Of windows, or of frames where a window is one; with protocol and intervals.
        hits: (Q,) float64, 1 where the first window that was found is right, for each query that
            has a right one.
    """

    recall: RecallResult
    hits: NDArray[np.float64]

    @property
    def score(self) -> float:
        """Mean of recall@1 and recall@5, 0 to 1: what the best epoch is chosen by."""
        recalls = self.recall.recalls
        return 0.5 * (recalls[1].value + recalls[5].value)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the log."""
        recalls = self.recall.recalls
        return {
            **{f"recall@{k}": recall.value for k, recall in recalls.items()},
            "score": self.score,
            "intervals": {f"recall@{k}": [r.low, r.high] for k, r in recalls.items()},
            "protocol": self.recall.protocol,
            "hits": "".join(str(int(hit)) for hit in self.hits),
        }


def validate(
    sets: Sequence[TrainingSet], described: Sequence[tuple[Descriptors, Descriptors]], data: Data
) -> Validation:
    """Search the windows of each set's queries among its database.

    Args:
        sets: To judge on.
        described: Descriptors of the queries (Q, D) and of the database (W, D) of each.
        data: Radius and strategy.

    Raises:
        SettingError: No query has a right window, so that nothing could be chosen by it.
    """
    metric = Recall(KS)
    hits: list[float] = []
    for part, (asked, known) in zip(sets, described, strict=True):
        queries = SequenceWindows(part.queries, part.queries)
        database = SequenceWindows(part.database, part.database)
        ranked, _ = nearest(known, asked, KS[-1])
        truth = sequence_truth(
            queries,
            database,
            part.positions,
            part.positions,
            radius=data.validation_radius,
            strategy=data.validation_strategy,
        )
        metric.update(ranked, truth)
        hits += truth.correct(ranked[:, 0])[truth.on_map()].astype(np.float64).tolist()
    if not hits:
        raise SettingError(
            f"no query to validate on has a window within {data.validation_radius:g} of it; check "
            "the positions, data.validation_radius and what is searched"
        )
    return Validation(metric.compute(), np.array(hits))


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
    try:
        trainer.run(folder)
    except BaseException as error:  # Ctrl-C, too
        error.add_note(f"to go on: placememory train --resume {folder.path}")
        raise
    result = read_trained(folder.path)
    if trainer.accelerator.is_main_process:
        folder.result(result.to_dict())
        folder.picture(trainer.training.name)
    return result


def _shared_folder(trainer: Trainer) -> RunFolder:
    """A new folder, made by the first process, known to all."""
    from accelerate.utils import broadcast_object_list

    names = [""]
    if trainer.accelerator.is_main_process:
        names = [str(RunFolder.new(trainer.training).path)]
    broadcast_object_list(names)
    return RunFolder(Path(names[0]))
