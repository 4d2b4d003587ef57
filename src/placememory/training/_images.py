"""Windows as the network's input: read ahead, changed, normalised; or a frozen trunk's answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from placememory.encoders import Preprocess
from placememory.encoders._device import Device
from placememory.errors import ImageError
from placememory.frames import Frame, Image
from placememory.training._augmentation import changed_window
from placememory.training._config import Augment
from placememory.training._data import Rows

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
        self._loading = {
            int(row): self._pool.submit(self._read, int(row)) for row in np.unique(windows)
        }

    def __call__(self, windows: Rows, seed: Seed | None = None, first: int = 0) -> Tensor:
        """Windows (n, L) of rows to (n, L, 3, H, W) float32, normalised.

        Args:
            windows: Rows of frames.
            seed: Of the changes, the same for the same seed; ``None`` for none.
            first: Number of the first window, which is part of its seed.

        Raises:
            ImageError: An image cannot be read, or sizes differ.
        """
        images = [self._window(window) for window in windows]
        if seed is not None and self.augment.changes_images:
            images = [
                changed_window(image, self.augment, np.random.default_rng((*seed, i)))
                for i, image in enumerate(images, start=first)
            ]
        if len({image.shape for image in images}) > 1:
            raise ImageError(_SIZES)
        batch = torch.cat(images).permute(0, 2, 3, 1).contiguous().numpy()
        x = self._device.normalised(batch, self._preprocess)
        return torch.unflatten(x, 0, windows.shape)

    def _window(self, window: Rows) -> Tensor:
        """(L, 3, H, W) uint8."""
        waiting = [self._loading.get(int(row)) for row in window]
        images = [
            self._read(int(row)) if future is None else future.result()
            for row, future in zip(window, waiting, strict=True)
        ]
        if len({image.shape for image in images}) > 1:
            raise ImageError(_SIZES)
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)

    def _read(self, row: int) -> Image:
        return self._preprocess.resize(self.frames[row].image())


_SIZES = "the images are of several sizes; give the encoder's option size, or images of one size"


def read_ahead(
    jobs: Iterable[tuple[T, Rows, Seed | None]], inputs: Inputs, workers: int
) -> Iterator[tuple[T, Tensor]]:
    """Inputs of jobs in order, prepared by threads while the network runs.

    Args:
        jobs: What to hand on, windows, and the seed of their changes.
        inputs: Prepares.
        workers: Threads.
    """
    waiting: deque[tuple[T, Future[Tensor]]] = deque()
    source = iter(jobs)
    with ThreadPoolExecutor(workers, thread_name_prefix="training") as pool:
        try:
            while True:
                while len(waiting) <= workers and (job := next(source, None)) is not None:
                    waiting.append((job[0], pool.submit(inputs, *job[1:])))
                if not waiting:
                    return
                label, future = waiting.popleft()
                yield label, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
