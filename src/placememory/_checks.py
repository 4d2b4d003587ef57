"""Checks of settings and descriptors; each raises an error that names the value."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from placememory._types import Vectors
from placememory.errors import DescriptorError, SettingError

_SMALLEST, _LARGEST = 1e-15, 1e15  # squares of others, summed, are at the ends of float32


def check_whole(*, least: int = 1, **settings: object) -> None:
    """Refuse settings that are not whole numbers of at least ``least``.

    Raises:
        SettingError: One is not; the message names it.

    Example:
        >>> check_whole(window=5, candidates=10)
    """
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise SettingError(f"{name} is {value!r}; give a whole number of at least {least}")


def check_positive(**settings: object) -> None:
    """Refuse settings that are not finite numbers above 0.

    Raises:
        SettingError: One is not; the message names it.

    Example:
        >>> check_positive(radius=2.0)
    """
    for name, value in settings.items():
        if not _is_number(value) or not 0 < value < math.inf:  # type: ignore[operator]
            raise SettingError(f"{name} is {value!r}; give a number above 0")


def check_share(**settings: object) -> None:
    """Refuse settings that are not numbers from 0 to 1.

    Raises:
        SettingError: One is not; the message names it.
    """
    for name, value in settings.items():
        if not _is_number(value) or not 0 <= value <= 1:  # type: ignore[operator]
            raise SettingError(f"{name} is {value!r}; give a number from 0 to 1")


def check_choice(name: str, value: object, known: Iterable[str]) -> None:
    """Refuse a setting that is none of a few values.

    Raises:
        SettingError: It is not; the message lists them.
    """
    choices = tuple(known)
    if value not in choices:
        raise SettingError(f"{name} is {value!r}; give one of {', '.join(choices)}")


def check_vectors(name: str, rows: ArrayLike, dim: int | None, *, gaps: bool = False) -> Vectors:
    """Descriptors (N, D) as C-contiguous float32; not copied if they are that already.

    Args:
        name: What they are, for messages.
        rows: (N, D) floating-point numbers.
        dim: The D that is expected; any if ``None``.
        gaps: Whether a row may be all NaN, for a frame that has no descriptor.

    Raises:
        DescriptorError: Another shape or type, NaN, infinity, numbers above 1e15, or a zero row.

    Example:
        >>> check_vectors("descriptors", np.ones((2, 3)), dim=3).dtype
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


def check_vector(name: str, vector: ArrayLike, dim: int | None) -> Vectors:
    """A descriptor (D,), checked like rows.

    Raises:
        DescriptorError: See :func:`check_vectors`.
    """
    array = np.asarray(vector)
    if array.ndim != 1:
        raise DescriptorError(f"{name} is ({dim or 'D'},) here, not {array.shape}")
    row: Vectors = check_vectors(name, array[None], dim)[0]
    return row


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
