"""What is refused: descriptors that cannot be compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory.errors import DescriptorError

Vectors = NDArray[np.float32]

_SMALLEST, _LARGEST = 1e-15, 1e15  # squares of others, summed, are at the ends of float32


def checked_rows(name: str, rows: ArrayLike, dim: int | None, *, gaps: bool = False) -> Vectors:
    """Descriptors (N, D) as C-contiguous float32; not copied if they are that already.

    Args:
        name: What they are, for messages.
        rows: (N, D) floating-point numbers.
        dim: The D that is expected; any if ``None``.
        gaps: Whether a row may be all NaN, for a frame that has no descriptor.

    Raises:
        DescriptorError: Another shape or type, NaN, infinity, numbers above 1e15, or a zero row.

    Example:
        >>> checked_rows("descriptors", np.ones((2, 3)), dim=3).dtype
        dtype('float32')
    """
    array = np.asarray(rows)
    if array.dtype.kind != "f":
        raise DescriptorError(f"{name} are floating-point numbers, not {array.dtype}")
    if array.ndim != 2 or array.shape[1] == 0 or array.shape[1] != (dim or array.shape[1]):
        raise DescriptorError(f"{name} are (N, {dim or 'D'}) here, not {array.shape}")
    with np.errstate(over="ignore"):  # an infinity is refused below
        array = np.ascontiguousarray(array, dtype=np.float32)
    if len(array) == 0:
        return array
    peaks = np.maximum(array.max(axis=1), -array.min(axis=1))
    bad = ~((peaks >= _SMALLEST) & (peaks <= _LARGEST))  # NaN is neither
    if gaps and bad.any():
        bad[bad] = ~np.isnan(array[bad]).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        what = "is zero" if peaks[row] < _SMALLEST else "holds NaN, infinity or numbers above 1e15"
        raise DescriptorError(f"{name}: row {row} {what}; leave such frames out")
    return array


def checked_vector(name: str, vector: ArrayLike, dim: int | None) -> Vectors:
    """A descriptor (D,), checked like rows.

    Raises:
        DescriptorError: See :func:`checked_rows`.
    """
    array = np.asarray(vector)
    if array.ndim != 1:
        raise DescriptorError(f"{name} is ({dim or 'D'},) here, not {array.shape}")
    row: Vectors = checked_rows(name, array[None], dim)[0]
    return row
