"""Memories of version 0.1 (format 1): read, and converted by ``placememory upgrade``."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from placememory.errors import MemoryDamagedError, MemoryFormatError
from placememory.memory.place import Place
from placememory.memory.rows import PlaceRows
from placememory.memory.stores.port import Manifest, Store, check_rows, reading_places
from placememory.memory.stores.sqlite import sqlite_errors

FIRST_FORMAT = 1


class FirstFormatStore(Store):
    """Rows in one SQLite file with a write-ahead log, a row a place; only read."""

    def __init__(self, path: Path) -> None:
        self.uri = str(path)
        self._lock = threading.RLock()
        with self._errors():
            self._connection = _connect(path.resolve())

    @property
    def manifest(self) -> Manifest:
        """See :class:`Store`."""
        text = self._one("json")
        try:
            return Manifest.model_validate_json(text)
        except (ValueError, TypeError) as error:
            raise MemoryDamagedError(f"{self.uri}: the manifest is damaged ({error})") from error

    @property
    def card(self) -> bytes:
        """See :class:`Store`."""
        card = self._one("card")
        if not isinstance(card, bytes):
            raise MemoryDamagedError(f"{self.uri}: the encoder card is damaged")
        return card

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

    def update(self, **fields: Any) -> NoReturn:  # noqa: ARG002
        """Refused."""
        raise self._refusal()

    def upsert(self, rows: PlaceRows) -> NoReturn:  # noqa: ARG002
        """Refused."""
        raise self._refusal()

    def remove(self, session: str) -> NoReturn:  # noqa: ARG002
        """Refused."""
        raise self._refusal()

    def close(self) -> None:
        """See :class:`Store`."""
        with self._lock:
            self._connection.close()

    def _refusal(self) -> MemoryFormatError:
        return MemoryFormatError(
            f"{self.uri}: a memory of version 0.1 is read, not written; convert it with: "
            f"placememory upgrade {self.uri}"
        )

    def _one(self, column: str) -> Any:
        with self._errors():
            row = self._connection.execute(f"SELECT {column} FROM manifest").fetchone()
        if row is None:
            raise MemoryDamagedError(f"{self.uri}: the file is damaged (a row is missing)")
        return row[0]

    def _read_rows(self, manifest: Manifest) -> PlaceRows:
        places: list[Place] = []
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
            if places[-1].id != (session, index):
                raise MemoryDamagedError(f"{self.uri}: {text} is kept as {session!r} {index}")
            descriptors[i] = self._vector(descriptor, manifest.dim, manifest.dtype)
            if sequence is not None and sequences is not None:
                sequences[i] = self._vector(sequence, sequences.shape[1], manifest.dtype)
        shortened = None if sequences is None else sequences[: len(places)]
        return PlaceRows(places, descriptors[: len(places)], shortened)

    def _vector(self, blob: bytes, dim: int, dtype: str) -> NDArray[np.float32]:
        vector = np.frombuffer(blob, dtype=np.dtype(dtype).newbyteorder("<"))
        if len(vector) != dim:
            raise MemoryDamagedError(f"{self.uri}: a descriptor has {len(vector)} of {dim} values")
        return vector.astype(np.float32)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with self._lock, sqlite_errors(self.uri):
            yield


def _empty_sequences(count: int, dim: int | None) -> NDArray[np.float32] | None:
    return None if dim is None else np.full((count, dim), np.nan, np.float32)


def _connect(path: Path) -> sqlite3.Connection:
    """Connect to a resolved path, for writing where that may be: it clears the log away."""
    mode = "rw"
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        logged = path.with_name(path.name + "-wal").exists()
        mode = "ro" if os.access(path.parent, os.W_OK) or logged else "ro&immutable=1"
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA query_only = ON")
    return connection
