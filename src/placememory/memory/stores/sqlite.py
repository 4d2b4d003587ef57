"""The embedded store: one SQLite file; one writer, many readers, safe to kill, opened at once.

The file has two tables, and every value in them carries a checksum:

- ``columns`` holds what is searched and filtered, as packed records of up to 512 places of one
  session with neighbouring indices. They are all read when the memory is opened.
- ``chunks`` holds the manifest, the encoder card, the names of sessions and floors, and, in chunks
  of a few rows, places as JSON, descriptors, their 8-bit codes and sequence descriptors. A chunk of
  rows is written once and never changed; a record says in which chunk and where in it each part of
  a place lies. So they can be read when they are first used, long after the memory was opened, and
  a reader notices when another process has replaced or removed them meanwhile. Codes are derived
  from the descriptors of the same number, and made anew where they are missing or damaged.

The journal is a rollback journal (``office.memory-journal``), which exists only while a write is
under way: what is committed is always in the one file, and readers need no other file. A write
that was cut off is undone by the next process that opens the memory and may write.
"""

from __future__ import annotations

import glob
import json
import logging
import os
import sqlite3
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._io import check_file, crc32
from placememory.errors import (
    MemoryChangedError,
    MemoryDamagedError,
    MemoryFormatError,
    MemoryLockedError,
    MemoryNotFoundError,
    MemoryStoreError,
)
from placememory.memory.codes import Codes
from placememory.memory.place import Place
from placememory.memory.rows import (
    NO_STAMP,
    Columns,
    PlaceRows,
    StoredPlaces,
    revision_of,
    row_checksums,
)
from placememory.memory.stores.port import FORMAT, Manifest, Store, check_rows, reading_places

_log = logging.getLogger(__name__)

APPLICATION_ID = 0x706C6163  # "plac"
_SCHEMA = """
CREATE TABLE columns (
    session INTEGER NOT NULL,
    part INTEGER NOT NULL,
    data BLOB NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (session, part)
);
CREATE TABLE chunks (
    key INTEGER PRIMARY KEY,
    data BLOB NOT NULL,
    crc INTEGER NOT NULL,
    live INTEGER NOT NULL
);
"""
_PAGE_BYTES = 1 << 15
_WAIT_SECONDS = 10.0

_RECORD = np.dtype(
    [
        ("session", "<i4"),
        ("floor", "<i4"),
        ("index", "<i8"),
        ("stamp", "<i8"),
        ("x", "<f8"),
        ("y", "<f8"),
        ("z", "<f8"),
        ("yaw", "<f8"),
        ("place", "<i8"),
        ("descriptor", "<i8"),
        ("sequence", "<i8"),
        ("crc", "<u4"),
    ]
)
_PART_BITS = 9  # places whose index agrees but for its last 9 bits share a value of `columns`
_SLOT_BITS = 8  # rows of a chunk: at most 256
_KIND_SHIFT = 56
_MANIFEST, _CARD, _NAMES, _PLACES, _DESCRIPTORS, _SEQUENCES, _CODES = range(7)
_NOT_ROWS = (_MANIFEST, _CARD, _NAMES)
_CHUNK_BYTES = 32_000  # fits a page of the file
_PLACES_A_CHUNK = 64
_NONE = -1

Records = NDArray[Any]


class SqliteStore(Store):
    """Rows in one SQLite file.

    Descriptors are little-endian float32 or float16; a place is one line of JSON.
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        """Open an existing file.

        Raises:
            MemoryNotFoundError: There is no such file.
            MemoryFormatError: It is no memory, or one of another version.
        """
        self.uri, self._path = str(path), path
        self._readonly, self._wrote = readonly, False
        self._lock = threading.RLock()
        self._checked: set[int] = set()
        self._connection = open_file(path, FORMAT, readonly=readonly)

    @classmethod
    def create(cls, path: Path, manifest: Manifest, card: bytes) -> SqliteStore:
        """Make a new file; it appears under its name only when it is complete.

        Raises:
            MemoryLockedError: There is a memory of this name already.
            MemoryStoreError: The folder cannot be written to, or the disk is full.
        """
        part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _discard_leftovers(path)
            try:
                _write_empty(part, manifest, card)
                _publish(part, path)
            finally:
                _discard(part)
        except OSError as error:
            raise MemoryStoreError(f"{path}: cannot be made ({error.strerror or error})") from error
        except sqlite3.OperationalError as error:
            raise _operational(str(path), error) from error
        return cls(path)

    @property
    def manifest(self) -> Manifest:
        """See :class:`Store`."""
        with self._errors():
            data = self._chunk(_key(_MANIFEST, 0))
        try:
            return Manifest.model_validate_json(data)
        except (ValueError, TypeError) as error:
            raise MemoryDamagedError(f"{self.uri}: the manifest is damaged ({error})") from error

    @property
    def card(self) -> bytes:
        """See :class:`Store`."""
        with self._errors():
            return self._chunk(_key(_CARD, 0))

    def update(self, **fields: Any) -> None:
        """See :class:`Store`."""
        with self._writing() as state:
            state.manifest = state.manifest.change(**fields)

    def check_writable(self) -> None:
        """See :class:`Store`."""
        if self._readonly:
            raise MemoryStoreError(
                f"{self.uri}: the memory cannot be written: it was opened for reading only"
            )
        if not _may_write(self._path.resolve()):
            raise MemoryStoreError(
                f"{self.uri}: the memory cannot be written: the file or its folder may not be"
            )
        with self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("ROLLBACK")

    def read(self) -> PlaceRows:
        """See :class:`Store`."""
        with self._reading():
            manifest, names = self.manifest, self._names()
            self._check_size()
            records = self._records("")
        order = _order_by_name(records["session"], names)
        rows = _StoredRows(self, manifest, records if order is None else records[order], names)
        check_rows(rows, manifest, self.uri)
        return rows

    def check(self) -> None:
        """See :class:`Store`."""
        with self._errors():
            found = self._connection.execute("PRAGMA integrity_check").fetchall()
        if found != [("ok",)]:
            raise MemoryDamagedError(f"{self.uri}: the file is damaged ({found[0][0]})")
        with self._reading():
            self._checked.clear()
            rows = self.read()
            assert isinstance(rows, _StoredRows)
            self._check_chunks(rows)
            rows.check()

    def upsert(self, rows: PlaceRows) -> None:
        """See :class:`Store`."""
        with self._writing() as state:
            sessions = [place.session for place in rows.places]
            for name in sorted(set(sessions)):
                chosen = np.array([i for i, s in enumerate(sessions) if s == name])
                chosen = chosen[np.argsort([rows.places[i].index for i in chosen])]
                self._upsert_session(state, name, rows, chosen)

    def remove(self, session: str) -> int:
        """See :class:`Store`."""
        with self._writing() as state:
            number = state.number(session)
            records = self._records("WHERE session = ?", number)
            for field, kind in _FIELDS:
                self._release(kind, records[field])
            self._connection.execute("DELETE FROM columns WHERE session = ?", (number,))
            state.count(-len(records), -int(records["crc"].sum(dtype=np.int64)))
        return len(records)

    def close(self) -> None:
        """See :class:`Store`."""
        with self._lock:
            self._connection.close()

    def vectors(
        self, kind: int, refs: NDArray[np.int64], dim: int, dtype: str, generation: int
    ) -> NDArray[np.float32]:
        """Read vectors (M, dim) float32 by where they lie; NaN rows where they lie nowhere.

        Raises:
            MemoryChangedError: They were replaced or removed since generation ``generation``.
            MemoryDamagedError: Their checksum is wrong.
        """
        found = np.empty((len(refs), dim), np.float32)
        stored = np.dtype(dtype).newbyteorder("<")
        with self._reading():
            for key, rows, slots in _runs(kind, refs):
                if key is None:
                    found[rows] = np.nan
                    continue
                chunk = np.frombuffer(self._rows_chunk(key, generation), stored)
                if len(chunk) % dim or int(slots.max()) >= len(chunk) // dim:
                    raise MemoryDamagedError(f"{self.uri}: a chunk of descriptors is too short")
                found[_slice(rows)] = chunk.reshape(-1, dim)[_slice(slots)]
        return found

    def codes(self, refs: NDArray[np.int64], dim: int, dtype: str, generation: int) -> Codes:
        """Read the codes of descriptors by where those lie; errors as for :meth:`vectors`."""
        values = np.empty((len(refs), dim), np.int8)
        scales, errors = np.empty((2, len(refs)), np.float32)
        with self._reading():
            for key, rows, slots in _runs(_CODES, refs):
                assert key is not None
                at, there = _slice(rows), _slice(slots)
                try:
                    data = self._chunk(key)
                except MemoryDamagedError:
                    _log.info("%s: codes %x are made anew", self.uri, key)
                    part = Codes.of(self.vectors(_DESCRIPTORS, refs[rows], dim, dtype, generation))
                    values[at], scales[at], errors[at] = part.values, part.scales, part.errors
                    continue
                count = len(data) // (dim + 8)
                scales[at] = np.frombuffer(data, "<f4", count)[there]
                errors[at] = np.frombuffer(data, "<f4", count, offset=4 * count)[there]
                values[at] = np.frombuffer(data, np.int8, offset=8 * count).reshape(-1, dim)[there]
        return Codes(values, scales, errors)

    def texts(self, refs: NDArray[np.int64], generation: int) -> list[str]:
        """Read places as JSON by where they lie; errors as for :meth:`vectors`."""
        found = [""] * len(refs)
        with self._reading():
            for key, rows, slots in _runs(_PLACES, refs):
                lines = [] if key is None else self._rows_chunk(key, generation).split(b"\n")
                for row, slot in zip(rows.tolist(), slots.tolist(), strict=True):
                    if slot >= len(lines):
                        raise MemoryDamagedError(f"{self.uri}: a place is missing in its chunk")
                    found[row] = lines[slot].decode()
        return found

    def _upsert_session(
        self, state: _State, session: str, rows: PlaceRows, chosen: NDArray[np.int64]
    ) -> None:
        """Write the rows ``chosen``, of one session, in the order of their indices."""
        places = [rows.places[i] for i in chosen]
        texts = [place.to_json() for place in places]
        descriptors = rows.gather(chosen)
        sequences = None if rows.sequences is None else rows.sequences[chosen]
        new = np.zeros(len(chosen), _RECORD)
        new["session"] = state.number(session)
        new["index"] = [place.index for place in places]
        new["floor"] = [_NONE if p.floor is None else state.number(p.floor) for p in places]
        new["stamp"] = [NO_STAMP if p.stamp is None else p.stamp for p in places]
        nowhere = (np.nan, np.nan, np.nan, np.nan)
        poses = [(p.x, p.y, p.z, p.yaw) if (p := place.pose) else nowhere for place in places]
        for axis, values in zip("xyz", np.array(poses).T, strict=False):
            new[axis] = values
        new["yaw"] = [pose[3] for pose in poses]
        new["crc"] = row_checksums(texts, descriptors, sequences)
        old, known, blocks = self._known(new)
        new["place"] = self._append_places(state, texts)
        new["descriptor"] = self._append_changed(
            state, _DESCRIPTORS, descriptors, old["descriptor"]
        )
        new["sequence"] = _NONE
        if sequences is not None:
            new["sequence"] = self._append_changed(state, _SEQUENCES, sequences, old["sequence"])
        for field, kind in _FIELDS:
            self._release(kind, old[field][old[field] != new[field]])
        _merge_blocks(self._connection, blocks, new)
        state.count(
            int((~known).sum()),
            int(new["crc"].sum(dtype=np.int64)) - int(old["crc"][known].sum(dtype=np.int64)),
        )

    def _known(self, new: Records) -> tuple[Records, NDArray[np.bool_], dict[Any, Records]]:
        """The stored records of the same places (references -1 where there are none)."""
        old = np.zeros(len(new), _RECORD)
        for field, _ in _FIELDS:
            old[field] = _NONE
        known = np.zeros(len(new), np.bool_)
        blocks: dict[Any, Records] = {}
        parts = new["index"] >> _PART_BITS
        for part in np.unique(parts).tolist():
            key = (int(new["session"][0]), part)
            block = blocks[key] = self._records("WHERE session = ? AND part = ?", *key)
            mine = np.flatnonzero(parts == part)
            at = np.searchsorted(block["index"], new["index"][mine])
            inside = at < len(block)
            same = np.zeros(len(mine), np.bool_)
            same[inside] = block["index"][at[inside]] == new["index"][mine[inside]]
            old[mine[same]] = block[at[same]]
            known[mine[same]] = True
        return old, known, blocks

    def _append_places(self, state: _State, texts: Sequence[str]) -> NDArray[np.int64]:
        lines = [text.encode() for text in texts]
        parts = [lines[i : i + _PLACES_A_CHUNK] for i in range(0, len(lines), _PLACES_A_CHUNK)]
        refs = [self._append(state, _PLACES, b"\n".join(part), len(part)) for part in parts]
        return np.concatenate(refs)

    def _append_changed(
        self, state: _State, kind: int, vectors: NDArray[np.float32], old: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Where the vectors lie: those that are stored already stay there; NaN lies nowhere."""
        dtype, dim = state.manifest.dtype, vectors.shape[1]
        refs = old.copy()
        there = self.vectors(kind, old, dim, dtype, state.manifest.generation)
        changed = ~(there == vectors).all(axis=1)
        refs[np.isnan(vectors[:, 0])] = _NONE
        at = np.flatnonzero(changed & ~np.isnan(vectors[:, 0]))
        stored = np.dtype(dtype).newbyteorder("<")
        step = max(1, min(1 << _SLOT_BITS, _CHUNK_BYTES // (dim * stored.itemsize)))
        for start in range(0, len(at), step):
            part = at[start : start + step]
            data = vectors[part].astype(stored).tobytes()
            refs[part] = self._append(state, kind, data, len(part))
            if kind == _DESCRIPTORS:
                codes = Codes.of(vectors[part])
                columns = np.concatenate([codes.scales, codes.errors]).astype("<f4")
                data = columns.tobytes() + codes.values.tobytes()
                self._put(_key(_CODES, state.manifest.chunks), data)
        return refs

    def _append(self, state: _State, kind: int, data: bytes, rows: int) -> NDArray[np.int64]:
        """Write a chunk of rows under a number that was never used; where its rows lie."""
        number = state.next_chunk()
        self._put(_key(kind, number), data, rows)
        return (number << _SLOT_BITS) + np.arange(rows, dtype=np.int64)

    def _release(self, kind: int, refs: NDArray[np.int64]) -> None:
        """Count rows of chunks as no longer used; a chunk without used rows goes."""
        numbers, counts = np.unique(refs[refs >= 0] >> _SLOT_BITS, return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            key = _key(kind, number)
            left = self._live(key) - count
            if left > 0:
                self._connection.execute(
                    "UPDATE chunks SET live = ? WHERE key = ?", (_seal(key, left), key)
                )
            else:
                self._connection.execute("DELETE FROM chunks WHERE key = ?", (key,))
                if kind == _DESCRIPTORS:
                    codes = _key(_CODES, number)
                    self._connection.execute("DELETE FROM chunks WHERE key = ?", (codes,))

    def _check_size(self) -> None:
        pages, size = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "page_size")
        )
        there = self._path.stat().st_size
        if there < pages * size:
            raise MemoryDamagedError(
                f"{self.uri}: the file is cut off ({there:,} of {pages * size:,} bytes); restore "
                "it from a copy, or build it again"
            )

    def _live(self, key: int) -> int:
        found = self._connection.execute("SELECT live FROM chunks WHERE key = ?", (key,)).fetchone()
        sealed = None if found is None else found[0]
        if not isinstance(sealed, int) or sealed != _seal(key, sealed >> 32):
            raise MemoryDamagedError(f"{self.uri}: the file is damaged (use of chunk {key:x})")
        return sealed >> 32

    def _names(self) -> list[str]:
        names: list[str] = json.loads(self._chunk(_key(_NAMES, 0)))
        return names

    def _records(self, where: str, *values: object) -> Records:
        """Records of the columns, in the order of sessions' numbers and of indices."""
        found = self._connection.execute(
            f"SELECT session, part, data, crc FROM columns {where} ORDER BY session, part", values
        ).fetchall()
        for session, part, data, crc in found:
            whole = all(map(isinstance, (session, part, data), (int, int, bytes)))
            if not whole or _checksum(_PAIR.pack(session, part), data) != crc:
                raise MemoryDamagedError(f"{self.uri}: the checksum of a block of places is wrong")
        return np.frombuffer(b"".join(data for _, _, data, _ in found), _RECORD)

    def _chunk(self, key: int) -> bytes:
        found = self._connection.execute(
            "SELECT data, crc FROM chunks WHERE key = ?", (key,)
        ).fetchone()
        if found is None:
            raise MemoryDamagedError(f"{self.uri}: the file is damaged (chunk {key:x} is missing)")
        data, crc = found
        if key not in self._checked:
            if not isinstance(data, bytes) or _checksum(_KEY.pack(key), data) != crc:
                raise MemoryDamagedError(
                    f"{self.uri}: a checksum is wrong ({_WHAT[key >> _KIND_SHIFT]}); restore it "
                    "from a copy, or build it again"
                )
            if key >> _KIND_SHIFT not in _NOT_ROWS:  # those change
                self._checked.add(key)
        assert isinstance(data, bytes)
        return data

    def _rows_chunk(self, key: int, generation: int) -> bytes:
        try:
            return self._chunk(key)
        except MemoryDamagedError:
            if self.manifest.generation != generation:
                raise MemoryChangedError(
                    f"{self.uri}: another process has replaced or removed places since they were "
                    "read; refresh the memory"
                ) from None
            raise

    def _put(self, key: int, data: bytes, live: int = 1) -> None:
        _write_chunk(self._connection, key, data, live)

    def _check_chunks(self, rows: _StoredRows) -> None:
        """Compare the chunks that are there, and how many of their rows are used."""
        used = {_key(kind, 0): 1 for kind in _NOT_ROWS}
        for field, kind in _FIELDS:
            refs = rows.records[field]
            numbers, counts = np.unique(refs[refs >= 0] >> _SLOT_BITS, return_counts=True)
            keys = [_key(kind, number) for number in numbers.tolist()]
            used.update(zip(keys, counts.tolist(), strict=True))
        found = self._connection.execute(
            "SELECT key FROM chunks WHERE key < ?", (_key(_CODES, 0),)
        ).fetchall()
        there = {key for (key,) in found}
        if there != set(used) or any(self._live(key) != n for key, n in used.items()):
            raise MemoryDamagedError(f"{self.uri}: the file is damaged (its use of chunks)")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """One state of the file; may be nested, and stand in a write."""
        with self._errors():
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")

    @contextmanager
    def _writing(self) -> Iterator[_State]:
        """One transaction; the state that is yielded is written back at its end."""
        with self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            if not self._wrote:
                self._wrote = True
                _discard_leftovers(self._path)
            try:
                state = _State(self.manifest, self._names())
                names = len(state.names)
                yield state
                generation = state.manifest.generation + 1
                manifest = state.manifest.change(generation=generation)
                self._put(_key(_MANIFEST, 0), manifest.model_dump_json().encode())
                if len(state.names) > names:
                    self._put(_key(_NAMES, 0), _join(state.names))
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors as ours; one thread at a time."""
        with self._lock, sqlite_errors(self.uri):
            yield


class _State:
    """What a write changes beside the rows.

    Attributes:
        manifest: To be written back.
        names: Of sessions and floors, by number.
    """

    def __init__(self, manifest: Manifest, names: list[str]) -> None:
        self.manifest = manifest
        self.names = names
        self._number = {name: i for i, name in enumerate(names)}

    def number(self, name: str) -> int:
        """The number of a session or floor, a new one if it has none."""
        if name not in self._number:
            self._number[name] = len(self.names)
            self.names.append(name)
        return self._number[name]

    def next_chunk(self) -> int:
        """A number that no chunk ever had."""
        self.manifest = self.manifest.model_copy(update={"chunks": self.manifest.chunks + 1})
        return self.manifest.chunks

    def count(self, places: int, checksum: int) -> None:
        """Add to the count of places and to their checksum."""
        manifest = self.manifest
        self.manifest = manifest.model_copy(
            update={"count": manifest.count + places, "checksum": manifest.checksum + checksum}
        )


class _StoredRows(PlaceRows):
    """Rows whose columns are here, and whose places and descriptors are read when first used."""

    def __init__(
        self, store: SqliteStore, manifest: Manifest, records: Records, names: list[str]
    ) -> None:
        self._store, self._manifest = store, manifest
        self.records, self._names = records, names
        self.places = StoredPlaces(self._read_places, len(records))

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def descriptors(self) -> NDArray[np.float32]:
        """All descriptors; read when they are first asked for, and kept."""
        return self._vectors(_DESCRIPTORS, "descriptor", self._manifest.dim, slice(None))

    @cached_property
    def sequences(self) -> NDArray[np.float32] | None:
        """All sequence descriptors; read when they are first asked for, and kept."""
        dim = self._manifest.sequence_dim
        return None if dim is None else self._vectors(_SEQUENCES, "sequence", dim, slice(None))

    @property
    def sequence_dim(self) -> int | None:
        """See :class:`PlaceRows`."""
        return self._manifest.sequence_dim

    @property
    def is_resident(self) -> bool:
        """See :class:`PlaceRows`."""
        return "descriptors" in self.__dict__

    @cached_property
    def codes(self) -> Codes:
        """See :class:`PlaceRows`; read when they are first asked for, and kept."""
        manifest, refs = self._manifest, self.records["descriptor"]
        return self._store.codes(refs, manifest.dim, manifest.dtype, manifest.generation)

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """See :class:`PlaceRows`."""
        if self.is_resident:
            return self.descriptors[rows]
        return self._vectors(_DESCRIPTORS, "descriptor", self._manifest.dim, rows)

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> PlaceRows:
        """See :class:`PlaceRows`."""
        rows, dim = np.array(indices, np.int64), self._manifest.sequence_dim
        sequences = None if dim is None else self._vectors(_SEQUENCES, "sequence", dim, rows)
        return PlaceRows(self._read_places(rows), self.gather(rows), sequences)

    @cached_property
    def columns(self) -> Columns:
        """See :class:`PlaceRows`."""
        number, session = _renumber(self._names, self.records["session"])
        storey, floor = _renumber(self._names, self.records["floor"])
        xyz = [np.ascontiguousarray(self.records[axis]) for axis in "xyz"]
        index, stamp, yaw = (
            np.ascontiguousarray(self.records[name]) for name in ("index", "stamp", "yaw")
        )
        return Columns(number, session, index, stamp, storey, floor, np.column_stack(xyz), yaw)

    @cached_property
    def checksums(self) -> NDArray[np.int64]:
        """See :class:`PlaceRows`."""
        return self.records["crc"].astype(np.int64)

    @property
    def revision(self) -> str:
        """See :class:`PlaceRows`."""
        return revision_of(self._manifest.count, self._manifest.checksum)

    def check(self) -> None:
        """Read every row and compare it with its checksum and its columns.

        Raises:
            MemoryDamagedError: They disagree.
        """
        for start in range(0, len(self), _CHECKED_AT_ONCE):
            rows = np.arange(start, min(start + _CHECKED_AT_ONCE, len(self)))
            part = self.take(rows)
            mine, stored = Columns.of(part.places), self.columns.take(rows)
            same = np.array_equal(part.checksums, self.checksums[rows]) and all(
                np.array_equal(getattr(mine, name), getattr(stored, name), equal_nan=True)
                for name in ("index", "stamp", "positions", "yaw")
            )
            sessions = [self.columns.sessions[i] for i in stored.session]
            floors = [None if i < 0 else self.columns.floors[i] for i in stored.floor]
            names = [(place.session, place.floor) for place in part.places]
            if not same or names != list(zip(sessions, floors, strict=True)):
                raise MemoryDamagedError(
                    f"{self._store.uri}: the checksum of places {start} to {rows[-1]} is wrong"
                )

    def _vectors(
        self, kind: int, field: str, dim: int, rows: slice | NDArray[np.int64]
    ) -> NDArray[np.float32]:
        manifest = self._manifest
        refs = self.records[field][rows]
        return self._store.vectors(kind, refs, dim, manifest.dtype, manifest.generation)

    def _read_places(self, rows: NDArray[np.int64]) -> list[Place]:
        refs = self.records["place"][rows]
        with reading_places(self._store.uri):
            return [Place.from_json(t) for t in self._store.texts(refs, self._manifest.generation)]


_CHECKED_AT_ONCE = 4096
_FIELDS = (("place", _PLACES), ("descriptor", _DESCRIPTORS), ("sequence", _SEQUENCES))
_WHAT = (
    "manifest",
    "encoder card",
    "names",
    "places",
    "descriptors",
    "sequence descriptors",
    "codes",
)
_PAIR = struct.Struct("<qq")
_KEY = struct.Struct("<q")


def open_file(path: Path, version: int, *, readonly: bool) -> sqlite3.Connection:
    """Connect to an existing memory file.

    Raises:
        MemoryNotFoundError: There is no such file.
        MemoryFormatError: It is no memory, or one of another version than ``version``.
    """
    found = file_format(path)
    if found != version:
        raise MemoryFormatError(f"{path}: written in format {found}, this version reads {version}")
    with sqlite_errors(str(path)):
        return _connect(path.resolve(), readonly=readonly)


def file_format(path: Path) -> int:
    """The version of a memory file's layout.

    Raises:
        MemoryNotFoundError: There is no such file.
        MemoryFormatError: It is no memory.
    """
    if os.path.isdir(path):  # noqa: PTH112 - false, not an error, for too long a name
        raise MemoryFormatError(
            f"{path} is a folder; a memory is one file (a Milvus Lite folder is opened as "
            f"milvus-lite:{path})"
        )
    if not os.path.exists(path):  # noqa: PTH110 - as above
        raise MemoryNotFoundError(f"{path}: there is no such memory; make it with build")
    check_file(path, MemoryFormatError)
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise MemoryStoreError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not header.startswith(b"SQLite format 3\0"):
        raise MemoryFormatError(f"{path}: this file is not a place memory")
    version, application = (int.from_bytes(header[at : at + 4], "big") for at in (60, 68))
    if application != APPLICATION_ID:
        raise MemoryFormatError(f"{path}: this SQLite file is not a place memory")
    return version


@contextmanager
def sqlite_errors(uri: str) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise _operational(uri, error) from error
    except sqlite3.ProgrammingError as error:
        raise MemoryStoreError(f"{uri}: the memory is closed ({error})") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError, OverflowError) as error:
        if "not a database" in str(error):
            raise MemoryFormatError(f"{uri}: this file is not a place memory") from error
        raise MemoryDamagedError(f"{uri}: the file is damaged ({error})") from error


def _key(kind: int, number: int) -> int:
    return (kind << _KIND_SHIFT) + number


def _checksum(name: bytes, data: bytes) -> int:
    """Of a value and of the key it is stored under, so that values cannot change places."""
    return crc32(data, crc32(name))


def _write_chunk(connection: sqlite3.Connection, key: int, data: bytes, live: int = 1) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?)",
        (key, data, _checksum(_KEY.pack(key), data), _seal(key, live)),
    )


def _seal(key: int, live: int) -> int:
    """How many rows of a chunk are used, with a checksum of its own."""
    return (live << 32) + crc32(_PAIR.pack(key, live))


def _join(names: Sequence[str]) -> bytes:
    return json.dumps(names, ensure_ascii=False).encode()


def _runs(
    kind: int, refs: NDArray[np.int64]
) -> Iterator[tuple[int | None, NDArray[np.int64], NDArray[np.int64]]]:
    """Chunk by chunk: its key (``None`` for nowhere), which of the rows lie in it, and where."""
    if not len(refs):
        return
    numbers = refs >> _SLOT_BITS
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    edges = np.flatnonzero(np.diff(ordered)) + 1
    for rows in np.split(order, edges):
        number = int(numbers[rows[0]])
        slots = refs[rows] & ((1 << _SLOT_BITS) - 1)
        yield (None if number < 0 else _key(kind, number)), rows, slots


def _slice(at: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """Neighbours as a slice, which is copied in one go."""
    first, last = int(at[0]), int(at[-1])
    if last - first + 1 != len(at) or (len(at) > 2 and not (at[1:] - at[:-1] == 1).all()):
        return at
    return slice(first, last + 1)


def _order_by_name(session: NDArray[np.int32], names: list[str]) -> NDArray[np.int64] | None:
    """The order of rows by the names of their sessions; ``None`` where they have it."""
    rank = np.empty(len(names), np.int64)
    rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    ranks = rank[session]
    return None if (np.diff(ranks) >= 0).all() else np.argsort(ranks, kind="stable")


def _renumber(
    names: list[str], numbers: NDArray[np.int32]
) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """The names in use, sorted, and numbers into them; -1 stays."""
    used = sorted((names[i], i) for i in np.unique(numbers).tolist() if i >= 0)
    table = np.full(len(names) + 1, _NONE, np.int32)
    table[[i for _, i in used]] = np.arange(len(used))
    return tuple(name for name, _ in used), table[numbers]


def _merge_blocks(connection: sqlite3.Connection, blocks: dict[Any, Records], new: Records) -> None:
    """Write the blocks with the new records in place of the old ones."""
    parts = new["index"] >> _PART_BITS
    for (session, part), block in blocks.items():
        mine = new[parts == part]
        kept = block[~np.isin(block["index"], mine["index"])]
        merged = np.concatenate([kept, mine])
        data = merged[np.argsort(merged["index"], kind="stable")].tobytes()
        connection.execute(
            "INSERT OR REPLACE INTO columns VALUES (?, ?, ?, ?)",
            (session, part, data, _checksum(_PAIR.pack(session, part), data)),
        )


def _write_empty(part: Path, manifest: Manifest, card: bytes) -> None:
    with closing(sqlite3.connect(part)) as connection:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.executescript(_SCHEMA)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        values = (manifest.model_dump_json().encode(), card, _join([]))
        for kind, data in zip(_NOT_ROWS, values, strict=True):
            _write_chunk(connection, _key(kind, 0), data)
        connection.commit()


def _discard(part: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        part.with_name(part.name + suffix).unlink(missing_ok=True)


def _discard_leftovers(path: Path) -> None:
    """Remove what processes that were killed while they made this memory left beside it."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part*"):
        process, thread = left.name.removeprefix(f".{path.name}.").split(".")[:2]
        if process.isdigit() and not _is_running(int(process), thread):
            left.unlink(missing_ok=True)


def _is_running(process: int, thread: str) -> bool:
    if process == os.getpid():
        return thread in {str(running.ident) for running in threading.enumerate()}
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return True


def _publish(part: Path, path: Path) -> None:
    """Give a complete file its name, unless somebody was faster."""
    try:
        os.link(part, path)  # unlike a rename, this fails where the name is taken
    except FileExistsError as error:
        raise MemoryLockedError(f"{path}: there is a memory already; open it") from error
    except OSError:  # a file system without hard links
        part.rename(path)


def _connect(path: Path, *, readonly: bool) -> sqlite3.Connection:
    """Connect to a resolved path.

    Readers connect for writing where they may, and then forbid it, so that they can undo a write
    that was cut off.
    """
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={'rw' if _may_write(path) else 'ro'}",
        uri=True,
        timeout=_WAIT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA cache_spill = OFF")  # the file changes when a write ends, not before
    connection.execute("PRAGMA synchronous = EXTRA")  # what is committed outlives a power cut
    if readonly:
        connection.execute("PRAGMA query_only = ON")
    return connection


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _operational(uri: str, error: sqlite3.OperationalError) -> MemoryStoreError:
    text = str(error)
    if "locked" in text or "busy" in text:
        return MemoryLockedError(
            f"{uri}: another process is writing; it did not finish in {_WAIT_SECONDS:.0f} s"
        )
    if "full" in text:
        return MemoryStoreError(f"{uri}: the disk is full; nothing was lost, make room and go on")
    if "malformed" in text or "decode to UTF-8" in text:
        return MemoryDamagedError(f"{uri}: the file is damaged ({text})")
    if "no such table" in text:
        return MemoryFormatError(f"{uri}: this file is not a complete place memory")
    if "readonly" in text or "read-only" in text:
        return MemoryStoreError(
            f"{uri}: the memory cannot be written ({text}): it was opened for reading only, or the "
            "file or its folder may not be written"
        )
    return MemoryStoreError(f"{uri}: {text}")
