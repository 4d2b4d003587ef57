"""Changes of images that all frames of a window share, and of the speed of a window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as untyped

from placememory._types import Rows
from placememory.encoders import Preprocess
from placememory.encoders.device import Device
from placememory.errors import ImageError
from placememory.frames import Frame, Image
from placememory.training.config import Augment
from placememory.training.data import TrainingSet

Draw = np.random.Generator
functional: Any = untyped
_HUE = 0.05
_BLUR = (0.5, 2.0)


def changed_window(images: Tensor, augment: Augment, draw: Draw) -> Tensor:
    """A window of frames as seen in other light, by another lens, from a little elsewhere.

    Every change is drawn once and made to all frames: what moves between the frames of a window
    must be the robot.

    Args:
        images: (L, 3, H, W) uint8 RGB.
        augment: How strong.
        draw: Of the window.

    Returns:
        (L, 3, H, W) uint8.
    """
    if augment.crop:
        images = _cropped(images, augment.crop, draw)
    if augment.perspective:
        images = _turned(images, augment.perspective, draw)
    if augment.colour:
        images = _coloured(images, augment.colour, draw)
    if augment.blur and draw.random() < augment.blur:
        sigma = draw.uniform(*_BLUR)
        images = functional.gaussian_blur(images, [2 * round(2 * sigma) + 1] * 2, [sigma])
    if augment.noise:
        noise = draw.normal(0.0, augment.noise, size=tuple(images.shape))
        noisy = images.float() + torch.from_numpy(noise.astype(np.float32))
        images = noisy.round().clamp(0, 255).to(torch.uint8)
    return images


def _cropped(images: Tensor, most: float, draw: Draw) -> Tensor:
    """A part of each image, at least ``1 - most`` of its area, brought to the old size."""
    height, width = images.shape[-2:]
    side = np.sqrt(draw.uniform(1.0 - most, 1.0))
    rows, columns = round(height * side), round(width * side)
    top, left = draw.integers(height - rows + 1), draw.integers(width - columns + 1)
    changed: Tensor = functional.resized_crop(
        images, int(top), int(left), rows, columns, [height, width], antialias=True
    )
    return changed


def _turned(images: Tensor, strength: float, draw: Draw) -> Tensor:
    """The inside of four corners, each moved inwards by up to a quarter of the sides."""
    height, width = images.shape[-2:]
    corners = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
    reach = 0.25 * strength * draw.random((4, 2))
    signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    inside = np.array(corners) + signs * reach * np.array([width, height])
    seen = inside.round().astype(int).tolist()
    changed: Tensor = functional.perspective(images, seen, corners)
    return changed


def _coloured(images: Tensor, strength: float, draw: Draw) -> Tensor:
    brightness, contrast, saturation = draw.uniform(1.0 - 0.6 * strength, 1.0 + 0.6 * strength, 3)
    images = functional.adjust_brightness(images, brightness)
    images = functional.adjust_contrast(images, contrast)
    images = functional.adjust_saturation(images, saturation)
    changed: Tensor = functional.adjust_hue(images, draw.uniform(-_HUE, _HUE) * strength)
    return changed


def changed_speed(window: Rows, step: int, draw: Draw) -> Rows:
    """A window as if driven at another speed; first and last frame stay (CaseVPR's ``augseq``).

    Each frame between becomes one of the window's, from the one before it up to ``step`` on, and
    never goes backwards.

    Args:
        window: (L,) rows of frames, oldest first.
        step: Most frames that it jumps.
        draw: Of the window.

    Example:
        >>> changed_speed(np.arange(5), 2, np.random.default_rng(0)).tolist()
        [0, 3, 4, 4, 4]
    """
    places = np.arange(len(window))
    for i in range(1, len(window) - 1):
        least, most = max(places[i - 1], i - 1), min(i + step, len(window) - 1)
        places[i] = draw.integers(least, most + 1)
    return np.asarray(window[places])


def shuffled(window: Rows, data: TrainingSet, step: float, draw: Draw) -> Rows | None:
    """A window in another order, as a negative; ``None`` where its frames are too near together.

    Args:
        window: (L,) rows of frames.
        data: The frames.
        step: Metres that consecutive frames must be apart at least.
        draw: Of the window.
    """
    apart = np.linalg.norm(np.diff(data.positions[window], axis=0), axis=1)
    if len(window) < 2 or (apart < step).any():
        return None
    order = draw.permutation(len(window))
    while (order == np.arange(len(window))).all():
        order = draw.permutation(len(window))
    return np.asarray(window[order])


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
        x = self._device.normalise(batch, self._preprocess)
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
