"""What a first build has found of its sample, stored as it comes, so that a kill loses nothing.

A vocabulary is fitted before there is a memory to write to. Until then the local features of each
image lie in a file beside the memory's address (for a server, in the user's cache), which is gone
when the memory is made. It also keeps a second builder of the same memory away.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from placememory._io import Closing, crc32
from placememory._types import Vectors
from placememory.encoders import EncoderCard
from placememory.errors import MemoryLockedError, MemoryStoreError
from placememory.frames import Frame
from placememory.memory.stores import show_address

_SCHEMA = """
CREATE TABLE IF NOT EXISTS encoder (hash TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS images (
    name TEXT, session TEXT, idx INTEGER, dim INTEGER, data BLOB, crc INTEGER,
    PRIMARY KEY (name, session, idx)
);
"""


class SampleFile(Closing):
    """Local features of sampled images, by name, session and index.

    Args:
        path: The file; made if it is not there.
        card: Of the encoder, not fitted; features of another one are dropped.

    Raises:
        MemoryLockedError: Another process is building this memory.
        MemoryStoreError: The file cannot be made or written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "m.sample"
        >>> frame, card = Frame("a.png", "run1", 0), EncoderCard(name="toy", dim=2)
        >>> with SampleFile(path, card) as sample:
        ...     sample.add(frame, np.ones((3, 2), np.float32))
        >>> with SampleFile(path, card) as sample:
        ...     sample.get(frame).shape, sample.get(Frame("b.png", "run1", 1))
        ((3, 2), None)
    """

    def __init__(self, path: Path, card: EncoderCard) -> None:
        self._path = path
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=0.0, isolation_level=None)
            try:
                self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._connection.execute("PRAGMA synchronous = OFF")  # a kill loses nothing
                self._connection.execute("BEGIN EXCLUSIVE")
                for statement in _SCHEMA.split(";"):
                    self._connection.execute(statement)
                known = self._connection.execute("SELECT hash FROM encoder").fetchall()
                if known != [(card.hash,)]:
                    self._connection.execute("DELETE FROM images")
                    self._connection.execute("DELETE FROM encoder")
                    self._connection.execute("INSERT INTO encoder VALUES (?)", (card.hash,))
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.close()
                raise

    def get(self, frame: Frame) -> Vectors | None:
        """The features (F, C) float32 of an image; ``None`` if they are not there, or damaged."""
        with self._errors():
            found = self._connection.execute(
                "SELECT dim, data, crc FROM images WHERE name = ? AND session = ? AND idx = ?",
                _key(frame),
            ).fetchone()
        if found is None or crc32(found[1]) != found[2]:
            return None
        return np.frombuffer(found[1], "<f4").reshape(-1, found[0]).astype(np.float32)

    def add(self, frame: Frame, features: Vectors) -> None:
        """Store the features of an image."""
        data = np.ascontiguousarray(features, "<f4").tobytes()
        with self._errors():
            self._connection.execute(
                "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?)",
                (*_key(frame), features.shape[1], data, crc32(data)),
            )

    def clear(self) -> None:
        """Drop all features."""
        with self._errors():
            self._connection.execute("DELETE FROM images")

    def remove(self) -> None:
        """Remove the file: the memory is made."""
        self.close()
        for suffix in ("", "-journal"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        """See :class:`Closing`."""
        self._connection.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if "locked" in str(error):
                raise MemoryLockedError(
                    f"another process is building this memory (it holds {self._path}); wait for "
                    "it, or give this build another address"
                ) from error
            if "full" in str(error):
                raise MemoryStoreError(
                    f"{self._path}: the disk is full; nothing was lost, make room and go on"
                ) from error
            raise MemoryStoreError(
                f"{self._path}: cannot be used ({error}); remove it, what it keeps is only of a "
                "build that was cut off"
            ) from error


def sample_path(uri: str | Path) -> Path:
    """Where the sample of a memory that is being built lies.

    Example:
        >>> sample_path("maps/office.memory").as_posix()
        'maps/.office.memory.sample'
    """
    text = show_address(uri)
    if text.startswith(("http://", "https://")):
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "placememory" / "builds" / f"{name}.sample"
    path = Path(text.removeprefix("milvus-lite:"))
    return path.with_name(f".{path.name}.sample")


def discard_sample(uri: str | Path) -> None:
    """Remove what a build left that was killed when the memory was just made."""
    with contextlib.suppress(OSError):
        sample_path(uri).unlink(missing_ok=True)


def _key(frame: Frame) -> tuple[str, str, int]:
    return frame.name.encode(errors="surrogateescape").hex(), frame.session, frame.index
