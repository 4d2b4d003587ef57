"""SeqSLAM's images: patches of equal contrast, and differences between all pairs.

Milford and Wyeth, "SeqSLAM", ICRA 2012. The widespread Python port differs by mistakes that are not
repeated here: it subtracts bytes modulo 256, divides by the number of images, turns each patch
over its diagonal, and rounds the normalised values to whole numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory._checks import check_whole
from placememory.errors import InputError

_BLOCK = 1 << 17  # pixels that are compared at a time, so that they stay in the processor's cache


def patch_normalise(images: ArrayLike, patch: int = 8) -> NDArray[np.float32]:
    """Bring every patch of grey images to mean 0 and standard deviation 1.

    Args:
        images: (..., H, W) of any number type; H and W are multiples of ``patch``. SeqSLAM makes
            them 32 x 64.
        patch: Side of a patch, pixels.

    Returns:
        The same shape, float32; patches of one value become 0.

    Raises:
        InputError: The sides are not multiples of the patch.
        SettingError: ``patch`` is not a whole number of at least 2.

    Example:
        >>> patch_normalise([[0, 9, 7, 7], [9, 0, 7, 7]], patch=2).round().tolist()
        [[-1.0, 1.0, 0.0, 0.0], [1.0, -1.0, 0.0, 0.0]]
    """
    check_whole(patch=patch, least=2)
    grey = np.asarray(images, dtype=np.float64)
    if grey.ndim < 2 or grey.size == 0 or grey.shape[-2] % patch or grey.shape[-1] % patch:
        raise InputError(f"images of shape {grey.shape} do not divide into patches of {patch}")
    height, width = grey.shape[-2] // patch, grey.shape[-1] // patch
    patches = grey.reshape(*grey.shape[:-2], height, patch, width, patch)
    centred = patches - patches.mean(axis=(-3, -1), keepdims=True)
    spread = patches.std(axis=(-3, -1), ddof=1, keepdims=True)
    flat = spread <= 1e-9 * np.abs(patches).max(axis=(-3, -1), keepdims=True)
    normal: NDArray[np.float64] = centred / np.where(flat, np.inf, spread)
    return normal.reshape(grey.shape).astype(np.float32)


def difference_matrix(reference: ArrayLike, query: ArrayLike) -> NDArray[np.float32]:
    """Mean absolute difference of pixels between all pairs of images.

    Args:
        reference: (n, ...) images or descriptors of any number type.
        query: (m, ...) of the same size.

    Returns:
        (n, m) float32, what :mod:`placememory.matching.seqslam_classic` takes.

    Raises:
        InputError: Sizes differ.

    Example:
        >>> difference_matrix(np.uint8([[0, 10], [255, 255]]), np.uint8([[10, 10]])).tolist()
        [[5.0], [245.0]]
    """
    first, second = np.asarray(reference), np.asarray(query)
    if first.ndim < 2 or first.shape[1:] != second.shape[1:] or first.size == 0 or not len(second):
        raise InputError(f"images of shapes {first.shape} and {second.shape} cannot be compared")
    pixels = int(np.prod(first.shape[1:]))
    rows, columns = (x.reshape(-1, pixels).astype(np.float32) for x in (first, second))
    differences = np.empty((len(rows), len(columns)), np.float32)
    height = max(1, _BLOCK // pixels)
    for start in range(0, len(rows), height):
        block = rows[start : start + height]
        work = np.empty_like(block)
        for column, image in enumerate(columns):
            np.abs(np.subtract(block, image, out=work), out=work)
            differences[start : start + height, column] = work.mean(axis=1)
    return differences
