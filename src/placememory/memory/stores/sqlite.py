"""The embedded store: one SQLite file in WAL mode; one writer, many readers, safe to kill."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
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
from placememory.memory._place import Place
from placememory.memory._rows import Rows
from placememory.memory.stores._port import FORMAT, Manifest, Store, check_rows, reading_places

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
        self._path = path
        if path.is_dir():
            raise MemoryFormatError(
                f"{path} is a folder; a memory is one file (a Milvus Lite folder is opened as "
                f"milvus-lite:{path})"
            )
        if not path.is_file():
            raise MemoryNotFoundError(f"{path}: there is no such memory; make it with build")
        self._connection = _connect(path, readonly=readonly or not os.access(path, os.W_OK))
        try:
            self._check_format()
        except BaseException:
            self._connection.close()
            raise

    @classmethod
    def create(cls, path: Path, manifest: Manifest, card: bytes) -> SqliteStore:
        """Make a new file; it appears under its name only when it is complete."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        connection = sqlite3.connect(part)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute(
                "INSERT INTO manifest VALUES (1, ?, ?)", (manifest.model_dump_json(), card)
            )
            connection.commit()
            connection.close()
            _publish(part, path)
        finally:
            connection.close()
            part.unlink(missing_ok=True)
        return cls(path)

    @property
    def manifest(self) -> Manifest:
        """See :class:`Store`."""
        with self._errors():
            (text,) = self._connection.execute("SELECT json FROM manifest").fetchone()
        return Manifest.model_validate_json(text)

    @property
    def card(self) -> bytes:
        """See :class:`Store`."""
        with self._errors():
            (card,) = self._connection.execute("SELECT card FROM manifest").fetchone()
        return bytes(card)

    def update(self, **fields: Any) -> None:
        """See :class:`Store`."""
        with self._writing() as manifest:
            for name, value in fields.items():
                setattr(manifest, name, value)

    def read(self) -> Rows:
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

    def upsert(self, rows: Rows) -> None:
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
            count, total = self._connection.execute(
                "SELECT COUNT(*), COALESCE(SUM(crc), 0) FROM places WHERE session = ?", (session,)
            ).fetchone()
            self._connection.execute("DELETE FROM places WHERE session = ?", (session,))
            manifest.count -= count
            manifest.checksum -= total
        return int(count)

    def revision(self) -> int:
        """See :class:`Store`."""
        with self._errors():
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def close(self) -> None:
        """See :class:`Store`."""
        self._connection.close()

    def _check_format(self) -> None:
        with self._errors():
            (application,) = self._connection.execute("PRAGMA application_id").fetchone()
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise MemoryFormatError(f"{self.uri}: this SQLite file is not a place memory")
        if version != FORMAT:
            raise MemoryFormatError(
                f"{self.uri}: written in format {version}, this version reads {FORMAT}"
            )

    def _read_rows(self, manifest: Manifest) -> Rows:
        places, count = [], manifest.count
        descriptors = np.empty((count, manifest.dim), np.float32)
        sequences = _empty_sequences(count, manifest.sequence_dim)
        cursor = self._connection.execute(
            "SELECT place, descriptor, sequence FROM places ORDER BY session, idx"
        )
        for i, (text, descriptor, sequence) in enumerate(cursor):
            if i >= count:
                raise MemoryDamagedError(f"{self.uri}: more places than the {count} written")
            places.append(Place.from_json(text))
            descriptors[i] = self._vector(descriptor, manifest.dim, manifest.dtype)
            if sequence is not None and sequences is not None:
                sequences[i] = self._vector(sequence, sequences.shape[1], manifest.dtype)
        shortened = None if sequences is None else sequences[: len(places)]
        return Rows(places, descriptors[: len(places)], shortened)

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
        except sqlite3.DatabaseError as error:
            if "not a database" in str(error):
                raise MemoryFormatError(f"{self.uri}: this file is not a place memory") from error
            raise MemoryDamagedError(f"{self.uri}: the file is damaged ({error})") from error
        except sqlite3.ProgrammingError as error:
            raise MemoryStoreError(f"{self.uri}: the memory is closed") from error


def _publish(part: Path, path: Path) -> None:
    """Give a complete file its name, unless somebody was faster."""
    try:
        os.link(part, path)  # unlike a rename, this fails where the name is taken
    except FileExistsError as error:
        raise MemoryLockedError(f"{path}: there is a memory already; open it") from error
    except OSError:  # a file system without hard links
        part.rename(path)


def _connect(path: Path, *, readonly: bool) -> sqlite3.Connection:
    mode = "ro" if readonly else "rw"
    if readonly and not os.access(path.parent, os.W_OK) and not _has_journal(path):
        mode = "ro&immutable=1"  # a read-only medium: SQLite cannot make its side files there
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        timeout=_WAIT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


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
    if "no such table" in text:
        return MemoryFormatError(f"{uri}: this file is not a complete place memory")
    return MemoryStoreError(f"{uri}: {text}")


def _empty_sequences(count: int, dim: int | None) -> NDArray[np.float32] | None:
    return None if dim is None else np.full((count, dim), np.nan, np.float32)


def _values(rows: Rows, manifest: Manifest) -> Iterator[tuple[object, ...]]:
    kind = np.dtype(manifest.dtype).newbyteorder("<")
    for i, place in enumerate(rows.places):
        sequence = None
        if rows.sequences is not None and not np.isnan(rows.sequences[i, 0]):
            sequence = rows.sequences[i].astype(kind).tobytes()
        descriptor = rows.descriptors[i].astype(kind).tobytes()
        yield (*place.id, place.to_json(), descriptor, sequence, int(rows.checksums[i]))
