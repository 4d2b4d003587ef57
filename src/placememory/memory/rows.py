"""Places with their descriptors, as they go into a store and come out of it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from placememory.errors import DescriptorError
from placememory.memory.place import Place

_UNIT_TOLERANCE = 1e-5
_SHOWN = 3


@dataclass(frozen=True)
class PlaceRows:
    """Places with their descriptors.

    Attributes:
        places: N places.
        descriptors: (N, D) float32, unit rows.
        sequences: (N, Ds) float32 sequence descriptors, NaN rows where a place has none; ``None``
            if the memory keeps none.
        texts: The places as JSON, where they were read so; spares writing them again to check.
    """

    places: Sequence[Place]
    descriptors: NDArray[np.float32]
    sequences: NDArray[np.float32] | None = None
    texts: Sequence[str] = field(default=(), repr=False, compare=False)

    def __len__(self) -> int:
        """Count of places."""
        return len(self.places)

    def take(self, indices: Sequence[int]) -> PlaceRows:
        """Some of the rows, in the order of ``indices``."""
        chosen = np.array(indices, dtype=np.int64)
        sequences = None if self.sequences is None else self.sequences[chosen]
        return PlaceRows([self.places[i] for i in indices], self.descriptors[chosen], sequences)

    def round_to(self, dtype: str) -> PlaceRows:
        """The rows rounded to ``float32`` or ``float16``, as a memory stores them."""
        if dtype == "float32":
            return self
        sequences = None if self.sequences is None else _round(self.sequences, dtype)
        return PlaceRows(self.places, _round(self.descriptors, dtype), sequences)

    def sort_by_id(self) -> PlaceRows:
        """The rows in the order of their place ids."""
        order = sorted(range(len(self)), key=lambda i: self.places[i].id)
        return self if order == list(range(len(self))) else self.take(order)

    @property
    def sequence_dim(self) -> int | None:
        """Length of sequence descriptors; ``None`` if the memory keeps none."""
        return None if self.sequences is None else int(self.sequences.shape[1])

    @cached_property
    def positions(self) -> NDArray[np.float64]:
        """(N, 3) float64 metres, map frame; NaN where a place has no pose."""
        nowhere = (np.nan, np.nan, np.nan)
        found = [(p.pose.x, p.pose.y, p.pose.z) if p.pose else nowhere for p in self.places]
        return np.array(found, dtype=np.float64).reshape(-1, 3)

    @cached_property
    def checksums(self) -> NDArray[np.int64]:
        """(N,) int64: CRC-32 of each row over its place, descriptor and sequence descriptor."""
        return np.array([self._checksum(i) for i in range(len(self))], dtype=np.int64)

    @property
    def revision(self) -> str:
        """Names this content: the same for the same places and descriptors, in every store."""
        return revision_of(len(self), int(self.checksums.sum()))

    def _checksum(self, i: int) -> int:
        crc = zlib.crc32((self.texts[i] if self.texts else self.places[i].to_json()).encode())
        crc = zlib.crc32(self.descriptors[i].tobytes(), crc)
        if self.sequences is not None and not np.isnan(self.sequences[i, 0]):
            crc = zlib.crc32(self.sequences[i].tobytes(), crc)
        return crc


def revision_of(count: int, checksum: int) -> str:
    """A revision by the count of places and the sum of their checksums.

    Example:
        >>> revision_of(2, 255)
        '2-ff'
    """
    return f"{count}-{checksum:x}"


def _round(array: NDArray[np.float32], dtype: str) -> NDArray[np.float32]:
    return array.astype(dtype).astype(np.float32)


def unit_rows(descriptors: object, dim: int, names: Sequence[str] = ()) -> NDArray[np.float32]:
    """Check descriptors and bring them to unit norm.

    Args:
        descriptors: (N, D) or (D,), of any float type.
        dim: The D that is expected.
        names: Names of the rows, for messages.

    Returns:
        (N, D) float32; rows that have unit norm already stay as they are.

    Raises:
        DescriptorError: Another shape, another type, NaN, infinity or a zero row.
    """
    array = np.asarray(descriptors)
    if array.dtype.kind != "f":
        raise DescriptorError(f"descriptors are floating-point numbers, not {array.dtype}")
    with np.errstate(over="ignore"):  # an infinity is refused below
        array = np.atleast_2d(array).astype(np.float32, copy=False)
    if array.ndim != 2 or array.shape[1] != dim:
        raise DescriptorError(f"descriptors are (N, {dim}) here, not {array.shape}")
    _refuse(~np.isfinite(array).all(axis=1), "hold NaN or infinity", names)
    norms = np.linalg.norm(array.astype(np.float64), axis=1)
    _refuse(norms < 1e-12, "are zero", names)
    off = np.abs(norms - 1.0) > _UNIT_TOLERANCE
    if not off.any():
        return np.ascontiguousarray(array)
    scaled = np.array(array)
    scaled[off] = array[off] / norms[off, None]
    return scaled


def _refuse(bad: NDArray[np.bool_], what: str, names: Sequence[str]) -> None:
    where = np.flatnonzero(bad)
    if len(where):
        shown = ", ".join(names[i] if i < len(names) else f"row {i}" for i in where[:_SHOWN])
        more = ", …" if len(where) > _SHOWN else ""
        raise DescriptorError(f"{len(where)} descriptors {what}: {shown}{more}")
