"""Files that are closed whatever happens, and written whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TextIO

from placememory.errors import PlaceMemoryError

try:
    from isal.isal_zlib import crc32  # the same values as zlib's, several times as fast
except ImportError:  # a processor that it was not made for
    from zlib import crc32

__all__ = ["Closing", "crc32", "replacing", "write_bytes", "write_csv", "write_json", "write_text"]


class Closing:
    """Base of what is used in a ``with`` statement and closed at its end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close files and connections."""
        raise NotImplementedError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it takes the name ``path`` if no error came.

    Raises:
        PlaceMemoryError: The folder cannot be written to, or the disk is full.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with replacing(target) as part:
        ...     _ = part.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        raise PlaceMemoryError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in one piece."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="surrogateescape")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a binary file in one piece."""
    with replacing(path) as part:
        part.write_bytes(content)


def write_json(path: Path, values: Any) -> None:
    """Write values as indented JSON; NaN is refused."""
    write_text(path, json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file; ``None`` becomes an empty cell."""
    with replacing(path) as part, _open_csv(part) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _open_csv(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
