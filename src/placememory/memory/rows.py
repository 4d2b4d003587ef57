"""Places with their descriptors, as they go into a store and come out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray

from placememory._io import crc32
from placememory.errors import DescriptorError
from placememory.memory.codes import Codes
from placememory.memory.place import Place

NO_STAMP = int(np.iinfo(np.int64).min)
"""Stands for an unknown stamp in :class:`Columns`."""

Stretch = tuple[str, int, int]
"""Places of a session from an index to another, both included."""

_UNIT_TOLERANCE = 1e-5
_SHOWN = 3


@dataclass(frozen=True)
class Columns:
    """What is searched and filtered of N places, an array each, in the order of place ids.

    Attributes:
        sessions: Names of the sessions, sorted.
        session: (N,) int32: which of them.
        index: (N,) int64: position within the session.
        stamp: (N,) int64 nanoseconds; :data:`NO_STAMP` where unknown.
        floors: Names of the floors.
        floor: (N,) int32: which of them; -1 for none.
        positions: (N, 3) float64 metres, map frame; NaN where a place has no pose.
        yaw: (N,) float64 radians; NaN where unknown.

    Example:
        >>> columns = Columns.of([Place("b", 0, "x.png"), Place("a", 4, "y.png")])
        >>> columns.sessions, columns.session.tolist(), columns.index.tolist()
        (('a', 'b'), [1, 0], [0, 4])
    """

    sessions: tuple[str, ...]
    session: NDArray[np.int32]
    index: NDArray[np.int64]
    stamp: NDArray[np.int64]
    floors: tuple[str, ...]
    floor: NDArray[np.int32]
    positions: NDArray[np.float64]
    yaw: NDArray[np.float64]

    @classmethod
    def of(cls, places: Sequence[Place]) -> Columns:
        """The columns of some places."""
        sessions = tuple(sorted({place.session for place in places}))
        floors = tuple(sorted({place.floor for place in places if place.floor is not None}))
        number = {name: i for i, name in enumerate(sessions)}
        storey = {name: i for i, name in enumerate(floors)}
        poses = [place.pose for place in places]
        nowhere = (np.nan, np.nan, np.nan)
        return cls(
            sessions,
            np.array([number[place.session] for place in places], np.int32),
            np.array([place.index for place in places], np.int64),
            np.array([NO_STAMP if p.stamp is None else p.stamp for p in places], np.int64),
            floors,
            np.array([-1 if p.floor is None else storey[p.floor] for p in places], np.int32),
            np.array([(p.x, p.y, p.z) if p else nowhere for p in poses]).reshape(-1, 3),
            np.array([p.yaw if p else np.nan for p in poses], np.float64),
        )

    def __len__(self) -> int:
        """Count of places."""
        return len(self.index)

    def take(self, rows: NDArray[np.int64]) -> Columns:
        """The columns of some rows; the names stay."""
        chosen = {name: getattr(self, name)[rows] for name in _ARRAYS}
        return replace(self, **chosen)

    def counts(self) -> dict[str, int]:
        """Count of places per session."""
        counted = np.bincount(self.session, minlength=len(self.sessions))
        return {name: int(n) for name, n in zip(self.sessions, counted, strict=True) if n}


_ARRAYS = ("session", "index", "stamp", "floor", "positions", "yaw")


class RowFilter(Protocol):
    """Chooses rows; :class:`placememory.memory.Where` does."""

    def rows(self, rows: PlaceRows) -> NDArray[np.int64]:
        """Numbers of the chosen rows, increasing."""


class PlaceRows:
    """Places with their descriptors, in this process; what a store reads on demand is a subclass.

    Args:
        places: N places.
        descriptors: (N, D) float32, unit rows.
        sequences: (N, Ds) float32 sequence descriptors, NaN rows where a place has none; ``None``
            if the memory keeps none.

    Attributes:
        places: N places.
    """

    places: Sequence[Place]

    def __init__(
        self,
        places: Sequence[Place],
        descriptors: NDArray[np.float32],
        sequences: NDArray[np.float32] | None = None,
    ) -> None:
        self.places = places
        self._descriptors = descriptors
        self._sequences = sequences

    def __len__(self) -> int:
        """Count of places."""
        return len(self.places)

    @property
    def descriptors(self) -> NDArray[np.float32]:
        """(N, D) float32, unit rows; do not change them."""
        return self._descriptors

    @property
    def sequences(self) -> NDArray[np.float32] | None:
        """(N, Ds) float32, NaN rows where a place has none; ``None`` if none are kept."""
        return self._sequences

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The descriptors (M, D) of some rows; others are not read."""
        return self.descriptors[rows]

    @property
    def is_resident(self) -> bool:
        """Whether all descriptors are in this process."""
        return True

    @property
    def codes(self) -> Codes | None:
        """The descriptors in 8 bits, where a store keeps them so."""
        return None

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> PlaceRows:
        """Some of the rows, in the order of ``indices``."""
        chosen = np.array(indices, dtype=np.int64)
        sequences = None if self.sequences is None else self.sequences[chosen]
        return PlaceRows([self.places[i] for i in chosen], self.gather(chosen), sequences)

    def select(self, where: RowFilter) -> PlaceRows:
        """The rows that meet a filter; a store that can filter reads no others."""
        return self.take(where.rows(self))

    def extent(self) -> dict[str, tuple[int, int]]:
        """Of each session, indices that none of its places is below and above."""
        columns = self.columns
        return {
            name: (int(index.min()), int(index.max()))
            for number, name in enumerate(columns.sessions)
            if len(index := columns.index[columns.session == number])
        }

    def stretches(self, wanted: Sequence[Stretch]) -> PlaceRows:
        """The places of some stretches, in the order of their ids; others are not read.

        Example:
            >>> rows = PlaceRows([Place("a", i, f"{i}.png") for i in range(9)], np.eye(9))
            >>> [place.index for place in rows.stretches([("a", 7, 20), ("a", 2, 3)]).places]
            [2, 3, 7, 8]
        """
        columns = self.columns
        chosen = np.zeros(len(self), bool)
        for name, first, last in wanted:
            if name in columns.sessions:
                of_session = columns.session == columns.sessions.index(name)
                chosen |= of_session & (first <= columns.index) & (columns.index <= last)
        return self.take(np.flatnonzero(chosen)).sort_by_id()

    def find_near(self, position: NDArray[np.float64], radius: float) -> list[tuple[str, int]]:
        """Ids of the places within ``radius`` metres of a position (3,); of very many, some."""
        columns = self.columns
        apart = np.linalg.norm(columns.positions - position, axis=1)
        return [
            (columns.sessions[columns.session[row]], int(columns.index[row]))
            for row in np.flatnonzero(apart <= radius).tolist()
        ]

    def with_places(self, places: Sequence[Place]) -> PlaceRows:
        """The same descriptors at other places."""
        return PlaceRows(places, self.descriptors, self.sequences)

    def parts(self, size: int) -> Iterator[PlaceRows]:
        """All rows in parts of ``size``."""
        for start in range(0, len(self), size):
            yield self.take(range(start, min(start + size, len(self))))

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
    def columns(self) -> Columns:
        """What is searched and filtered, an array each."""
        return Columns.of(self.places)

    def counts(self) -> dict[str, int]:
        """Count of places per session."""
        return self.columns.counts()

    @property
    def positions(self) -> NDArray[np.float64]:
        """(N, 3) float64 metres, map frame; NaN where a place has no pose."""
        return self.columns.positions

    @cached_property
    def checksums(self) -> NDArray[np.int64]:
        """(N,) int64: CRC-32 of each row over its place, descriptor and sequence descriptor."""
        texts = [place.to_json() for place in self.places]
        return row_checksums(texts, self.descriptors, self.sequences)

    @property
    def revision(self) -> str:
        """Names this content: the same for the same places and descriptors, in every store."""
        return revision_of(len(self), int(self.checksums.sum()))


class StoredPlaces(Sequence[Place]):
    """Places that are read when they are asked for; kept once all were.

    Args:
        read: Reads places by their rows (M,).
        count: Of all.
    """

    def __init__(self, read: Callable[[NDArray[np.int64]], list[Place]], count: int) -> None:
        self._read, self._count = read, count
        self._all: list[Place] | None = None

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> Place: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Place]: ...
    def __getitem__(self, at: int | slice) -> Place | Sequence[Place]:
        if self._all is not None:
            return self._all[at]
        if isinstance(at, slice):
            return self._read(np.arange(self._count)[at])
        if not -self._count <= at < self._count:
            raise IndexError(f"place {at} of {self._count}")
        [place] = self._read(np.array([int(at) % self._count]))
        return place

    def __iter__(self) -> Iterator[Place]:
        if self._all is None:
            self._all = self._read(np.arange(self._count))
        return iter(self._all)


def row_checksums(
    texts: Sequence[str],
    descriptors: NDArray[np.float32],
    sequences: NDArray[np.float32] | None,
) -> NDArray[np.int64]:
    """(N,) int64: CRC-32 of each row over its place as JSON, descriptor and sequence descriptor."""
    found = np.empty(len(texts), np.int64)
    for i, text in enumerate(texts):
        crc = crc32(descriptors[i].tobytes(), crc32(text.encode()))
        if sequences is not None and not np.isnan(sequences[i, 0]):
            crc = crc32(sequences[i].tobytes(), crc)
        found[i] = crc
    return found


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
        DescriptorError: Another shape, another type, NaN, infinity, a masked value or a zero row.
    """
    if np.ma.isMaskedArray(descriptors) and np.ma.getmaskarray(descriptors).any():
        raise DescriptorError("descriptors hold masked values; fill them, or leave those rows out")
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
