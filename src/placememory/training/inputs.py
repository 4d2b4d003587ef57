"""The network's input: images of windows, perhaps changed, or a frozen trunk's features of them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as untyped

from placememory._io import write_json
from placememory._types import Progress, Rows
from placememory.encoders import (
    BATCH,
    Descriptors,
    EncoderCard,
    Preprocess,
    Workers,
    encode_shards,
)
from placememory.encoders.device import Device
from placememory.errors import ImageError, SettingError
from placememory.evaluation.cache import frame_key
from placememory.frames import Frame, Image
from placememory.training.config import Augment

Draw = np.random.Generator
functional: Any = untyped
_HUE = 0.05
_BLUR = (0.5, 2.0)


def change_images(images: Tensor, augment: Augment, draw: Draw) -> Tensor:
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
        images = _crop(images, augment.crop, draw)
    if augment.perspective:
        images = _turn(images, augment.perspective, draw)
    if augment.colour:
        images = _colour(images, augment.colour, draw)
    if augment.blur and draw.random() < augment.blur:
        sigma = draw.uniform(*_BLUR)
        images = functional.gaussian_blur(images, [2 * round(2 * sigma) + 1] * 2, [sigma])
    if augment.noise:
        noise = draw.normal(0.0, augment.noise, size=tuple(images.shape))
        noisy = images.float() + torch.from_numpy(noise.astype(np.float32))
        images = noisy.round().clamp(0, 255).to(torch.uint8)
    return images


def _crop(images: Tensor, most: float, draw: Draw) -> Tensor:
    """A part of each image, at least ``1 - most`` of its area, brought to the old size."""
    height, width = images.shape[-2:]
    side = np.sqrt(draw.uniform(1.0 - most, 1.0))
    rows, columns = round(height * side), round(width * side)
    top, left = draw.integers(height - rows + 1), draw.integers(width - columns + 1)
    changed: Tensor = functional.resized_crop(
        images, int(top), int(left), rows, columns, [height, width], antialias=True
    )
    return changed


def _turn(images: Tensor, strength: float, draw: Draw) -> Tensor:
    """The inside of four corners, each moved inwards by up to a quarter of the sides."""
    height, width = images.shape[-2:]
    corners = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
    reach = 0.25 * strength * draw.random((4, 2))
    signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    inside = np.array(corners) + signs * reach * np.array([width, height])
    seen = inside.round().astype(int).tolist()
    changed: Tensor = functional.perspective(images, seen, corners)
    return changed


def _colour(images: Tensor, strength: float, draw: Draw) -> Tensor:
    brightness, contrast, saturation = draw.uniform(1.0 - 0.6 * strength, 1.0 + 0.6 * strength, 3)
    images = functional.adjust_brightness(images, brightness)
    images = functional.adjust_contrast(images, contrast)
    images = functional.adjust_saturation(images, saturation)
    changed: Tensor = functional.adjust_hue(images, draw.uniform(-_HUE, _HUE) * strength)
    return changed


Seed = tuple[int, ...]
SIZES = "the images are of several sizes; give the encoder's option size, or images of one size"
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
    """Images of frames, prepared by the preprocessing of the encoder's card.

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
        self._preprocess, self.device = preprocess, device
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
                change_images(image, self.augment, np.random.default_rng((*seed, i)))
                for i, image in enumerate(images, start=first)
            ]
        if len({image.shape for image in images}) > 1:
            raise ImageError(SIZES)
        batch = torch.cat(images).permute(0, 2, 3, 1).contiguous().numpy()
        x = self.device.normalise(batch, self._preprocess)
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


def read_ahead(jobs: Iterable[tuple[T, Rows]], inputs: Inputs) -> Iterator[tuple[T, Tensor]]:
    """Inputs of jobs in order, each prepared while the network runs on the one before.

    Args:
        jobs: Labels, and windows.
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


class TrunkEncoder:
    """A frozen trunk as an encoder: a descriptor is the features of an image, flat and as they are.

    Args:
        trunk: In evaluation mode, on the device: (N, 3, H, W) to one tensor.
        preprocess: Of the encoder that the trunk is of.
        device: Where the trunk runs.
        dim: Numbers of an image's features.
    """

    def __init__(self, trunk: nn.Module, preprocess: Preprocess, device: Device, dim: int) -> None:
        digest = hashlib.sha256()
        _add_state(digest, trunk)
        self.card = EncoderCard(
            name="trunk", dim=dim, weights_sha256=digest.hexdigest(), preprocess=preprocess
        )
        self._trunk, self._preprocess, self._device = trunk, preprocess, device

    def encode(self, images: Sequence[Image]) -> Descriptors:
        """Images to features (N, dim) float32.

        Raises:
            ImageError: Sizes differ.
        """
        resized = [self._preprocess.resize(image) for image in images]
        if len({image.shape for image in resized}) > 1:
            raise ImageError(SIZES)
        x = self._device.normalise(np.stack(resized), self._preprocess)
        found = _run(self._trunk, x).reshape(len(images), -1)
        if found.shape[1] != self.card.dim:
            raise ImageError(SIZES)
        return found


class FeatureInputs:
    """Features of a frozen trunk for each frame, as float16 in a file mapped into memory.

    A pass that was cut off goes on where it stopped.

    Args:
        trunk: Frozen, in evaluation mode: (N, 3, H, W) to one tensor.
        images: Gives the frames; it must not change them.
        folder: Of all such files; the file's name is a hash of trunk, preprocessing and frames.
        preprocess: Of the encoder; part of the name.
        device: Where the head runs.
        progress: Called with frames done and in all.
        workers: Processes that run the trunk over shards of frames; this one alone if left out.

    Raises:
        SettingError: The trunk gives something else than one tensor.
        PlaceMemoryError: See :func:`placememory.encoders.encode_shards`.
    """

    def __init__(
        self,
        trunk: nn.Module,
        images: ImageInputs,
        folder: Path,
        preprocess: Preprocess,
        device: torch.device,
        progress: Progress | None = None,
        workers: Workers | None = None,
    ) -> None:
        self._device = device
        name = _name(trunk, preprocess, images.frames)
        first = _run(trunk, images(np.zeros((1, 1), np.int64)).flatten(0, 1))
        shape = (len(images.frames), *first.shape[1:])
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / f"{name}.npy"
        marks, parts = folder / f"{name}.json", folder / f"{name}.shards"
        done = int(marks.read_text()) if marks.is_file() and self.file.is_file() else 0
        self._rows = self._open(shape) if done == 0 else np.lib.format.open_memmap(self.file, "r+")
        blocks = _run_blocks(trunk, images, done)
        if workers is not None:
            encoder = TrunkEncoder(trunk, preprocess, images.device, first[0].size)
            shards = encode_shards(encoder, images.frames[done:], parts, workers)
            blocks = (rows.reshape(-1, *shape[1:]) for _, rows in shards)
        self._fill(blocks, marks, done, progress)
        shutil.rmtree(parts, ignore_errors=True)

    def load(self, windows: Rows) -> None:
        """Nothing: the file is mapped."""

    def __call__(self, windows: Rows, seed: Seed | None = None, first: int = 0) -> Tensor:  # noqa: ARG002
        """Windows (n, L) of rows to the trunk's features (n, L, ...) float32."""
        found = torch.from_numpy(self._rows[windows.ravel()].astype(np.float32))
        return torch.unflatten(found.to(self._device), 0, windows.shape)

    def _open(self, shape: tuple[int, ...]) -> np.memmap[tuple[int, ...], np.dtype[np.float16]]:
        return np.lib.format.open_memmap(self.file, mode="w+", dtype=np.float16, shape=shape)

    def _fill(
        self,
        blocks: Iterable[NDArray[np.float32]],
        marks: Path,
        done: int,
        progress: Progress | None,
    ) -> None:
        """Write the features of the missing frames; the mark is written after the rows."""
        for block in blocks:
            if block.shape[1:] != self._rows.shape[1:]:
                raise ImageError(SIZES)
            self._rows[done : done + len(block)] = block.astype(np.float16)
            self._rows.flush()
            done += len(block)
            write_json(marks, done)
            if progress is not None:
                progress(done, len(self._rows))


def _run_blocks(trunk: nn.Module, images: ImageInputs, done: int) -> Iterator[NDArray[np.float32]]:
    """Features of the frames from ``done`` on."""
    total = len(images.frames)
    for first in range(done, total, BATCH):
        rows = np.arange(first, min(first + BATCH, total))
        yield _run(trunk, images(rows[:, None]).flatten(0, 1))


def _run(trunk: nn.Module, x: Tensor) -> NDArray[np.float32]:
    """(N, 3, H, W) to features (N, ...)."""
    with torch.inference_mode():
        features = trunk(x)
    if not isinstance(features, Tensor):
        raise SettingError(
            "running.cache_trunk: this encoder's trunk gives more than one tensor; leave it out"
        )
    found: NDArray[np.float32] = features.float().cpu().numpy()
    return found


def _add_state(digest: hashlib._Hash, trunk: nn.Module) -> None:
    for key, value in sorted(trunk.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())


def _name(trunk: nn.Module, preprocess: Preprocess, frames: Sequence[Frame]) -> str:
    digest = hashlib.sha256(preprocess.model_dump_json().encode())
    _add_state(digest, trunk)
    for frame in frames:
        digest.update(frame_key(frame))
    return digest.hexdigest()[:24]
