"""The folder of a run: configuration, environment, log, events, weights."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import save_file
from torch import Tensor

from placememory._atomic import replacing, write_json, write_text
from placememory._extras import require
from placememory._version import __version__
from placememory.errors import InputError
from placememory.training._config import Training
from placememory.training._read_config import checked

CONFIG, ENVIRONMENT, LOG, RESULT = "config.yaml", "environment.json", "log.jsonl", "result.json"
BEST, LAST, PICTURE = "best.safetensors", "last.safetensors", "training.png"
_PACKAGES = ("torch", "timm", "numpy", "accelerate", "pytorch-metric-learning", "torchvision")


class RunFolder:
    """Writes what a training leaves.

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
        write_json(path / ENVIRONMENT, environment())
        return cls(path)

    def open_events(self, step: int) -> None:
        """Begin to write TensorBoard events; those from ``step`` on are taken back.

        Raises:
            MissingExtraError: ``tensorboard`` is not installed.
        """
        require("tensorboard", extra="train", purpose="TensorBoard events")
        from torch.utils.tensorboard import SummaryWriter

        self._events = SummaryWriter(str(self.path / "tensorboard"), purge_step=step)

    def take_back(self, step: int) -> None:
        """Forget lines of the log that are after a step, and the test: they will come again."""
        log = self.path / LOG
        if log.is_file():
            kept = [
                line for line in log.read_text(encoding="utf-8").splitlines() if _step(line) <= step
            ]
            write_text(log, "".join(f"{line}\n" for line in kept))

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Append values to the log, and its numbers to the events."""
        with (self.path / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}, allow_nan=False) + "\n")
        if self._events is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._events.add_scalar(name, value, step)

    def images(self, name: str, images: Tensor, step: int) -> None:
        """Show (n, 3, H, W) images, 0 to 1, in the events."""
        if self._events is not None:
            self._events.add_images(name, images, step)

    def weights(self, name: str, state: dict[str, Tensor], about: Mapping[str, str]) -> Path:
        """Write weights in one piece, with a few words about them in their header."""
        path = self.path / name
        with replacing(path) as part:
            save_file({k: v.cpu().clone() for k, v in state.items()}, part, metadata=dict(about))
        return path

    def result(self, values: Mapping[str, Any]) -> None:
        """Write the result."""
        write_json(self.path / RESULT, dict(values))

    def picture(self, name: str) -> None:
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
        raise InputError(f"{path}: this is no folder of a training: it has no {CONFIG}")
    return checked(yaml.safe_load(file.read_text(encoding="utf-8")), file)


def read_log(path: Path) -> list[dict[str, Any]]:
    """Lines of a run's log."""
    log = path / LOG
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    return [json.loads(line) for line in lines]


def environment() -> dict[str, Any]:
    """Versions of what the numbers depend on, and the machine."""
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
