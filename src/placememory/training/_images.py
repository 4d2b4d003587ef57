"""Windows as the network's input: read ahead, changed, normalised; or a frozen trunk's answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from placememory._types import Rows
from placememory.encoders import Preprocess
from placememory.encoders._device import Device
from placememory.errors import ImageError
from placememory.frames import Frame, Image
from placememory.training._augmentation import changed_window
from placememory.training._config import Augment

Seed = tuple[int, ...]
T = TypeVar("T")


class Inputs(Protocol):
    """Gives the network's input for rows of frames."""

    def load(self, windows: Rows) -> None:
        """Begin to read the frames of a batch."""
        ...

    def __call__(self, windows: Rows, seed: Seed | None = None, first: int = 0) -> Tensor:
        """Windows (n, L) to (n, L, ...) on the device.

        Where a seed is given, a window is changed by it and by its number, ``first`` and on.
        """
        ...


class ImageInputs:
    """Images of frames, prepared as the encoder's card says.

    Args:
        frames: N frames.
        preprocess: Of the encoder.
        device: Where the network runs.
        augment: How windows are changed.
        workers: Threads that read.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        preprocess: Preprocess,
        device: Device,
        augment: Augment,
        workers: int = 2,
    ) -> None:
        self.frames, self.augment = frames, augment
        self._preprocess, self._device = preprocess, device
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="read-image")
        self._loading: dict[int, Future[Image]] = {}

    def load(self, windows: Rows) -> None:
        """Begin to read the frames of a batch; those of the one before are forgotten."""
        self._loading = {}
        self._loading = self._reading(windows)

    def __call__(self, windows: Rows, seed: Seed | None = None, first: int = 0) -> Tensor:
        """Windows (n, L) of rows to (n, L, 3, H, W) float32, normalised.

        Args:
            windows: Rows of frames.
            seed: Of the changes, the same for the same seed; ``None`` for none.
            first: Number of the first window, which is part of its seed.

        Raises:
            ImageError: An image cannot be read, or sizes differ.
        """
        reading = self._reading(windows)
        images = [self._window(window, reading) for window in windows]
        if seed is not None and self.augment.changes_images:
            images = [
                changed_window(image, self.augment, np.random.default_rng((*seed, i)))
                for i, image in enumerate(images, start=first)
            ]
        if len({image.shape for image in images}) > 1:
            raise ImageError(SIZES)
        batch = torch.cat(images).permute(0, 2, 3, 1).contiguous().numpy()
        x = self._device.normalised(batch, self._preprocess)
        return torch.unflatten(x, 0, windows.shape)

    def _reading(self, windows: Rows) -> dict[int, Future[Image]]:
        """Images of windows, read by the threads; those of the batch already are."""
        known = self._loading
        rows = (int(row) for row in np.unique(windows))
        return {row: known.get(row) or self._pool.submit(self._read, row) for row in rows}

    def _window(self, window: Rows, reading: dict[int, Future[Image]]) -> Tensor:
        """(L, 3, H, W) uint8."""
        images = [reading[int(row)].result() for row in window]
        if len({image.shape for image in images}) > 1:
            raise ImageError(SIZES)
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)

    def _read(self, row: int) -> Image:
        return self._preprocess.resize(self.frames[row].image())


SIZES = "the images are of several sizes; give the encoder's option size, or images of one size"


def read_ahead(jobs: Iterable[tuple[T, Rows]], inputs: Inputs) -> Iterator[tuple[T, Tensor]]:
    """Inputs of jobs in order, each prepared while the network runs on the one before.

    Args:
        jobs: What to hand on, and windows.
        inputs: Prepares, without changes.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="prepare") as pool:
        waiting: tuple[T, Future[Tensor]] | None = None
        for label, windows in jobs:
            following = label, pool.submit(inputs, windows)
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = following
        if waiting is not None:
            yield waiting[0], waiting[1].result()
