"""Resampling as matrices: rows of weights that say how much each old pixel counts in a new one.

One matrix per axis does what image libraries do pixel by pixel. It serves where torch is absent,
and for OpenCV's ``area``, which torch does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.floating]


@lru_cache(maxsize=64)
def weights(old: int, new: int, interpolation: str) -> NDArray[np.float32]:
    """Weights of the old pixels in each new one.

    ``bilinear`` and ``bicubic`` widen with the reduction, so they do not alias (as Pillow's, and
    torch's with ``antialias``); ``area`` counts the share of each pixel that is covered (as
    OpenCV's).

    Args:
        old: Pixels there are.
        new: Pixels there shall be.
        interpolation: ``area``, ``bilinear`` or ``bicubic``.

    Returns:
        (new, old) float32; rows sum to one.

    Example:
        >>> weights(4, 2, "area").tolist()
        [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
        >>> [round(float(share), 3) for share in weights(4, 2, "bilinear")[0]]
        [0.429, 0.429, 0.143, 0.0]
    """
    shares = _covered(old, new) if interpolation == "area" else _filtered(old, new, interpolation)
    rows: NDArray[np.float32] = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    rows.setflags(write=False)
    return rows


def _covered(old: int, new: int) -> _Floats:
    edges = np.arange(new + 1) * (old / new)
    starts, ends = edges[:-1, None], edges[1:, None]
    pixels = np.arange(old)
    covered: _Floats = np.minimum(ends, pixels + 1) - np.maximum(starts, pixels)
    return covered.clip(0.0)


def resized(
    x: NDArray[np.float32], rows: int, columns: int, interpolation: str
) -> NDArray[np.float32]:
    """(..., H, W) float32 to (..., rows, columns)."""
    height, width = x.shape[-2:]
    down, across = weights(height, rows, interpolation), weights(width, columns, interpolation)
    result: NDArray[np.float32] = down @ (x @ across.T)
    return result


def _filtered(old: int, new: int, interpolation: str) -> _Floats:
    """A filter around the centre of each new pixel, as wide as the reduction asks.

    In float32, as torch computes it: at hundreds of pixels its rounding shows in the weights.
    """
    support, kernel = _KERNELS[interpolation]
    scale = np.float32(old / new)
    width = np.maximum(scale, np.float32(1.0))
    half = np.float32(0.5)
    centres = (np.arange(new, dtype=np.float32)[:, None] + half) * scale
    pixels = np.arange(old, dtype=np.float32)
    first = np.floor(centres - support * width + 0.5)
    last = np.floor(centres + support * width + 0.5)
    offset = first.clip(0.0)
    values = kernel(np.abs((pixels - offset) + (offset - centres + half)) * (1 / width))
    return np.where((pixels >= first) & (pixels < last), values, 0.0)


def _triangle(distance: _Floats) -> _Floats:
    return (1.0 - distance).clip(0.0)


def _cubic(distance: _Floats) -> _Floats:
    """Keys' cubic with a = -0.5."""
    near = (1.5 * distance - 2.5) * distance**2 + 1.0
    far = ((2.5 - 0.5 * distance) * distance - 4.0) * distance + 2.0
    return np.where(distance < 1.0, near, np.where(distance < 2.0, far, 0.0))


_KERNELS: dict[str, tuple[float, Callable[[_Floats], _Floats]]] = {
    "bilinear": (1.0, _triangle),
    "bicubic": (2.0, _cubic),
}
