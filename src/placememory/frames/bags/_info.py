"""What is in a bag: topics, types, counts, and the time it spans."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from placememory.errors import BagError

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
    """What is in a bag.

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

    def named(self, name: str, types: tuple[str, ...], what: str) -> BagTopic:
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
            return self.named(name, IMAGE_TYPES, "images")
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
