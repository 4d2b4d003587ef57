"""An MCAP file whose end is missing or damaged, read as far as its records are whole.

A recorder that was killed leaves no summary and no footer. The records before are fine, so the
file is shown to the reader with a footer after its last whole record.
"""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MAGIC = b"\x89MCAP0\r\n"
_HEAD = struct.Struct("<BQ")  # opcode, length
_FOOTER, _DATA_END = 0x02, 0x0F
_TAIL = (
    _HEAD.pack(_DATA_END, 4) + bytes(4) + _HEAD.pack(_FOOTER, 20) + bytes(20) + _MAGIC
)  # no checksum, no summary


class WholeRecords:
    """Looks like a path to ``rosbags``; opens as the file's whole records and a footer.

    Attributes:
        path: The file.
        length: Bytes up to the end of the last whole record.
        lost: Bytes after it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.length, size = _whole_records(path)
        self.lost = size - self.length
        self.suffix = path.suffix
        self.name = path.name

    def __str__(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        """Whether the file is there."""
        return self.path.exists()

    def is_dir(self) -> bool:
        """It is a file."""
        return False

    def open(self, mode: str = "rb") -> IO[bytes]:  # noqa: ARG002
        """The records that are whole, then a footer."""
        return io.BufferedReader(_Spliced(self.path, self.length))


def _whole_records(path: Path) -> tuple[int, int]:
    """Where the last whole record of the data section ends, and the size of the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        at = len(_MAGIC) if file.read(len(_MAGIC)) == _MAGIC else size
        while at + _HEAD.size <= size:
            file.seek(at)
            code, length = _HEAD.unpack(file.read(_HEAD.size))
            end = at + _HEAD.size + length
            if code in (_FOOTER, _DATA_END) or not _is_record(code) or end > size:
                break
            at = end
    return min(at, size), size


def _is_record(code: int) -> bool:
    return 0x01 <= code <= _DATA_END or code >= 0x80


class _Spliced(io.RawIOBase):
    """The first bytes of a file, followed by a footer."""

    def __init__(self, path: Path, length: int) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._length = length
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length + len(_TAIL)}
        self._at = max(0, start[whence] + offset)
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        if self._at < self._length:
            self._file.seek(self._at)
            data = self._file.read(min(len(view), self._length - self._at))
        else:
            data = _TAIL[self._at - self._length :][: len(view)]
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
