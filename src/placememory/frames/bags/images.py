"""Frames of a bag: listed and read when asked for, or streamed as a robot would see them."""

from __future__ import annotations

import threading
import weakref
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from placememory.errors import BagError, ImageError
from placememory.frames.bags.open import OpenBag, RawMessage
from placememory.frames.bags.packets import PacketDecoder, begins_anew, codec_of, undecodable
from placememory.frames.bags.pixels import rgb_of_message
from placememory.frames.bags.storage import find_bag
from placememory.frames.frame import Frame, Image
from placememory.frames.levels import Scale

OnDamage = Callable[[BagError], None]
_STEP = 32  # further on than this, looking for the place beats reading up to it
_PASSED = 8  # messages or images kept for a thread that comes late
_REORDERED = 16  # packets after its own that an image may need
_NANOSECONDS = 1_000_000_000


def list_bag(
    path: Path | str,
    topic: str | None = None,
    session: str | None = None,
    *,
    on_damage: OnDamage | None = None,
) -> list[Frame]:
    """List the frames of a bag, in the order they were received; images are read when asked for.

    Reading the frames in order passes through the bag once; several threads may read.

    Args:
        path: ``.bag``, ``.mcap``, ``.db3``, or a rosbag2 folder.
        topic: Images or compressed images; left out: the only such topic.
        session: Name of the session; default is the name of the file or folder.
        on_damage: Called where the bag is damaged, with what is wrong; the frames before the
            damage are then returned. Without it, damage raises.

    Returns:
        Frames named ``run.mcap#000012``. The stamp is that of the message's header, or where that
        is zero, when the message was received.

    Raises:
        BagError: The bag is damaged, or has not one topic to choose.
        MissingExtraError: The package ``rosbags`` is not installed.
    """
    path = find_bag(Path(path))
    stamps: list[int] = []
    messages = _Messages(path)
    with OpenBag(path) as bag:
        messages.topic = bag.info.image_topic(topic).name
        try:
            for message in bag.messages([messages.topic]):
                decoded, stamp = _decode(bag, message), message.received
                stamps.append(stamp if decoded is None else stamp_of(decoded, stamp))
                messages.note(message.received, decoded)
        except BagError as error:
            if on_damage is None:
                raise
            on_damage(error)
    label = _label(path, session)
    return [
        Frame(f"{path.name}#{i:06d}", label, i, stamp=stamp, read=partial(messages.image, i))
        for i, stamp in enumerate(stamps)
    ]


def stream_bag(
    path: Path | str, topic: str | None = None, session: str | None = None
) -> Iterator[Frame]:
    """Frames of a bag one after the other, each with its image in hand, as a camera gives them.

    One message is held at a time; the image is decoded when the frame is asked for it. For the
    motion between frames see :meth:`Trajectory.motions` of :func:`read_bag_poses`.

    Args:
        path: ``.bag``, ``.mcap``, ``.db3``, or a rosbag2 folder.
        topic: Images or compressed images; left out: the only such topic.
        session: Name of the session; default is the name of the file or folder.

    Raises:
        BagError: The bag is damaged (the frames before the damage were yielded), or has not one
            topic to choose.
        MissingExtraError: The package ``rosbags`` is not installed.
    """
    path = find_bag(Path(path))
    label = _label(path, session)
    with OpenBag(path) as bag:
        chosen = bag.info.image_topic(topic).name
        first = next(bag.messages([chosen]), None)
        decoded = None if first is None else _decode(bag, first)
        if decoded is not None and codec_of(decoded) is not None:
            yield from _stream_video(path, chosen, label)
            return
        for index, message in enumerate(bag.messages([chosen])):
            name = f"{path.name}#{index:06d}"
            where, stamp = f"{name} ({chosen})", message.received
            read: Callable[[], Image]
            try:  # now, because the bag may be closed when the image is asked for
                decoded = bag.decode(message)
                stamp = stamp_of(decoded, message.received)
                read = partial(rgb_of_message, decoded, where)
            except BagError as error:
                read = partial(_refuse, where, error)
            yield Frame(name, label, index, stamp=stamp, read=read)


def _stream_video(path: Path, topic: str, session: str) -> Iterator[Frame]:
    """Frames of a topic of video packets, whose images need other messages than their own."""
    damage: list[BagError] = []
    yield from list_bag(path, topic, session, on_damage=damage.append)
    if damage:
        raise damage[0]


def stamp_of(message: Any, received: int) -> int:
    """Nanoseconds of a message's header; when it was received, where the header has none."""
    stamp = message.header.stamp
    return int(stamp.sec * _NANOSECONDS + stamp.nanosec) or received


def _decode(bag: OpenBag, message: RawMessage) -> Any:
    """The message of an image; ``None`` if it cannot be read."""
    try:
        return bag.decode(message)
    except BagError:
        return None


def _image(bag: OpenBag, message: RawMessage, where: str, levels: Scale | None) -> Image:
    """The image in a message.

    Raises:
        ImageError: It cannot be decoded.
    """
    try:
        decoded = bag.decode(message)
    except BagError as error:
        _refuse(where, error)
    return rgb_of_message(decoded, where, levels=levels)


def _refuse(where: str, error: BagError) -> NoReturn:
    raise ImageError(f"{where}: cannot read the image ({error})") from error


def _label(path: Path, session: str | None) -> str:
    if session is not None:
        return session
    return path.resolve().name if path.is_dir() else path.resolve().stem


class _Messages:
    """Random access to the messages of one topic, cheap in order.

    One thread at a time reads, from one open bag; decoding is outside of the lock. Threads that
    read ahead come a little out of order, so the last messages that were passed are kept.
    """

    def __init__(self, path: Path) -> None:
        self.topic = ""
        self._path = path
        self._keys: list[tuple[int, int]] = []  # received, and which of those with equal times
        self._indices: dict[tuple[int, int], int] = {}
        self._seen: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._bag: OpenBag | None = None
        self._found: Iterator[RawMessage] = iter(())
        self._next: int | None = None  # index that the reader comes to; None: somewhere
        self._passed: OrderedDict[int, RawMessage] = OrderedDict()
        self._codec: str | None = None  # of video; None: each message is an image of its own
        self._is_known = False  # whether a message was seen that says so
        self._anew: list[int] = [0]  # indices from which video can be decoded
        self._decoder: PacketDecoder | None = None
        self._fed = 0  # index that the decoder wants next
        self._images: OrderedDict[int, Image] = OrderedDict()  # decoded and not asked for yet

    def note(self, received: int, message: Any) -> None:
        """Add a message; ``None``: it cannot be read."""
        if message is not None and not self._is_known:
            self._codec, self._is_known = codec_of(message), True
        if message is not None and self._codec is not None and begins_anew(message, self._codec):
            self._anew.append(len(self._keys))
        key = received, self._seen[received]
        self._seen[received] += 1
        self._indices[key] = len(self._keys)
        self._keys.append(key)

    def image(self, index: int, *, levels: Scale | None = None) -> Image:
        """Image ``index`` as (H, W, 3) uint8 RGB; a deep one is scaled by levels.

        Raises:
            ImageError: It cannot be read or decoded.
        """
        where = f"{self._path.name}#{index:06d} ({self.topic})"
        try:
            with self._lock:
                bag = self._open()
                if self._codec is not None:
                    return self._decode_video(bag, index, self._codec, where)
                raw = self._raw(bag, index)
        except BagError as error:
            _refuse(where, error)
        return _image(bag, raw, where, levels)

    def _open(self) -> OpenBag:
        if self._bag is None:
            self._bag = OpenBag(self._path)
            weakref.finalize(self, self._bag.close)
        return self._bag

    def _decode_video(self, bag: OpenBag, index: int, codec: str, where: str) -> Image:
        """Feed the decoder until the image of a packet comes out."""
        if index in self._images:
            return self._images.pop(index)
        start = self._anew[bisect_right(self._anew, index) - 1]
        if self._decoder is None or not start <= self._fed <= index:
            self._decoder, self._fed = PacketDecoder(codec, where), start
            self._images.clear()
        last = min(len(self._keys), index + 1 + _REORDERED)
        while index not in self._images and self._fed <= last:
            data = None
            if self._fed < len(self._keys):
                data = bytes(bag.decode(self._raw(bag, self._fed)).data)
            self._images.update(self._decoder.feed(self._fed, data))
            self._fed += 1
            if data is None:
                self._decoder = None
                break
        image = self._images.pop(index, None)
        while len(self._images) > _PASSED:
            self._images.popitem(last=False)
        if image is None:
            raise undecodable(where, codec, bytes(bag.decode(self._raw(bag, index)).data))
        return image

    def _raw(self, bag: OpenBag, index: int) -> RawMessage:
        if index in self._passed:
            return self._passed.pop(index)
        if self._next is None or not 0 <= index - self._next <= _STEP:
            self._passed.clear()
            self._seen.clear()
            self._found = bag.messages([self.topic], start=self._keys[index][0])
        for message in self._found:
            key = message.received, self._seen[message.received]
            self._seen[message.received] += 1
            at = self._indices.get(key, -1)
            self._next = at + 1
            if at == index:
                return message
            self._passed[at] = message
            if len(self._passed) > _PASSED:
                self._passed.popitem(last=False)
        self._next = None
        raise BagError(f"{self._path}: the message is not there any more")
