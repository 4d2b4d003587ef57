"""A Bayer mosaic to RGB, bilinear: each missing colour is the mean of its nearest neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHANNEL = {"r": 0, "g": 1, "b": 2}


def demosaic(mosaic: NDArray[np.unsignedinteger[Any]], pattern: str) -> NDArray[np.uint8]:
    """Colours of a mosaic. At the borders the image is mirrored, which keeps the pattern.

    Args:
        mosaic: (H, W) uint8 or uint16; of uint16 the upper eight bits are kept at the end.
        pattern: Colours of the first two pixels of the first two rows, such as ``"rggb"``.

    Returns:
        (H, W, 3) uint8 RGB.

    Example:
        >>> red = np.array([[200, 0], [0, 0]], np.uint8)
        >>> demosaic(np.tile(red, (2, 2)), "rggb")[1, 1].tolist()
        [200, 0, 0]
    """
    wide = np.pad(mosaic, 1, mode="reflect" if min(mosaic.shape) > 1 else "edge")
    wide = wide.astype(np.uint16 if mosaic.dtype == np.uint8 else np.uint32)
    height, width = mosaic.shape
    result = np.empty((height, width, 3), wide.dtype)
    for place, colour in enumerate(pattern):
        row, column = divmod(place, 2)
        area = _Neighbours(wide, row, column, height, width)
        target = result[row::2, column::2]
        target[..., _CHANNEL[colour]] = area.at(0, 0)
        if colour == "g":
            beside = pattern[2 * row + 1 - column]
            above = pattern[2 * (1 - row) + column]
            target[..., _CHANNEL[beside]] = (area.at(0, -1) + area.at(0, 1) + 1) >> 1
            target[..., _CHANNEL[above]] = (area.at(-1, 0) + area.at(1, 0) + 1) >> 1
        else:
            cross = area.at(0, -1) + area.at(0, 1) + area.at(-1, 0) + area.at(1, 0)
            target[..., 1] = (cross + 2) >> 2
            corners = area.at(-1, -1) + area.at(-1, 1) + area.at(1, -1) + area.at(1, 1)
            target[..., 2 - _CHANNEL[colour]] = (corners + 2) >> 2
    return (result if mosaic.dtype == np.uint8 else result >> 8).astype(np.uint8)


class _Neighbours:
    """Every second pixel of a padded mosaic, and those beside them."""

    def __init__(self, wide: NDArray[Any], row: int, column: int, height: int, width: int) -> None:
        self._wide, self._row, self._column = wide, row + 1, column + 1
        self._end = (height + 1, width + 1)

    def at(self, down: int, right: int) -> NDArray[Any]:
        """The pixels this far from the chosen ones."""
        bottom, side = self._end
        return self._wide[
            self._row + down : bottom + down : 2, self._column + right : side + right : 2
        ]
