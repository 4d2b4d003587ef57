"""Open a bag of ROS 1 or ROS 2: its topics, types, counts and time span, and its messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from placememory._io import Closing
from placememory._registry import require
from placememory.errors import BagError, SettingError
from placememory.frames.bags.packets import PACKET_TYPE
from placememory.frames.bags.storage import METADATA, PURPOSE, Storage, find_bag, first_line, unpack

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", PACKET_TYPE)


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
            advice = "; choose one with --topic" if topics else ""
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


_DEFAULT_DISTRO = "humble"
_IDL = 80 * "=" + "\nIDL: "  # before each part of a definition


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
        self.path = find_bag(Path(path))
        self._defaults = _definitions(distro)
        self._stores: dict[str, Any] = {}  # message type -> what decodes it
        self._storage = Storage(self.path)
        self.kind = self._storage.kind
        self.damage = self._storage.damage
        self.info = self._info()
        found = {topic.name: topic.count for topic in self.info.topics}
        self._expected = {**found, **self._storage.expected}
        for name, count in self._storage.expected.items():
            if count and name not in found and self.damage is None:
                self.damage = self._miscount(name, count, 0)

    def close(self) -> None:
        """Let go of the files; closing twice does no harm."""
        self._storage.close()

    def messages(
        self, topics: Sequence[str] | None = None, start: int | None = None
    ) -> Iterator[RawMessage]:
        """Messages in the order they were received.

        Args:
            topics: Only of these; ``None``: of all.
            start: Only those received at this time or later, nanoseconds.

        Raises:
            BagError: The bag is damaged, or has fewer messages than it says; all that could be read
                before was yielded.
        """
        wanted = [c for c in self._storage.connections if topics is None or c.topic in topics]
        found = self._storage.messages(wanted, start)
        counts: Counter[str] = Counter()
        while True:
            try:
                connection, received, data = next(found)
                if self.kind != "ROS 1":
                    data = unpack(data)
            except StopIteration:
                break
            except Exception as error:  # whatever the formats' readers raise on garbage
                raise self._storage.error(
                    f"it is damaged after what was read so far ({error})"
                ) from error
            counts[connection.topic] += 1
            yield RawMessage(connection.topic, connection.msgtype, received, data)
        if self.damage is not None:
            raise self.damage
        if start is None:
            for name in sorted({c.topic for c in wanted}):
                if counts[name] < self._expected[name]:
                    raise self._miscount(name, self._expected[name], counts[name])

    def decode(self, message: RawMessage) -> Any:
        """The message with its fields.

        Raises:
            BagError: It does not have the fields its type says, or nothing says what these are.
        """
        store = self._store_of(message.type)
        try:
            if self.kind == "ROS 1":
                return store.deserialize_ros1(message.data, message.type)
            return store.deserialize_cdr(message.data, message.type)
        except Exception as error:
            raise BagError(
                f"{self.path}: a message of {message.topic} is no {message.type} ({error}); "
                "if the bag carries no definitions, give its ROS distribution (distro=)"
            ) from error

    def _store_of(self, kind: str) -> Any:
        """What decodes a type, made when its first message comes.

        So a definition that cannot be read (a service's, say) costs no other topic.
        """
        if kind not in self._stores:
            self._stores[kind] = self._make_store(kind)
        return self._stores[kind]

    def _make_store(self, kind: str) -> Any:
        reason = "the bag carries no definition of it"
        typesys = require("rosbags.typesys", extra="bags", purpose=PURPOSE)
        for connection in self._storage.connections:
            form, text = connection.msgdef.format.name, connection.msgdef.data
            if connection.msgtype != kind or form == "NONE":
                continue
            try:
                store = typesys.get_typestore(typesys.Stores.EMPTY)
                if form == "MSG":
                    store.register(typesys.get_types_from_msg(text, kind))
                elif text.startswith(_IDL):
                    for part in text.split(_IDL)[1:]:
                        store.register(typesys.get_types_from_idl(part.partition("\n")[2]))
                else:
                    store.register(typesys.get_types_from_idl(text))
            except Exception as error:  # whatever the parsers raise on garbage
                reason = f"the bag's definition of it cannot be read: {first_line(error)}"
                continue
            return store
        if kind in self._defaults.fielddefs:
            return self._defaults
        raise BagError(f"{self.path}: messages of type {kind} cannot be decoded ({reason})")

    def _miscount(self, topic: str, expected: int, found: int) -> BagError:
        where = METADATA if topic in self._storage.expected else "its index"
        return self._storage.error(
            f"of topic {topic} there are {expected} messages by {where}, and {found} can be read"
        )

    def _info(self) -> BagInfo:
        kinds: dict[str, set[str]] = {}
        counts: Counter[str] = Counter()
        for connection in self._storage.connections:
            kinds.setdefault(connection.topic, set()).add(connection.msgtype)
            counts[connection.topic] += connection.msgcount
        topics = [
            BagTopic(name, found.pop() if len(found) == 1 else "several types", counts[name])
            for name, found in sorted(kinds.items())
        ]
        return BagInfo(self.path, self.kind, tuple(topics), self._storage.start, self._storage.end)


def read_bag_info(path: Path | str) -> BagInfo:
    """Topics, types, counts and time range of a bag.

    Raises:
        BagError: Nothing can be read.
        MissingExtraError: The package ``rosbags`` is not installed.
    """
    with OpenBag(path) as bag:
        return bag.info


def _definitions(distro: str) -> Any:
    typesys = require("rosbags.typesys", extra="bags", purpose=PURPOSE)
    stores = {s.value.removeprefix("ros1_").removeprefix("ros2_"): s for s in typesys.Stores}
    if distro not in stores:
        raise SettingError(f"unknown ROS distribution {distro!r}; known: {', '.join(stores)}")
    return typesys.get_typestore(stores[distro])
