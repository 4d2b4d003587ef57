"""The embedded store: one SQLite file in WAL mode; one writer, many readers, safe to kill."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory.errors import (
    MemoryDamagedError,
    MemoryFormatError,
    MemoryLockedError,
    MemoryNotFoundError,
    MemoryStoreError,
)
from placememory.memory.place import Place
from placememory.memory.rows import PlaceRows
from placememory.memory.stores.port import FORMAT, Manifest, Store, check_rows, reading_places

APPLICATION_ID = 0x706C6163  # "plac"
_SCHEMA = """
CREATE TABLE manifest (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    json TEXT NOT NULL,
    card BLOB NOT NULL
);
CREATE TABLE places (
    session TEXT NOT NULL,
    idx INTEGER NOT NULL,
    place TEXT NOT NULL,
    descriptor BLOB NOT NULL,
    sequence BLOB,
    crc INTEGER NOT NULL,
    PRIMARY KEY (session, idx)
);
"""
_WAIT_SECONDS = 10.0


class SqliteStore(Store):
    """Rows in one SQLite file.

    Descriptors are blobs of little-endian float32 or float16; a place is one line of JSON.
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        """Open an existing file.

        Raises:
            MemoryNotFoundError: There is no such file.
            MemoryFormatError: It is no memory, or one of another version.
        """
        self.uri = str(path)
        if os.path.isdir(path):  # noqa: PTH112 - false, not an error, for too long a name
            raise MemoryFormatError(
                f"{path} is a folder; a memory is one file (a Milvus Lite folder is opened as "
                f"milvus-lite:{path})"
            )
        if not os.path.exists(path):  # noqa: PTH110 - as above
            raise MemoryNotFoundError(f"{path}: there is no such memory; make it with build")
        with self._errors():
            self._connection = _connect(path.resolve(), readonly=readonly)
        try:
            self._check_format()
        except BaseException:
            self._connection.close()
            raise

    @classmethod
    def create(cls, path: Path, manifest: Manifest, card: bytes) -> SqliteStore:
        """Make a new file; it appears under its name only when it is complete.

        Raises:
            MemoryLockedError: There is a memory of this name already.
            MemoryStoreError: The folder cannot be written to, or the disk is full.
        """
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _discard(part)  # of a process that was killed and had the same number
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
            (text,) = self._one("SELECT json FROM manifest")
        try:
            return Manifest.model_validate_json(text)
        except (ValueError, TypeError) as error:
            raise MemoryDamagedError(f"{self.uri}: the manifest is damaged ({error})") from error

    @property
    def card(self) -> bytes:
        """See :class:`Store`."""
        with self._errors():
            (card,) = self._one("SELECT card FROM manifest")
        if not isinstance(card, bytes):
            raise MemoryDamagedError(f"{self.uri}: the encoder card is damaged")
        return card

    def update(self, **fields: Any) -> None:
        """See :class:`Store`."""
        with self._writing() as manifest:
            for name, value in fields.items():
                setattr(manifest, name, value)

    def read(self) -> PlaceRows:
        """See :class:`Store`."""
        with self._errors():
            self._connection.execute("BEGIN")
            try:
                manifest = self.manifest
                with reading_places(self.uri):
                    rows = self._read_rows(manifest)
            finally:
                self._connection.execute("COMMIT")
        check_rows(rows, manifest, self.uri)
        return rows

    def upsert(self, rows: PlaceRows) -> None:
        """See :class:`Store`."""
        with self._writing() as manifest:
            old = [self._crc(place) for place in rows.places]
            self._connection.executemany(
                "INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?, ?, ?)",
                _values(rows, manifest),
            )
            manifest.count += sum(crc is None for crc in old)
            manifest.checksum += int(rows.checksums.sum()) - sum(crc or 0 for crc in old)

    def remove(self, session: str) -> int:
        """See :class:`Store`."""
        with self._writing() as manifest:
            count, total = self._one(
                "SELECT COUNT(*), COALESCE(SUM(crc), 0) FROM places WHERE session = ?", session
            )
            self._connection.execute("DELETE FROM places WHERE session = ?", (session,))
            manifest.count -= count
            manifest.checksum -= total
        return int(count)

    def close(self) -> None:
        """See :class:`Store`."""
        self._connection.close()

    def _check_format(self) -> None:
        with self._errors():
            (application,) = self._one("PRAGMA application_id")
            (version,) = self._one("PRAGMA user_version")
        if application != APPLICATION_ID:
            raise MemoryFormatError(f"{self.uri}: this SQLite file is not a place memory")
        if version != FORMAT:
            raise MemoryFormatError(
                f"{self.uri}: written in format {version}, this version reads {FORMAT}"
            )

    def _one(self, query: str, *values: object) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        if row is None:
            raise MemoryDamagedError(f"{self.uri}: the file is damaged (a row is missing)")
        return row

    def _read_rows(self, manifest: Manifest) -> PlaceRows:
        places: list[Place] = []
        texts: list[str] = []
        count = manifest.count
        descriptors = np.empty((count, manifest.dim), np.float32)
        sequences = _empty_sequences(count, manifest.sequence_dim)
        cursor = self._connection.execute(
            "SELECT session, idx, place, descriptor, sequence FROM places ORDER BY session, idx"
        )
        for i, (session, index, text, descriptor, sequence) in enumerate(cursor):
            if i >= count:
                raise MemoryDamagedError(f"{self.uri}: more places than the {count} written")
            places.append(Place.from_json(text))
            texts.append(text)
            if places[-1].id != (session, index):
                raise MemoryDamagedError(f"{self.uri}: {text} is kept as {session!r} {index}")
            descriptors[i] = self._vector(descriptor, manifest.dim, manifest.dtype)
            if sequence is not None and sequences is not None:
                sequences[i] = self._vector(sequence, sequences.shape[1], manifest.dtype)
        shortened = None if sequences is None else sequences[: len(places)]
        return PlaceRows(places, descriptors[: len(places)], shortened, texts)

    def _vector(self, blob: bytes, dim: int, dtype: str) -> NDArray[np.float32]:
        vector = np.frombuffer(blob, dtype=np.dtype(dtype).newbyteorder("<"))
        if len(vector) != dim:
            raise MemoryDamagedError(f"{self.uri}: a descriptor has {len(vector)} of {dim} values")
        return vector.astype(np.float32)

    def _crc(self, place: Place) -> int | None:
        row = self._connection.execute(
            "SELECT crc FROM places WHERE session = ? AND idx = ?", place.id
        ).fetchone()
        return None if row is None else int(row[0])

    @contextmanager
    def _writing(self) -> Iterator[Manifest]:
        """One transaction; the manifest that is yielded is written back at its end."""
        with self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                manifest = self.manifest
                yield manifest
                self._connection.execute(
                    "UPDATE manifest SET json = ?", (manifest.model_dump_json(),)
                )
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise _operational(self.uri, error) from error
        except sqlite3.ProgrammingError as error:
            raise MemoryStoreError(f"{self.uri}: the memory is closed ({error})") from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if "not a database" in str(error):
                raise MemoryFormatError(f"{self.uri}: this file is not a place memory") from error
            raise MemoryDamagedError(f"{self.uri}: the file is damaged ({error})") from error


def _write_empty(part: Path, manifest: Manifest, card: bytes) -> None:
    with closing(sqlite3.connect(part)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute(
            "INSERT INTO manifest VALUES (1, ?, ?)", (manifest.model_dump_json(), card)
        )
        connection.commit()


def _discard(part: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        part.with_name(part.name + suffix).unlink(missing_ok=True)


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

    Readers connect for writing where they may, and then forbid it: a connection that is read-only
    to SQLite leaves the side files ``-wal`` and ``-shm`` behind.
    """
    mode = "rw"
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        # On a read-only medium SQLite cannot make its side files.
        mode = "ro" if os.access(path.parent, os.W_OK) or _has_journal(path) else "ro&immutable=1"
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=_WAIT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    if readonly:
        connection.execute("PRAGMA query_only = ON")
    return connection


def _has_journal(path: Path) -> bool:
    return path.with_name(path.name + "-wal").exists()


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


def _empty_sequences(count: int, dim: int | None) -> NDArray[np.float32] | None:
    return None if dim is None else np.full((count, dim), np.nan, np.float32)


def _values(rows: PlaceRows, manifest: Manifest) -> Iterator[tuple[object, ...]]:
    kind = np.dtype(manifest.dtype).newbyteorder("<")
    for i, place in enumerate(rows.places):
        sequence = None
        if rows.sequences is not None and not np.isnan(rows.sequences[i, 0]):
            sequence = rows.sequences[i].astype(kind).tobytes()
        descriptor = rows.descriptors[i].astype(kind).tobytes()
        yield (*place.id, place.to_json(), descriptor, sequence, int(rows.checksums[i]))
