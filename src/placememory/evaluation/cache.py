"""Descriptors cached by content: one SQLite file per encoder, safe to interrupt, without pickle."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._io import Closing
from placememory.encoders import EncoderCard
from placememory.errors import PlaceMemoryError
from placememory.frames import Frame

Row = NDArray[np.float32]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS descriptors (
    key BLOB PRIMARY KEY, frame BLOB, sequence BLOB
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fits (key BLOB PRIMARY KEY, card BLOB NOT NULL) WITHOUT ROWID;
"""
_MAGIC = 0x706C6463  # "pldc"
_WAIT_SECONDS = 60.0
_BATCH = 500


class DescriptorCache(Closing):
    """Descriptors of one encoder, by content of the frames they were made from.

    Writes are transactions: what was written before a kill is there afterwards. Several processes
    may use one file.

    Args:
        path: Of the file, see :func:`cache_path`; made if need be.

    Raises:
        PlaceMemoryError: The file cannot be opened, or is none of ours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=NORMAL")
            (found,) = self._file.execute("PRAGMA application_id").fetchone()
            if found not in (0, _MAGIC):
                raise PlaceMemoryError(f"{self.path}: this is no cache of descriptors")
            self._file.execute(f"PRAGMA application_id={_MAGIC}")
            self._file.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise PlaceMemoryError(f"{self.path}: cannot use the cache ({error})") from error

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, tuple[Row | None, Row | None]]:
        """Frame and sequence descriptors that are there, by key."""
        rows = self._of("key, frame, sequence", keys)
        return {key: (_row(frame), _row(window)) for key, frame, window in rows}

    def select_known(self, keys: Sequence[bytes]) -> set[bytes]:
        """The keys that are stored, out of these."""
        return {key for (key,) in self._of("key", keys)}

    def put(self, rows: Iterable[tuple[bytes, Row | None, Row | None]]) -> None:
        """Store descriptors, all of them or, after an error, none.

        Raises:
            PlaceMemoryError: The disk is full, or the file is locked by others for too long.
        """
        blobs = [(key, _blob(frame), _blob(window)) for key, frame, window in rows]
        self._write("INSERT OR REPLACE INTO descriptors VALUES (?, ?, ?)", blobs)

    def get_card(self, key: bytes) -> EncoderCard | None:
        """The card of an encoder fitted on certain frames; ``None`` if it is not stored."""
        row = self._file.execute("SELECT card FROM fits WHERE key = ?", (key,)).fetchone()
        return None if row is None else EncoderCard.from_bytes(row[0])

    def put_card(self, key: bytes, card: EncoderCard) -> None:
        """Store the card of a fitted encoder."""
        self._write("INSERT OR REPLACE INTO fits VALUES (?, ?)", [(key, card.to_bytes())])

    def _of(self, columns: str, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
        """Columns of the rows that have one of the keys."""
        for start in range(0, len(keys), _BATCH):
            part = keys[start : start + _BATCH]
            marks = ",".join("?" * len(part))
            query = f"SELECT {columns} FROM descriptors WHERE key IN ({marks})"
            with closing(self._file.execute(query, part)) as rows:
                yield from rows

    def _write(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        try:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany(statement, rows)
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")
            raise PlaceMemoryError(f"{self.path}: cannot be written ({error})") from error


def cache_path(folder: Path, card: EncoderCard) -> Path:
    """File of the descriptors of an encoder: another card has another file."""
    return folder / f"{card.name}-{card.hash[:16]}.sqlite"


def frame_key(frame: Frame) -> bytes:
    """What identifies a frame's image: path, size and time of its file, else its pixels.

    Raises:
        ImageError: The image has no file and cannot be read.
    """
    path = frame.path
    if path is not None and path.is_file():
        facts = path.stat()
        text = f"{path.resolve()}|{facts.st_size}|{facts.st_mtime_ns}"
        return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).digest()
    image = np.ascontiguousarray(frame.image())
    digest = hashlib.blake2b(str(image.shape).encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.digest()


def window_keys(frames: Sequence[bytes], length: int) -> list[bytes]:
    """Keys of the windows that end at each frame; of the frame itself where ``length`` is 1.

    Example:
        >>> window_keys([b"a", b"b"], 1)
        [b'a', b'b']
        >>> len(set(window_keys([b"a", b"b", b"a", b"b"], 2)))
        3
    """
    if length == 1:
        return list(frames)
    return [joint_key(frames[max(0, i - length + 1) : i + 1]) for i in range(len(frames))]


def joint_key(keys: Iterable[bytes]) -> bytes:
    """One key of several, in their order."""
    return hashlib.blake2b(b"|".join(keys), digest_size=16).digest()


def _row(blob: bytes | None) -> Row | None:
    return None if blob is None else np.frombuffer(blob, dtype="<f4")


def _blob(row: Row | None) -> bytes | None:
    return None if row is None else row.astype("<f4", copy=False).tobytes()
