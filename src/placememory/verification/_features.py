"""Features: local features of an image; and which of two images belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from placememory._types import Floats
from placememory.frames import Image


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Local features of an image.

    Attributes:
        points: (N, 2) float64, x and y in pixels of the image as it was given.
        descriptors: (N, D) float32, unit norm.
        pixel: Pixels of the image as given for one pixel that the features were taken on; what a
            feature's position is good for.
    """

    points: Floats
    descriptors: NDArray[np.float32]
    pixel: float = 1.0

    def __len__(self) -> int:
        return len(self.points)


class Extractor(Protocol):
    """Takes local features of an image; another method than XFeat needs only this."""

    def extract(self, image: Image) -> Features:
        """Features of an image (H, W, 3) uint8 RGB; none where it shows nothing."""
        ...


def mutual(
    first: NDArray[np.float32], second: NDArray[np.float32], cosine: float
) -> NDArray[np.int64]:
    """Pairs that are each other's nearest.

    Args:
        first: (N, D) unit descriptors.
        second: (M, D) unit descriptors.
        cosine: Pairs less alike are left out, -1 to 1.

    Returns:
        (K, 2) rows of ``first`` and of ``second``, by the row of ``first``.

    Example:
        >>> eye = np.eye(3, dtype=np.float32)
        >>> mutual(eye, eye[[2, 0]], 0.8).tolist()
        [[0, 1], [2, 0]]
    """
    if not len(first) or not len(second):
        return np.zeros((0, 2), np.int64)
    similarity = first @ second.T
    forth, back = similarity.argmax(axis=1), similarity.argmax(axis=0)
    rows = np.arange(len(first))
    kept = (back[forth] == rows) & (similarity[rows, forth] > cosine)
    return np.column_stack((rows[kept], forth[kept])).astype(np.int64)
