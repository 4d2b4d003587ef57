"""Open a bag of ROS 1 or ROS 2: its topics, types, counts and time span, and its messages."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from placememory._io import Closing
from placememory._registry import require
from placememory.errors import BagError, SettingError
from placememory.frames.images import is_image

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


@dataclass(frozen=True, slots=True)
class BagTopic:
    """One topic of a bag.

    Attributes:
        name: Such as ``/camera/image_raw``.
        type: Message type in the names of ROS 2, ``sensor_msgs/msg/Image``, for ROS 1 as well.
        count: Messages.
    """

    name: str
    type: str
    count: int

    def __str__(self) -> str:
        """Such as ``/odom (nav_msgs/msg/Odometry, 120)``."""
        return f"{self.name} ({self.type}, {self.count})"


@dataclass(frozen=True, slots=True)
class BagInfo:
    """The contents of a bag.

    Attributes:
        path: File or folder.
        kind: ``"rosbag2 sqlite3"``, ``"rosbag2 mcap"`` or ``"ROS 1"``.
        topics: By name.
        start: When the first message was received, nanoseconds since the Unix epoch; ``None`` in
            an empty bag.
        end: When the last message was received.

    Example:
        >>> camera = BagTopic("/camera", "sensor_msgs/msg/Image", 120)
        >>> info = BagInfo(Path("run.mcap"), "rosbag2 mcap", (camera,))
        >>> info.image_topic().name
        '/camera'
    """

    path: Path
    kind: str
    topics: tuple[BagTopic, ...]
    start: int | None = None
    end: int | None = None

    def of_types(self, types: tuple[str, ...]) -> list[BagTopic]:
        """The topics with one of these types that have messages."""
        return [topic for topic in self.topics if topic.type in types and topic.count]

    def find_topic(self, name: str, types: tuple[str, ...], what: str) -> BagTopic:
        """A topic by its name; a missing slash in front is forgiven.

        Raises:
            BagError: The bag has no such topic, or it is of none of the types.
        """
        for topic in self.topics:
            if topic.name in (name, f"/{name}"):
                if topic.type not in types:
                    raise BagError(
                        f"{self.path}: topic {topic.name} holds {topic.type}, no {what}; "
                        f"{self._choices(types, what)}"
                    )
                return topic
        raise BagError(f"{self.path}: there is no topic {name}; {self._choices(types, what)}")

    def image_topic(self, name: str | None = None) -> BagTopic:
        """The topic with the images: the one named, else the only one.

        Raises:
            BagError: There is none of this name, or none or several to choose from; lists them.
        """
        if name is not None:
            return self.find_topic(name, IMAGE_TYPES, "images")
        topics = self.of_types(IMAGE_TYPES)
        if len(topics) != 1:
            count = len(topics) or "no"
            advice = "; choose one with --topic (topic=)" if topics else ""
            raise BagError(
                f"{self.path}: {count} topics with images; "
                f"{self._choices(IMAGE_TYPES, 'images')}{advice}"
            )
        return topics[0]

    def _choices(self, types: tuple[str, ...], what: str) -> str:
        fitting = self.of_types(types)
        if fitting:
            return f"topics with {what}: {', '.join(map(str, fitting))}"
        return f"its topics: {', '.join(map(str, self.topics)) or 'none'}"


METADATA = "metadata.yaml"
_ROS2 = (".mcap", ".db3")
_SUFFIXES = (".bag", *_ROS2)
_UNFINISHED = ".bag.active"
_PACKED = tuple(f"{suffix}.zstd" for suffix in _ROS2)


def is_bag(path: Path) -> bool:
    """Whether a file is named like a bag, or a folder holds the files of a rosbag2 recording.

    A folder of images that also holds a bag is a bag only with its ``metadata.yaml``.

    Example:
        >>> is_bag(Path("run.mcap")), is_bag(Path("run.bag")), is_bag(Path("run.mp4"))
        (True, True, False)
    """
    if not path.is_dir():
        return path.name.endswith((*_SUFFIXES, *_PACKED, _UNFINISHED))
    entries = list(path.iterdir())
    if not any(entry.name.endswith(_ROS2 + _PACKED) for entry in entries):
        return False
    return (path / METADATA).is_file() or not any(is_image(entry) for entry in entries)


def parts_of(path: Path) -> list[Path]:
    """What to open: the bag's file, or the folder, or the files of a folder without metadata.

    Raises:
        BagError: There is no bag, or its recorder did not finish it, or its files are packed and
            nothing says what is in them.
    """
    if not path.exists():
        raise BagError(f"{path}: there is no such bag")
    if path.name.endswith(_UNFINISHED):
        raise BagError(
            f"{path}: its recorder did not finish it; run `rosbag reindex {path.name}`, then name "
            "it .bag"
        )
    if path.is_dir() and (path / METADATA).is_file():
        return [path]
    files = storage_files(path)
    if not files:
        packed = path.name.endswith(_PACKED) or (path.is_dir() and is_bag(path))
        raise BagError(
            f"{path}: its files are packed (.zstd) and {METADATA} is not there; give the folder "
            "that has it, or unpack them with `zstd -d`"
            if packed
            else f"{path}: no bag; a bag is a .bag, .mcap or .db3 file, or a rosbag2 folder"
        )
    return files


def storage_files(path: Path) -> list[Path]:
    """The unpacked files with messages, in the order of their names."""
    if not path.is_dir():
        return [path] if path.suffix in _SUFFIXES else []
    return sorted(file for file in path.iterdir() if file.suffix in _ROS2)


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


_DEFAULT_DISTRO = "humble"
_PURPOSE = "ROS bags"
_ADVICE = {
    "ROS 1": "repair it with `rosbag reindex FILE`, or `rosbag fix` where that fails",
    "rosbag2 mcap": "repair it with `mcap recover FILE -o whole.mcap`",
    "rosbag2 sqlite3": (
        "repair it with `sqlite3 FILE .recover | sqlite3 whole.db3`, then `ros2 bag reindex`"
    ),
}
_SQL_URI = frozenset("#%?")


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message as it lies in the bag.

    Attributes:
        topic: Its topic.
        type: Message type.
        received: When the recorder received it, nanoseconds since the Unix epoch.
        data: Serialized.
    """

    topic: str
    type: str
    received: int
    data: bytes


class OpenBag(Closing):
    """A bag that is open for reading; one thread at a time. Close it, or use it in a ``with``.

    Args:
        path: A ``.bag``, ``.mcap`` or ``.db3`` file, or a rosbag2 folder (with or without its
            ``metadata.yaml``).
        distro: ROS distribution whose message definitions count where the bag carries none
            (rosbag2 SQLite before Iron): ``"humble"``, ``"foxy"``, ``"jazzy"``, ...

    Attributes:
        info: What is in it.
        damage: What is missing from it, if something is; raised by :meth:`messages` at its end.

    Raises:
        BagError: Nothing can be read; says what to do.
        SettingError: The distribution is not known.
        MissingExtraError: The package ``rosbags`` is not installed.
    """

    def __init__(self, path: Path | str, distro: str = _DEFAULT_DISTRO) -> None:
        self.path = Path(path)
        self.damage: BagError | None = None
        store = _definitions(distro)
        parts = parts_of(self.path)
        self.kind = _kind(self.path)
        self._reader = self._open(parts, store)
        try:
            self._complete(store)
            self.info = self._info()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the files; closing twice does no harm."""
        close_reader(self._reader)

    @property
    def reader(self) -> Any:
        """The ``rosbags.highlevel.AnyReader`` underneath."""
        return self._reader

    def messages(
        self, topics: Sequence[str] | None = None, start: int | None = None
    ) -> Iterator[RawMessage]:
        """Messages in the order they were received.

        Args:
            topics: Only of these; ``None``: of all.
            start: Only those received at this time or later, nanoseconds.

        Raises:
            BagError: The bag is damaged; all that could be read before was yielded.
        """
        wanted = [c for c in self._reader.connections if topics is None or c.topic in topics]
        found = iter(self._reader.messages(wanted, start=start)) if wanted else iter(())
        while True:
            try:
                connection, received, data = next(found)
            except StopIteration:
                break
            except Exception as error:  # whatever the formats' readers raise on garbage
                raise self._error(f"it is damaged after what was read so far ({error})") from error
            yield RawMessage(connection.topic, connection.msgtype, received, data)
        if self.damage is not None:
            raise self.damage

    def decode(self, message: RawMessage) -> Any:
        """The message with its fields.

        Raises:
            BagError: It does not have the fields its type says.
        """
        try:
            return self._reader.deserialize(message.data, message.type)
        except Exception as error:
            raise BagError(
                f"{self.path}: a message of {message.topic} is no {message.type} ({error}); "
                "if the bag carries no definitions, give its ROS distribution (distro=)"
            ) from error

    def _open(self, parts: list[Path], store: Any) -> Any:
        highlevel = require("rosbags.highlevel", extra="bags", purpose=_PURPOSE)
        if self.kind == "rosbag2 sqlite3":
            self._check_sqlite()
        try:
            return _open_reader(highlevel, parts, store)
        except Exception as error:
            failed = self._error(f"cannot open the bag ({_first_line(error)})")
            if self.kind != "rosbag2 mcap":
                raise failed from error
            whole = [WholeRecords(file) for file in storage_files(self.path)]
            try:
                reader = _open_reader(highlevel, whole, store)
            except Exception:
                raise failed from error
            if not reader.message_count:
                reader.close()
                raise failed from error
            lost = sum(part.lost for part in whole)
            self.damage = self._error(
                f"its end is missing or damaged ({_first_line(error)}); "
                f"{reader.message_count} messages can be read, the last {lost} bytes cannot"
            )
            return reader

    def _check_sqlite(self) -> None:
        if _SQL_URI & set(str(self.path.absolute())):
            raise BagError(
                f"{self.path}: rosbags cannot open an SQLite bag with %, # or ? in its path; "
                "rename the folder or file"
            )
        for file in storage_files(self.path):
            log = file.with_name(f"{file.name}-wal")
            if log.is_file() and log.stat().st_size:
                self.damage = BagError(
                    f"{file}: {log.name} holds messages that its recorder did not merge; merge "
                    f"them with `sqlite3 {file.name} 'PRAGMA wal_checkpoint(TRUNCATE)'`"
                )

    def _complete(self, store: Any) -> None:
        """Definitions of types for which the bag has none."""
        known = self._reader.typestore.fielddefs
        if any(connection.msgtype not in known for connection in self._reader.connections):
            missing = {name: d for name, d in store.fielddefs.items() if name not in known}
            self._reader.typestore.register(missing)

    def _info(self) -> BagInfo:
        reader = self._reader
        topics = [
            BagTopic(name, about.msgtype or "several types", about.msgcount)
            for name, about in sorted(reader.topics.items())
        ]
        if not reader.message_count:
            return BagInfo(self.path, self.kind, tuple(topics))
        last = reader.end_time - 1  # rosbags counts to the nanosecond after it
        return BagInfo(self.path, self.kind, tuple(topics), reader.start_time, last)

    def _error(self, what: str) -> BagError:
        advice = _ADVICE[self.kind].replace("FILE", _example(self.path))
        return BagError(f"{self.path}: {what}; {advice}")


def read_bag_info(path: Path | str) -> BagInfo:
    """Topics, types, counts and time range of a bag.

    Raises:
        BagError: Nothing can be read.
        MissingExtraError: The package ``rosbags`` is not installed.
    """
    with OpenBag(path) as bag:
        return bag.info


def close_reader(reader: Any) -> None:
    """Close a reader of ``rosbags``, if it is open."""
    with suppress(Exception):
        reader.close()


def _open_reader(highlevel: Any, parts: Sequence[Any], store: Any) -> Any:
    reader = highlevel.AnyReader(parts, default_typestore=store)
    reader.open()
    return reader


def _definitions(distro: str) -> Any:
    typesys = require("rosbags.typesys", extra="bags", purpose=_PURPOSE)
    stores = {s.value.removeprefix("ros1_").removeprefix("ros2_"): s for s in typesys.Stores}
    if distro not in stores:
        raise SettingError(f"unknown ROS distribution {distro!r}; known: {', '.join(stores)}")
    return typesys.get_typestore(stores[distro])


def _kind(path: Path) -> str:
    if path.suffix == ".bag" and not path.is_dir():
        return "ROS 1"
    names = [file.name for file in path.iterdir()] if path.is_dir() else [path.name]
    mcap = any(".mcap" in name for name in names)
    return "rosbag2 mcap" if mcap else "rosbag2 sqlite3"


def _example(path: Path) -> str:
    files = storage_files(path)
    return files[0].name if files else METADATA


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
