"""What metrics are given, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory.errors import InputError

PROTOCOLS = ("default", "casevpr")


def check_positions(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """(N, C) float64 positions; (N,) becomes (N, 1). NaN rows are positions that are not known.

    Raises:
        InputError: Neither shape, or a value is infinite.
    """
    found = np.asarray(values, dtype=np.float64)
    found = found[:, None] if found.ndim == 1 else found
    if found.ndim != 2:
        raise InputError(f"{name}: positions are (N, 2) or (N, 3), not {found.shape}")
    if np.isinf(found).any():
        raise InputError(f"{name}: row {int(np.isinf(found).any(1).argmax())} is infinite")
    return found


def check_rows(name: str, values: ArrayLike, count: int) -> NDArray[np.int64]:
    """(Q, K) int64 rows of a table of ``count`` rows, -1 where there is none; (K,) is one query.

    Raises:
        InputError: Not whole numbers, or not rows of the table.
    """
    found = np.atleast_2d(np.asarray(values))
    if found.ndim != 2 or (found.size and found.dtype.kind not in "iu"):
        raise InputError(f"{name}: rows are (Q, K) whole numbers, not {found.dtype} {found.shape}")
    if found.size and (found.min() < -1 or found.max() >= count):
        raise InputError(
            f"{name}: rows run from 0 to {count - 1} (-1: none), not from {found.min()} to "
            f"{found.max()}"
        )
    return found.astype(np.int64)


def check_flags(name: str, values: ArrayLike) -> NDArray[np.bool_]:
    """(N,) bool.

    Raises:
        InputError: Not boolean (or 0 and 1), or not one-dimensional.
    """
    found = np.atleast_1d(np.asarray(values))
    if found.ndim != 1 or not np.isin(found, (0, 1)).all():
        raise InputError(f"{name}: true or false for each query is expected, not {values!r}")
    return found.astype(bool)


def check_lengths(**arrays: NDArray[np.generic]) -> None:
    """Check that arrays have a value for the same queries.

    Raises:
        InputError: Their lengths differ.
    """
    if len({len(array) for array in arrays.values()}) > 1:
        lengths = ", ".join(f"{len(array)} {name}" for name, array in arrays.items())
        raise InputError(f"one value a query is expected of each, not {lengths}")
