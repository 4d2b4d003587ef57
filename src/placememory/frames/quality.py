"""Quality of an image before it is encoded: does it show anything, is it covered or blurred?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from placememory.frames import Image

LEAST_CONTRAST = 2.0
"""Standard deviation of grey levels (0 to 255) below which an image shows nothing."""

LEAST_SHARPNESS = 0.6
"""Of :func:`sharpness`, below which an image is blurred."""

LEAST_EDGE = 3.5
"""Grey levels a pixel, some 160 pixels wide: an image without an edge as steep shows a surface."""

LEAST_EDGE_SHARE = 0.035
"""The same as a share of the image's own range of grey levels."""

_SAMPLES = 60
_WIDTH = 160
_LEAST_SIDE = 32


def shows_something(image: Image) -> bool:
    """Whether an image has any contrast: a covered or dead camera has none.

    Args:
        image: (H, W, 3) uint8 RGB.

    Example:
        >>> shows_something(np.zeros((48, 64, 3), np.uint8))
        False
    """
    step = max(1, min(image.shape[:2]) // _SAMPLES)
    grey = image[::step, ::step].mean(axis=2)
    return bool(grey.std() >= LEAST_CONTRAST)


def is_covered(image: Image) -> bool:
    """Whether an image has no edge at all, as of a lens under a hand, a cap, cloth or mud.

    What lies on a lens is so far out of focus that only slow changes of brightness are left. The
    steepest edges (99.5th percentile of the gradient of means of 3 x 3 pixels, some 160 pixels
    wide) are then below :data:`LEAST_EDGE`, or, with light from the side, below
    :data:`LEAST_EDGE_SHARE` of the range of grey levels (1st to 99th percentile). Of 3,183 real
    images (corridor, office loop, tower) and 2,583 rendered ones, some by night, five are covered:
    two behind a cap, three of a bare wall before the lens, which says as little about the place.
    They have 0.9 to 1.7; the least of the others, white doors, have 4.4 and 0.041.

    Args:
        image: (H, W, 3) uint8 RGB.

    Example:
        >>> ramp = np.tile(np.linspace(60, 180, 160).astype(np.uint8)[None, :, None], (120, 1, 3))
        >>> edge = np.where(np.arange(160) < 80, ramp.transpose(0, 2, 1), 20).transpose(0, 2, 1)
        >>> is_covered(ramp), is_covered(edge.astype(np.uint8))
        (True, False)
    """
    grey = _reduce(image)
    height, width = grey.shape
    if min(height, width) < _LEAST_SIDE:
        return False
    rows, columns = height - 2, width - 2
    smooth = sum(grey[i : i + rows, j : j + columns] for i in range(3) for j in range(3)) / 9.0
    across, down = np.gradient(np.asarray(smooth))
    edge = float(np.percentile(np.hypot(across, down), 99.5))
    low, high = np.percentile(grey, (1.0, 99.0))
    return edge < max(LEAST_EDGE, LEAST_EDGE_SHARE * float(high - low))


def sharpness(image: Image) -> float:
    """Root mean square of the Laplacian over that of the gradient, some 160 pixels wide.

    The variance of the Laplacian alone (Pech-Pacheco et al. 2000) falls with the contrast, so a
    blank wall would be called blurred; over the gradient, the contrast cancels out. Images of real
    cameras have 0.79 to 2.0, and the same images mostly 0.3 to 0.5 after a Gaussian of 8 pixels at
    a width of 640.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        0 or more; infinite where there is no gradient, or too little image.

    Example:
        >>> ramp = np.tile(np.arange(160, dtype=np.uint8)[None, :, None], (120, 1, 3))
        >>> sharpness(ramp)
        0.0
    """
    grey = _reduce(image)
    if min(grey.shape) < 3:
        return float("inf")
    across, down = np.diff(grey, axis=1), np.diff(grey, axis=0)
    gradient = float(np.mean(across**2) + np.mean(down**2))
    if gradient == 0.0:
        return float("inf")
    second = np.diff(across, axis=1)[1:-1] + np.diff(down, axis=0)[:, 1:-1]
    return float(np.sqrt(np.mean(second**2) / gradient))


def is_blurred(image: Image) -> bool:
    """Whether motion or focus took an image's detail.

    Of real images (corridor, office loop, tower) none is, and after a Gaussian of 8 pixels at a
    width of 640 more than 97 % are. A blurred image still says where it was taken far better than
    chance, so such a frame gets a note and is not refused; see ``docs/guide.md``.

    Args:
        image: (H, W, 3) uint8 RGB.

    Example:
        >>> noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
        >>> is_blurred(noise)
        False
    """
    return sharpness(image) < LEAST_SHARPNESS


def _reduce(image: Image) -> NDArray[np.float32]:
    """Green channel, about 160 pixels along its longer side: means of square blocks."""
    block = max(1, round(max(image.shape[:2]) / _WIDTH))
    height, width = (size // block for size in image.shape[:2])
    grey = image[: height * block, : width * block, 1].astype(np.float32)
    return np.asarray(grey.reshape(height, block, width, block).mean(axis=(1, 3)), np.float32)
