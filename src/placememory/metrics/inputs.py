"""What metrics are given, checked; and which reference rows are right for a query."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory.errors import InputError, SettingError

Unit = Literal["m", "deg", "frames"]
Unmatched = Literal["drop", "count-as-miss"]
"""What becomes of a query without a true match: left out, or counted as not found."""

UNITS = ("m", "deg", "frames")
UNMATCHED = ("drop", "count-as-miss")
PROTOCOLS = ("default", "casevpr")
_CELLS = 4_000_000  # of a distance matrix at a time: 32 MB


def ranks_of(ks: ArrayLike) -> tuple[int, ...]:
    """The ks of recall@k, increasing.

    Raises:
        SettingError: There is none, or one is below 1.
    """
    chosen = tuple(sorted({int(k) for k in np.atleast_1d(np.asarray(ks))}))
    if not chosen or chosen[0] < 1:
        raise SettingError(f"ks are whole numbers from 1, not {ks!r}")
    return chosen


def positions_of(name: str, values: ArrayLike) -> NDArray[np.float64]:
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


def rows_of(name: str, values: ArrayLike, count: int) -> NDArray[np.int64]:
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


def deep_enough(ranked: NDArray[np.int64], ks: tuple[int, ...], count: int) -> None:
    """Check that recall at the largest k can be told from the candidates.

    Raises:
        InputError: There are fewer candidates than k, although the table has more rows.
    """
    if ranked.shape[1] < min(ks[-1], count):
        raise InputError(
            f"recall@{ks[-1]} needs {min(ks[-1], count)} candidates a query, not "
            f"{ranked.shape[1]}; ask the search for more, or leave out large ks"
        )


def flags_of(name: str, values: ArrayLike) -> NDArray[np.bool_]:
    """(N,) bool.

    Raises:
        InputError: Not boolean (or 0 and 1), or not one-dimensional.
    """
    found = np.atleast_1d(np.asarray(values))
    if found.ndim != 1 or not np.isin(found, (0, 1)).all():
        raise InputError(f"{name}: true or false for each query is expected, not {values!r}")
    return found.astype(bool)


def same_length(**arrays: NDArray[np.generic]) -> None:
    """Check that arrays have a value for the same queries.

    Raises:
        InputError: Their lengths differ.
    """
    if len({len(array) for array in arrays.values()}) > 1:
        lengths = ", ".join(f"{len(array)} {name}" for name, array in arrays.items())
        raise InputError(f"one value a query is expected of each, not {lengths}")


def distance_chunks(
    query: NDArray[np.float64], database: NDArray[np.float64]
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Distances (q, N) of some queries at a time to all database positions.

    Raises:
        InputError: Positions have different numbers of coordinates.
    """
    if query.shape[1] != database.shape[1]:
        raise InputError(
            f"query positions have {query.shape[1]} coordinates, those of the database "
            f"{database.shape[1]}"
        )
    step = max(1, _CELLS // max(1, database.size))
    for first in range(0, len(query), step):
        part = slice(first, min(first + step, len(query)))
        yield part, np.linalg.norm(query[part, None, :] - database[None, :, :], axis=2)


def rows_within(
    query: NDArray[np.float64], database: NDArray[np.float64], radius: float
) -> list[NDArray[np.int64]]:
    """Database rows within a radius (inclusive) of each query position, increasing.

    Example:
        >>> rows_within(np.zeros((1, 2)), np.array([[3.0, 4.0], [9.0, 0.0]]), 5.0)
        [array([0])]
    """
    return [
        np.flatnonzero(near)
        for _, distances in distance_chunks(query, database)
        for near in distances <= radius
    ]
