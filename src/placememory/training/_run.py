"""Train, or resume."""

from __future__ import annotations

from pathlib import Path

from placememory.training._config import Training
from placememory.training._folder import RunFolder, read_config
from placememory.training._result import Trained, read_trained
from placememory.training._setup import Told
from placememory.training._trainer import Trainer


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
