"""Open a bag of any format, and read its messages up to where it is damaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from placememory._extras import require
from placememory.errors import BagError, SettingError
from placememory.frames.bags._find import METADATA, parts_of, storage_files
from placememory.frames.bags._info import BagInfo, BagTopic
from placememory.frames.bags._mcap import WholeRecords

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


class OpenBag:
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

    def __enter__(self) -> OpenBag:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

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
                "if the bag carries no definitions, say its ROS distribution (distro=)"
            ) from error

    def _open(self, parts: list[Path], store: Any) -> Any:
        highlevel = require("rosbags.highlevel", extra="bags", purpose=_PURPOSE)
        if self.kind == "rosbag2 sqlite3":
            self._check_sqlite()
        try:
            return _opened(highlevel, parts, store)
        except Exception as error:
            failed = self._error(f"cannot open the bag ({_first_line(error)})")
            if self.kind != "rosbag2 mcap":
                raise failed from error
            whole = [WholeRecords(file) for file in storage_files(self.path)]
            try:
                reader = _opened(highlevel, whole, store)
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


def _opened(highlevel: Any, parts: Sequence[Any], store: Any) -> Any:
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
