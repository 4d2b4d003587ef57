"""A frozen trunk's answers, kept on disk, so that a step runs only the head."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from placememory._atomic import write_json
from placememory._types import Progress, Rows
from placememory.encoders import Preprocess
from placememory.errors import ImageError, SettingError
from placememory.experiments._cache import frame_key
from placememory.frames import Frame
from placememory.training._images import SIZES, ImageInputs, Seed

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
