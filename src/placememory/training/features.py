"""A frozen trunk's answers, kept on disk, so that a step runs only the head."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from placememory._io import write_json
from placememory._registry import require
from placememory._types import Progress, Rows
from placememory.encoders import Encoder, Preprocess, create, info
from placememory.encoders.device import choose_device
from placememory.encoders.lite0 import FoldedTrunk, Trunk
from placememory.errors import ImageError, SettingError
from placememory.evaluation.cache import frame_key
from placememory.frames import Frame
from placememory.training.config import Training
from placememory.training.data import TrainingSet
from placememory.training.images import SIZES, ImageInputs, Inputs, Seed
from placememory.training.network import Parts

_BLOCK = 32


class FeatureInputs:
    """What a trunk says of each frame, as float16 in one file that is mapped into memory.

    A pass that was cut off goes on where it stopped.

    Args:
        trunk: Frozen, in evaluation mode: (N, 3, H, W) to one tensor.
        images: Gives the frames; it must not change them.
        folder: Of all such files; the file's name is a hash of trunk, preprocessing and frames.
        preprocess: Of the encoder; part of the name.
        device: Where the head runs.
        progress: Called with frames done and in all.

    Raises:
        SettingError: The trunk gives something else than one tensor.
    """

    def __init__(
        self,
        trunk: nn.Module,
        images: ImageInputs,
        folder: Path,
        preprocess: Preprocess,
        device: torch.device,
        progress: Progress | None = None,
    ) -> None:
        self._device = device
        name = _name(trunk, preprocess, images.frames)
        first = _run(trunk, images, np.zeros((1, 1), np.int64))
        shape = (len(images.frames), *first.shape[1:])
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / f"{name}.npy"
        marks = folder / f"{name}.json"
        done = int(marks.read_text()) if marks.is_file() and self.file.is_file() else 0
        self._rows = self._open(shape) if done == 0 else np.lib.format.open_memmap(self.file, "r+")
        self._fill(trunk, images, marks, done, progress)

    def load(self, windows: Rows) -> None:
        """Nothing: the file is mapped."""

    def __call__(self, windows: Rows, seed: Seed | None = None, first: int = 0) -> Tensor:  # noqa: ARG002
        """Windows (n, L) of rows to the trunk's answers (n, L, ...) float32."""
        found = torch.from_numpy(self._rows[windows.ravel()].astype(np.float32))
        return torch.unflatten(found.to(self._device), 0, windows.shape)

    def _open(self, shape: tuple[int, ...]) -> np.memmap[tuple[int, ...], np.dtype[np.float16]]:
        return np.lib.format.open_memmap(self.file, mode="w+", dtype=np.float16, shape=shape)

    def _fill(
        self,
        trunk: nn.Module,
        images: ImageInputs,
        marks: Path,
        done: int,
        progress: Progress | None,
    ) -> None:
        """Run the trunk over what is missing; the mark is written after the rows."""
        total = len(images.frames)
        for first in range(done, total, _BLOCK):
            rows = np.arange(first, min(first + _BLOCK, total))
            found = _run(trunk, images, rows[:, None]).astype(np.float16)
            if found.shape[1:] != self._rows.shape[1:]:
                raise ImageError(SIZES)
            self._rows[rows] = found
            self._rows.flush()
            write_json(marks, int(rows[-1]) + 1)
            if progress is not None:
                progress(int(rows[-1]) + 1, total)


def _run(
    trunk: nn.Module, images: ImageInputs, windows: Rows
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    with torch.inference_mode():
        features = trunk(images(windows).flatten(0, 1))
    if not isinstance(features, Tensor):
        raise SettingError(
            "running.cache_trunk: this encoder's trunk gives more than one tensor; leave it out"
        )
    return features.float().cpu().numpy()


def _name(trunk: nn.Module, preprocess: Preprocess, frames: Sequence[Frame]) -> str:
    digest = hashlib.sha256(preprocess.model_dump_json().encode())
    for key, value in sorted(trunk.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    for frame in frames:
        digest.update(frame_key(frame))
    return digest.hexdigest()[:24]


if TYPE_CHECKING:
    from accelerate import Accelerator

Told = Callable[[str, int, int], None]
_MIXED = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


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
    told: Told,
) -> list[Inputs]:
    """What the network is given for each set: images, or what its frozen trunk said of them."""
    preprocess = encoder.card.preprocess
    assert preprocess is not None
    device = choose_device(str(accelerator.device), "float32")
    workers = training.running.workers
    images = [
        ImageInputs(part.frames, preprocess, device, training.augment, workers) for part in sets
    ]
    if not training.running.cache_trunk:
        return [*images]
    trunk = _fast(parts.without_trunk()).to(accelerator.device).eval()
    folder = training.output / "trunk_cache"

    def progress(done: int, total: int) -> None:
        told("running the trunk", done, total)

    cached: list[Inputs] = []
    for one in images:
        with accelerator.main_process_first():
            cached.append(
                FeatureInputs(trunk, one, folder, preprocess, accelerator.device, progress)
            )
    return cached


def _fast(trunk: torch.nn.Module) -> torch.nn.Module:
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
