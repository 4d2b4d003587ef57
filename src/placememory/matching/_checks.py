"""Checks of distances, candidates and settings."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from placememory._types import Rows
from placememory.errors import DescriptorError, InputError, SettingError
from placememory.matching._base import Distances


def check_distances(distances: ArrayLike) -> Distances:
    """A matrix (n, T) of finite float32 or float64; not copied if it is one already.

    Raises:
        DescriptorError: It is not a matrix of finite numbers, or it is empty.

    Example:
        >>> check_distances([[1, 2]]).dtype
        dtype('float32')
    """
    matrix = np.asarray(distances)
    if matrix.ndim != 2 or matrix.size == 0:
        raise DescriptorError(
            f"distances have shape {matrix.shape}; give a matrix of reference rows x window frames "
            "with at least one of each"
        )
    if matrix.dtype.kind not in "fiu":
        raise DescriptorError(f"distances are {matrix.dtype}; give float32")
    if matrix.dtype not in (np.float32, np.float64):
        matrix = matrix.astype(np.float32)
    if not (math.isfinite(matrix.min()) and math.isfinite(matrix.max())):
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        raise DescriptorError(
            f"the distance of reference row {row} to window frame {column} is "
            f"{matrix[row, column]}; check the descriptors for NaN and zero vectors"
        )
    return matrix


def check_candidates(candidates: ArrayLike, rows: int, count: int) -> Rows:
    """The first ``count`` candidates (K,) int64, each a row of a map that has ``rows`` rows.

    Raises:
        InputError: They are not whole numbers in one dimension, or not rows of the map.
    """
    found = np.asarray(candidates)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise InputError(
            f"candidates are {found.dtype} of shape {found.shape}; give row numbers (K,)"
        )
    found = found[:count].astype(np.int64)
    if not all(0 <= row < rows for row in found.tolist()):
        raise InputError(f"candidates {found.tolist()} are not all rows of a map of {rows} rows")
    return found


def check_speeds(slowest: float, fastest: float) -> None:
    """Refuse speeds that are not 0 <= slowest <= fastest.

    Raises:
        SettingError: They are not.
    """
    if not 0 <= slowest <= fastest < np.inf:
        raise SettingError(
            f"slowest is {slowest!r} and fastest is {fastest!r}; give 0 <= slowest <= fastest"
        )
