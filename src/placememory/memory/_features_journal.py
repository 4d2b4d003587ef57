"""Journal: what an extraction has described so far, kept beside its HDF5 file until it is closed.

HDF5 cannot be killed in mid-write without risk to the whole file; SQLite can. So rows go here, one
transaction a batch, and the HDF5 file is replaced in one step at the end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from placememory.encoders import EncoderCard
from placememory.errors import EncoderMismatchError, MemoryLockedError, MemoryStoreError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS encoder (id INTEGER PRIMARY KEY CHECK (id = 1), hash TEXT, name TEXT);
CREATE TABLE IF NOT EXISTS images (
    name TEXT PRIMARY KEY, width INTEGER, height INTEGER, dtype TEXT, descriptor BLOB NOT NULL
) WITHOUT ROWID;
"""


class Described(NamedTuple):
    """One image: its name, its descriptor (D,) and its width and height, where they are known."""

    name: str
    descriptor: NDArray[np.floating]
    size: tuple[int, int] | None


class Journal:
    """Rows of one unfinished extraction; one process at a time holds it.

    Raises:
        MemoryLockedError: Another process extracts into the same file.
        EncoderMismatchError: The rows left here by an interruption are another encoder's.
        MemoryStoreError: It cannot be read or written.
    """

    def __init__(self, path: Path, card: EncoderCard) -> None:
        self.path = path
        with self._errors():
            self._connection = sqlite3.connect(path, timeout=0.2, isolation_level=None)
        try:
            with self._errors():
                self._lock()
                self._connection.executescript(_SCHEMA)
                self._check_encoder(card)
        except BaseException:
            self._connection.close()
            raise

    def names(self) -> list[str]:
        """Names of the images described."""
        with self._errors():
            return [name for (name,) in self._connection.execute("SELECT name FROM images")]

    def rows(self) -> Iterator[Described]:
        """All rows in the order of their names."""
        with self._errors():
            for name, width, height, dtype, blob in self._connection.execute(
                "SELECT name, width, height, dtype, descriptor FROM images ORDER BY name"
            ):
                size = None if width is None else (width, height)
                yield Described(name, np.frombuffer(blob, dtype=dtype), size)

    def add(self, rows: Iterable[Described]) -> None:
        """Write rows: they are all safe when this returns, or none is."""
        values = [
            (name, *(size or (None, None)), descriptor.dtype.str, descriptor.tobytes())
            for name, descriptor, size in rows
        ]
        with self._errors():
            self._connection.execute("BEGIN")
            try:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?)", values
                )
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self, *, remove: bool) -> None:
        """Let go of the file; ``remove`` it once its rows are safe elsewhere."""
        if remove:
            self.path.unlink(missing_ok=True)  # before the lock goes, so that nobody joins it
        self._connection.close()

    def _lock(self) -> None:
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("BEGIN EXCLUSIVE")
        self._connection.execute("COMMIT")
        if not self.path.exists():  # its last holder removed it while we waited
            raise sqlite3.OperationalError("database is locked")

    def _check_encoder(self, card: EncoderCard) -> None:
        known: Sequence[tuple[str, str]]
        known = self._connection.execute("SELECT hash, name FROM encoder").fetchall()
        if not known:
            self._connection.execute("INSERT INTO encoder VALUES (1, ?, ?)", (card.hash, card.name))
        elif known[0][0] != card.hash:
            raise EncoderMismatchError(
                f"{self.path} keeps an interrupted extraction by {known[0][1]!r} "
                f"({known[0][0][:12]}), not by {card.name!r} ({card.hash[:12]}): finish that one, "
                "or delete the file"
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise MemoryLockedError(
                    f"{self.path}: another process is extracting into the same file"
                ) from error
            raise MemoryStoreError(
                f"{self.path}: cannot read or write what was extracted so far ({error}); "
                "is there space, and may you write here?"
            ) from error
