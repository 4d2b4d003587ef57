"""Changes of images that all frames of a window share, and of the speed of a window."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as untyped

from placememory._types import Rows
from placememory.training._config import Augment
from placememory.training._data import TrainingSet

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
