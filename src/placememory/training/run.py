"""Files of a training: configuration, log, events, weights, checkpoints, and its result."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from placememory._io import read_yaml, replacing, write_json, write_text
from placememory._registry import require
from placememory._version import __version__
from placememory.encoders import locate_weights
from placememory.encoders.weights import sha256_of
from placememory.errors import InputError, SettingError
from placememory.metrics.paired import PairedDifference, PairedDifferenceResult
from placememory.training.config import Training, parse_training
from placememory.training.sampling import Position

CONFIG, ENVIRONMENT, LOG, RESULT = "config.yaml", "environment.json", "log.jsonl", "result.json"
BEST, LAST, PICTURE = "best.safetensors", "last.safetensors", "training.png"
_PACKAGES = ("torch", "timm", "numpy", "accelerate", "pytorch-metric-learning", "torchvision")


class RunFolder:
    """Writes the files of a training.

    Args:
        path: The folder; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._events: Any = None

    @classmethod
    def new(cls, training: Training) -> RunFolder:
        """A new folder ``<output>/<time>-<name>-<encoder>`` with configuration and environment."""
        stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        base = f"{stamp}-{training.name}-{training.encoder.name}"
        path, count = training.output / base, 1
        while path.exists():
            count += 1
            path = training.output / f"{base}-{count}"
        path.mkdir(parents=True)
        values = training.model_dump(mode="json")
        write_text(path / CONFIG, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
        write_json(path / ENVIRONMENT, {**environment(), "start": _start(training)})
        return cls(path)

    def open_events(self, step: int) -> None:
        """Begin to write TensorBoard events; those from ``step`` on are taken back.

        Raises:
            MissingExtraError: ``tensorboard`` is not installed.
        """
        require("tensorboard", extra="train", purpose="TensorBoard events")
        from torch.utils.tensorboard import SummaryWriter

        self._events = SummaryWriter(str(self.path / "tensorboard"), purge_step=step)

    def rewind(self, step: int) -> None:
        """Forget lines of the log that are after a step, and the test: they will come again."""
        log = self.path / LOG
        if log.is_file():
            lines = [
                line for line in log.read_text(encoding="utf-8").splitlines() if _step(line) <= step
            ]
            write_text(log, "".join(f"{line}\n" for line in lines))

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Append values to the log, and its numbers to the events."""
        with (self.path / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}, allow_nan=False) + "\n")
        if self._events is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._events.add_scalar(name, value, step)

    def show(self, name: str, images: Tensor, step: int) -> None:
        """Show (n, 3, H, W) images, 0 to 1, in the events."""
        if self._events is not None:
            self._events.add_images(name, images, step)

    def write_weights(self, name: str, state: dict[str, Tensor], about: Mapping[str, str]) -> Path:
        """Write weights in one piece, with facts about them in the header."""
        path = self.path / name
        with replacing(path) as part:
            save_file({k: v.cpu().clone() for k, v in state.items()}, part, metadata=dict(about))
        return path

    def write_result(self, values: Mapping[str, Any]) -> None:
        """Write the result."""
        write_json(self.path / RESULT, dict(values))

    def draw(self, name: str) -> None:
        """Draw ``training.png``; without matplotlib there is none."""
        if find_spec("matplotlib") is not None:
            from placememory.figures import draw_training, save

            save(draw_training(read_log(self.path), name), self.path / PICTURE)

    def close(self) -> None:
        """Close the events."""
        if self._events is not None:
            self._events.close()


def read_config(path: Path) -> Training:
    """The configuration of a run.

    Raises:
        InputError: The folder holds no run.
        SettingError: Its configuration is not of this version.
    """
    file = path / CONFIG
    if not file.is_file():
        theirs = (path / "config_used.json").is_file()
        hint = "; it is one of CaseVPR's trainer: begin anew, from its last_model.pth as weights"
        raise InputError(
            f"{path}: this is no folder of a training: it has no {CONFIG}{hint if theirs else ''}"
        )
    return parse_training(read_yaml(file, SettingError), file)


def read_log(path: Path) -> list[dict[str, Any]]:
    """Lines of a run's log."""
    log = path / LOG
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    return [json.loads(line) for line in lines]


def _start(training: Training) -> dict[str, str] | None:
    """File and SHA-256 of the weights a training starts from; ``None`` for random ones."""
    choice = training.encoder
    found = locate_weights(choice.name, choice.weights, **choice.options)
    if found is None or not found.is_there:
        return None
    return {"file": str(found.path), "sha256": sha256_of(found.path)}


def environment() -> dict[str, Any]:
    """Versions of the packages that the numbers depend on, and the machine."""
    import torch

    return {
        "placememory": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _step(line: str) -> int:
    """Step of a line of the log; a line that was cut off, or of a test, is after all others."""
    try:
        values = json.loads(line)
        return 1 << 62 if "test" in values else int(values["step"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62


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
        model, tensors = load_file(path / MODEL), load_file(path / OPTIMIZER)
        mined = tensors.pop(_MINED, None)
        position = Position(
            **values.pop("position"), mined=None if mined is None else mined.numpy()
        )
        progress = TrainingState(**values, position=position)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise InputError(
            f"{path}: this checkpoint is damaged ({error}); begin anew, from best.safetensors of "
            "the run as encoder.weights"
        ) from error
    return Checkpoint(progress, model, _by_parameter(tensors))


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
    tensors = {
        f"{number}.{name}": value.contiguous().clone()
        for number, slots in checkpoint.optimizer.items()
        for name, value in slots.items()
    }
    if position.mined is not None:
        tensors[_MINED] = torch.from_numpy(position.mined).contiguous()
    save_file({k: v.cpu().clone() for k, v in checkpoint.model.items()}, part / MODEL)
    save_file(tensors, part / OPTIMIZER)
    values = asdict(checkpoint.progress)
    values["position"].pop("mined")
    (part / PROGRESS).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _by_parameter(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    return state


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The result of a training.

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
                *self._test_lines(),
                self.best["protocol"],
                f"weights: {self.weights}",
            ]
        )

    def _test_lines(self) -> list[str]:
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


def read_result(folder: Path) -> TrainingResult:
    """The result of a run so far.

    Raises:
        InputError: The folder holds no run with a validation.
    """
    lines = read_log(folder)
    judged = [line for line in lines if "score" in line]
    if not judged:
        raise InputError(f"{folder}: this training has no validation yet; resume it")
    start, best = judged[0], max(judged, key=lambda line: (line["score"], -line["epoch"]))
    before, after = (_line(lines, name) for name in ("test at the start", "test"))
    seconds = [line["seconds"] for line in lines if "seconds" in line]
    return TrainingResult(
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
