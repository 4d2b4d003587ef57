"""The files of a bag, opened as one: which they are, and their messages in the order of time."""

from __future__ import annotations

import heapq
import io
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from placememory._io import Closing, read_yaml
from placememory._registry import require
from placememory.errors import BagError
from placememory.frames.content import describe_file
from placememory.frames.images import is_image
from placememory.frames.names import natural_key

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

METADATA = "metadata.yaml"
PURPOSE = "ROS bags"
_ROS1, _ROS2 = ".bag", (".mcap", ".db3")
_UNFINISHED = ".bag.active"
_PACKED = tuple(f"{suffix}.zstd" for suffix in _ROS2)
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_ADVICE = {
    "ROS 1": "repair it with `rosbag reindex FILE`, or `rosbag fix` where that fails",
    "rosbag2 mcap": "repair it with `mcap recover FILE -o whole.mcap`",
    "rosbag2 sqlite3": (
        "repair it with `sqlite3 FILE .recover | sqlite3 whole.db3`, then `ros2 bag reindex`"
    ),
}
_SQL_URI = frozenset("#%?")


def is_bag(path: Path) -> bool:
    """Whether a path is named like a bag, or a folder holds the files of a recording.

    The ``metadata.yaml`` of a rosbag2 recording stands for its folder. A folder of images that also
    holds a bag is a bag only with its ``metadata.yaml``, and one of ROS 1 bags only if it holds no
    other folders.

    Example:
        >>> is_bag(Path("run.mcap")), is_bag(Path("RUN.BAG")), is_bag(Path("run.mp4"))
        (True, True, False)
    """
    path = find_bag(path)
    if not path.is_dir():
        return path.name.lower().endswith((_ROS1, *_ROS2, *_PACKED, _UNFINISHED))
    entries = list(path.iterdir())
    names = [entry.name.lower() for entry in entries]
    if any(name.endswith(_ROS2 + _PACKED) for name in names) and (path / METADATA).is_file():
        return True
    if any(is_image(entry) for entry in entries):
        return False
    if any(name.endswith(_ROS2 + _PACKED) for name in names):
        return True
    return any(n.endswith(_ROS1) for n in names) and not any(entry.is_dir() for entry in entries)


def find_bag(path: Path) -> Path:
    """The path of a bag: for its ``metadata.yaml``, the folder."""
    return path.parent if path.name == METADATA and path.is_file() else path


def storage_files(path: Path) -> list[Path]:
    """The files with messages, in the natural order of their names; of a folder, of one kind.

    Raises:
        BagError: There is no bag, or its recorder did not finish it.
    """
    if not path.exists():
        raise BagError(f"{path}: there is no such bag")
    if path.name.lower().endswith(_UNFINISHED):
        raise BagError(
            f"{path}: its recorder did not finish it; run `rosbag reindex {path.name}`, then name "
            "it .bag"
        )
    entries = list(path.iterdir()) if path.is_dir() else [path]
    for suffixes in (_ROS2, _PACKED, (_ROS1,)):
        found = [entry for entry in entries if entry.name.lower().endswith(suffixes)]
        if found:
            return sorted(found, key=lambda entry: natural_key(entry.name))
    raise BagError(f"{path}: no bag; a bag is a .bag, .mcap or .db3 file, or a folder of them")


def unpack(data: bytes) -> bytes:
    """A message of rosbag2 without the compression it was recorded with."""
    if data[:4] != _ZSTANDARD:  # no message begins so: its first byte is zero
        return data
    unpacked: bytes = _zstandard().decompress(data)
    return unpacked


class Storage(Closing):
    """The files of one recording, open; one thread at a time.

    Its ``metadata.yaml`` is asked which files there are and how many messages they should have,
    and no more: people edit it.

    Args:
        path: File or folder.

    Attributes:
        kind: ``"rosbag2 sqlite3"``, ``"rosbag2 mcap"`` or ``"ROS 1"``.
        connections: Topics, types and definitions, as ``rosbags`` gives them.
        expected: Messages of each topic by the ``metadata.yaml``; empty without.
        damage: What is missing, if something is.
        message_count: Messages.
        start: When the first was received, nanoseconds; ``None`` without messages.
        end: When the last was received.

    Raises:
        BagError: Nothing can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: BagError | None = None
        self.expected: dict[str, int] = {}
        self._stack = ExitStack()
        files = storage_files(path)
        self.kind = _kind(files[0])
        try:
            if path.is_dir() and (path / METADATA).is_file() and self.kind != "ROS 1":
                files = self._read_metadata(files)
            if self.kind == "rosbag2 sqlite3":
                self._check_sqlite(files)
            self._readers = [self._open(file) for file in self._unpack(files)]
        except BaseException:
            self.close()
            raise
        self.connections = [c for reader in self._readers for c in reader.connections]
        about = [getattr(reader, "metadata", reader) for reader in self._readers]
        filled = [facts for facts in about if facts.message_count]
        self.message_count = sum(facts.message_count for facts in filled)
        self.start = min((facts.start_time for facts in filled), default=None)
        # rosbags counts to the nanosecond after it
        self.end = max((facts.end_time - 1 for facts in filled), default=None)

    def close(self) -> None:
        """Let go of the files; closing twice does no harm."""
        self._stack.close()

    def messages(
        self, connections: Collection[Any], start: int | None = None
    ) -> Iterator[tuple[Any, int, bytes]]:
        """Connection, time of receipt and bytes, in the order of receipt."""
        found = [
            reader.messages(connections=wanted, start=start)
            for reader in self._readers
            if (wanted := [c for c in connections if c.owner is reader])
        ]
        return heapq.merge(*found, key=lambda message: message[1])

    def error(self, what: str, file: Path | None = None) -> BagError:
        """An error that says how to repair the bag."""
        name = (file or storage_files(self.path)[0]).name
        return BagError(f"{self.path}: {what}; {_ADVICE[self.kind].replace('FILE', name)}")

    def _read_metadata(self, files: list[Path]) -> list[Path]:
        """Take the counts; gives the files that the recording consists of."""
        advice = f"run `ros2 bag reindex {self.path.name}`, or read it without {METADATA}"
        try:
            facts = read_yaml(self.path / METADATA, BagError)["rosbag2_bagfile_information"]
            names = [Path(str(name)).name for name in facts["relative_file_paths"]]
            for topic in facts["topics_with_message_count"]:
                name = str(topic["topic_metadata"]["name"])
                self.expected[name] = self.expected.get(name, 0) + int(topic["message_count"])
        except (BagError, LookupError, TypeError, ValueError) as error:
            what = f"cannot open the bag ({METADATA}: {first_line(error)})"
            raise BagError(f"{self.path}: {what}; {advice}") from error
        there = {file.name: file for file in files}
        missing = [n for n in names if n not in there and n.removesuffix(".zstd") not in there]
        if missing:
            raise BagError(
                f"{self.path}: cannot open the bag (its {METADATA} names {', '.join(missing)}, "
                f"which is not there); bring the file, or {advice}"
            )
        return [there.get(name) or there[name.removesuffix(".zstd")] for name in names] or files

    def _check_sqlite(self, files: list[Path]) -> None:
        if _SQL_URI & set(str(self.path.absolute())):
            raise BagError(
                f"{self.path}: rosbags cannot open an SQLite bag with %, # or ? in its path; "
                "rename the folder or file"
            )
        for file in files:
            log = file.with_name(f"{file.name}-wal")
            if log.is_file() and log.stat().st_size:
                self.damage = BagError(
                    f"{file}: {log.name} holds messages that its recorder did not merge; merge "
                    f"them with `sqlite3 {file.name} 'PRAGMA wal_checkpoint(TRUNCATE)'`"
                )

    def _unpack(self, files: list[Path]) -> list[Path]:
        """The files, those that are packed as a whole unpacked into a temporary folder."""
        packed = [file for file in files if file.name.lower().endswith(_PACKED)]
        if not packed:
            return files
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        for file in packed:
            try:
                with _zstandard().open(file, "rb") as source, (folder / file.stem).open("wb") as to:
                    shutil.copyfileobj(source, to)
            except Exception as error:  # whatever Zstandard raises on garbage
                raise self.error(
                    f"cannot open the bag ({file.name} cannot be unpacked: {first_line(error)})"
                ) from error
        return [folder / file.stem if file in packed else file for file in files]

    def _open(self, file: Path) -> Any:
        """A reader of one file; of a damaged MCAP file, of the records that are whole."""
        make = _reader_class(file)
        try:
            return self._enter(make(file))
        except Exception as error:  # whatever the formats' readers raise on garbage
            what = (
                f"cannot open the bag ({first_line(error)}; {file.name} is {describe_file(file)})"
            )
            failed = self.error(what, file)
            if self.kind != "rosbag2 mcap":
                raise failed from error
            whole = WholeRecords(file)
            try:
                reader = self._enter(make(whole))
            except Exception:
                raise failed from error
            if not reader.metadata.message_count:
                raise failed from error
            count = reader.metadata.message_count
            self.damage = self.error(
                f"its end is missing or damaged ({first_line(error)}); "
                f"{count} messages can be read, the last {whole.lost} bytes cannot",
                file,
            )
            return reader

    def _enter(self, reader: Any) -> Any:
        self._stack.callback(_close, reader)
        reader.open()
        return reader


def _close(reader: Any) -> None:
    with suppress(Exception):
        reader.close()


def _kind(file: Path) -> str:
    name = file.name.lower()
    if name.endswith(_ROS1):
        return "ROS 1"
    return "rosbag2 mcap" if ".mcap" in name else "rosbag2 sqlite3"


def _reader_class(file: Path) -> Any:
    suffix = file.suffix.lower()
    if suffix == _ROS1:
        return require("rosbags.rosbag1", extra="bags", purpose=PURPOSE).Reader
    rosbag2 = require("rosbags.rosbag2", extra="bags", purpose=PURPOSE)
    return rosbag2.Reader.STORAGE_PLUGINS[suffix]


def _zstandard() -> Any:
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return require(name, extra="bags", purpose=PURPOSE)


def first_line(error: Exception) -> str:
    """The first line of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


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
