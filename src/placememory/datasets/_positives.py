"""Lists of correct references, as NumPy files and tables keep them."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._types import Rows
from placememory.datasets._files import as_dataset_error
from placememory.errors import DatasetError
from placememory.frames.tables import read_bytes

_ARRAYS = {
    (module, name)
    for module in ("numpy.core.multiarray", "numpy._core.multiarray", "numpy")
    for name in ("_reconstruct", "scalar", "ndarray", "dtype")
}


class _Lists(pickle.Unpickler):
    """Reads lists, tuples, numbers and arrays of them; refuses the rest, so that nothing runs."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAYS:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, and not only lists of numbers")
        return super().find_class(module, name)


def read_positives(path: Path, queries: int, references: int) -> list[Rows]:
    """Rows of the correct references of each query, from a NumPy file as VPR-Bench has them.

    Understood are rows ``[query, [reference, ...]]``, rows ``[query, reference]``, a list of
    references for each query, and one reference for each query.

    Args:
        path: ``.npy``.
        queries: How many there are.
        references: How many there are.

    Raises:
        DatasetError: The file cannot be read, holds something else, or names other images.
    """
    found: dict[int, Sequence[int]] = {}
    listed = _load(path)
    keyed = listed.shape[1:] == (2,) and [row[0] for row in listed] == list(range(len(listed)))
    for number, row in enumerate(listed):
        found[number] = np.atleast_1d(row[1] if keyed else row).astype(np.int64).tolist()
    missing = sorted(set(range(queries)) - set(found))
    if missing or len(found) > queries:
        raise DatasetError(
            f"{path}: {len(found)} queries where there are {queries} images"
            + (f"; number {missing[0]} is missing" if missing else "")
        )
    for query, rows in found.items():
        if any(not 0 <= row < references for row in rows):
            raise DatasetError(
                f"{path}: query {query} has the references {rows[:5]}, and there are {references}, "
                "counted from 0"
            )
    return [np.unique(np.asarray(found[i], np.int64)) for i in range(queries)]


def _load(path: Path) -> NDArray[Any]:
    """The rows of an array, of numbers or of lists of them."""
    with as_dataset_error():
        file = io.BytesIO(read_bytes(path))
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.hasobject:
            rows = np.asarray(_Lists(file).load(), dtype=object)
            rows = rows.reshape(shape) if rows.shape != shape else rows
        else:
            file.seek(0)
            rows = np.load(file, allow_pickle=False)
    except Exception as error:  # whatever the bytes of an object array make it stumble over
        raise DatasetError(
            f"{path}: cannot read the lists of correct references ({error}); write them as "
            "correspondences.csv: query,reference with the references separated by blanks"
        ) from error
    if rows.ndim == 0 or (rows.dtype.kind not in "iuO"):
        raise DatasetError(f"{path}: lists of whole numbers are expected, not {rows.dtype}")
    return rows
