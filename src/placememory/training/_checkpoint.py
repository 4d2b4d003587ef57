"""Checkpoints: all that a training needs to go on as if it had not stopped.

One folder each, which gets its name when it is complete. Weights and the optimiser's state are
safetensors; numbers are JSON. Nothing random is kept: it follows from the seed and the step.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from placememory.errors import InputError
from placememory.training._sampler import Position

FOLDER, MODEL, OPTIMIZER, PROGRESS = (
    "checkpoints",
    "model.safetensors",
    "optimizer.safetensors",
    "progress.json",
)
_MINED = "mined"


@dataclass(frozen=True, slots=True)
class TrainingState:
    """How far a training is.

    Attributes:
        epoch: Epochs done.
        step: Steps done, of all epochs.
        best: Best score of a validation so far; ``None`` before the first.
        best_epoch: Its epoch.
        waited: Epochs since.
        position: Within the epoch; the beginning between epochs.
        scaler: State of the gradient's scaling, in float16.
    """

    epoch: int = 0
    step: int = 0
    best: float | None = None
    best_epoch: int = 0
    waited: int = 0
    position: Position = field(default_factory=Position)
    scaler: dict[str, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A training as it was.

    Attributes:
        progress: How far it was.
        model: Tensors under the encoder's published keys.
        optimizer: ``state`` of a torch optimiser: by number of the parameter, tensors by name.
    """

    progress: TrainingState
    model: dict[str, Tensor]
    optimizer: dict[int, dict[str, Tensor]]


def save_checkpoint(run: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint into a run's folder; older ones are removed when it is there."""
    folder = run / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{checkpoint.progress.step:08d}-{checkpoint.progress.epoch:04d}"
    part = folder / f".{target.name}.{os.getpid()}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    _write(part, checkpoint)
    shutil.rmtree(target, ignore_errors=True)
    part.replace(target)
    for other in folder.iterdir():
        if other != target:
            shutil.rmtree(other, ignore_errors=True)
    return target


def find_checkpoint(run: Path) -> Path | None:
    """The newest complete checkpoint of a run; ``None`` if there is none."""
    found = sorted(p for p in (run / FOLDER).glob("*") if not p.name.startswith("."))
    return found[-1] if found else None


def read_checkpoint_folder(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        InputError: It is damaged.
    """
    try:
        values = json.loads((path / PROGRESS).read_text(encoding="utf-8"))
        model, kept = load_file(path / MODEL), load_file(path / OPTIMIZER)
        mined = kept.pop(_MINED, None)
        position = Position(
            **values.pop("position"), mined=None if mined is None else mined.numpy()
        )
        progress = TrainingState(**values, position=position)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise InputError(
            f"{path}: this checkpoint is damaged ({error}); begin anew, from best.safetensors of "
            "the run as encoder.weights"
        ) from error
    return Checkpoint(progress, model, _by_parameter(kept))


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    """Tensors of an optimiser by number of the parameter."""
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        number: {name: torch.as_tensor(value).detach().cpu() for name, value in slots.items()}
        for number, slots in state.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, state: dict[int, dict[str, Tensor]]
) -> None:
    """The inverse of :func:`optimizer_state`."""
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _write(part: Path, checkpoint: Checkpoint) -> None:
    position = checkpoint.progress.position
    kept = {
        f"{number}.{name}": value.contiguous().clone()
        for number, slots in checkpoint.optimizer.items()
        for name, value in slots.items()
    }
    if position.mined is not None:
        kept[_MINED] = torch.from_numpy(position.mined).contiguous()
    save_file({k: v.cpu().clone() for k, v in checkpoint.model.items()}, part / MODEL)
    save_file(kept, part / OPTIMIZER)
    values = asdict(checkpoint.progress)
    values["position"].pop("mined")
    (part / PROGRESS).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _by_parameter(kept: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in kept.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    return state
