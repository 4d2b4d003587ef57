"""Streams: one localizer each, which remembers the frames before."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from placememory.errors import ImageError
from placememory.frames import Frame, Image
from placememory.fusion import Odometry
from placememory.localization import AddedRun, Estimate, LocalizedRun, Localizer, Summary, add_run
from placememory.memory import Place, PlaceId
from placememory.serve.engine import Engine
from placememory.serve.faults import Refusal
from placememory.serve.pictures import decode_upload
from placememory.serve.settings import ServeSettings

_log = logging.getLogger(__name__)
_LISTENERS = 8  # of a stream
_UNREAD = 32  # estimates that wait for a listener; then the oldest go
_RECORDED = 20_000  # frames of a stream that can be saved


@dataclass(eq=False)
class Stream:
    """A camera's frames in their order.

    Attributes:
        id: That nobody can guess.
        localizer: Of this stream alone.
        summary: Counts.
        verdict: The newest.
        used: When a frame or a listener was there last.
    """

    id: str
    localizer: Localizer
    summary: Summary = field(default_factory=Summary)
    verdict: str | None = None
    used: float = field(default_factory=time.monotonic)
    record: list[Estimate] = field(default_factory=list)
    places: dict[PlaceId, Place] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    listeners: set[asyncio.Queue[dict[str, Any] | None]] = field(default_factory=set)
    ended: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"id": self.id, "frames": self.summary.frames, "verdict": self.verdict}


class Streams:
    """All streams of a service; the methods are called in its event loop.

    Args:
        engine: Its encoder and memory are shared.
        settings: Of the service.
        pool: Where frames are worked on.
    """

    def __init__(self, engine: Engine, settings: ServeSettings, pool: Executor) -> None:
        self._engine, self._settings, self._pool = engine, settings, pool
        self._streams: dict[str, Stream] = {}
        self._opening = 0

    def __len__(self) -> int:
        return len(self._streams)

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain values of all, for JSON."""
        return [stream.to_dict() for stream in self._streams.values()]

    async def open(self) -> Stream:
        """Begin a stream.

        Raises:
            Refusal: There are as many as there may be.
        """
        if len(self._streams) + self._opening >= self._settings.max_streams:
            raise Refusal(
                429,
                "too_many_streams",
                f"there are {self._settings.max_streams} streams already; end one (DELETE)",
            )
        self._opening += 1
        try:
            loop = asyncio.get_running_loop()
            localizer = await loop.run_in_executor(self._pool, self._engine.make_localizer)
        finally:
            self._opening -= 1
        stream = Stream(secrets.token_hex(16), localizer)
        self._streams[stream.id] = stream
        return stream

    def get(self, stream_id: str) -> Stream:
        """A stream.

        Raises:
            Refusal: There is none of this id.
        """
        stream = self._streams.get(stream_id)
        if stream is None:
            raise Refusal(404, "no_such_stream", "there is no such stream; it may have ended")
        return stream

    def end(self, stream: Stream) -> None:
        """End a stream; its listeners are told."""
        self._streams.pop(stream.id, None)
        stream.ended = True
        for queue in stream.listeners:
            _put(queue, None)

    def end_all(self) -> None:
        """End all streams, as the service ends."""
        for stream in list(self._streams.values()):
            self.end(stream)

    def end_idle(self) -> None:
        """End the streams that nobody has used for too long."""
        oldest = time.monotonic() - self._settings.idle
        for stream in list(self._streams.values()):
            if stream.used < oldest and not stream.listeners and not stream.turn.locked():
                _log.info("stream %s ends: idle", stream.id[:8])
                self.end(stream)

    async def observe(
        self, stream: Stream, data: bytes, stamp: int | None, odometry: Odometry | None
    ) -> dict[str, Any]:
        """Localise the next frame, one after another, and tell the listeners.

        An image that cannot be read is no evidence, and the belief moves on by the odometry, as the
        localizer says; one that is too large is refused.

        Returns:
            The estimate as plain values, with ``heat``.

        Raises:
            Refusal: The stream has ended.
            ImageSizeError: The image has too many pixels.
            InputError: The frame cannot be taken.
        """
        async with stream.turn:
            if stream.ended:
                raise Refusal(404, "no_such_stream", "the stream has ended")
            stream.used = time.monotonic()
            work = partial(self._observe, stream, data, stamp, odometry)
            estimate, event = await asyncio.get_running_loop().run_in_executor(self._pool, work)
            stream.summary.add(estimate)
            stream.verdict, stream.used = estimate.verdict, time.monotonic()
            for queue in stream.listeners:
                _put(queue, event)
            return event

    def listen(self, stream: Stream, every: float) -> AsyncIterator[dict[str, Any] | None]:
        """Events of a stream as they come until it ends; ``None`` where none came for a while.

        Args:
            stream: Of :meth:`get`.
            every: Seconds.

        Raises:
            Refusal: There are too many listeners.
        """
        if len(stream.listeners) >= _LISTENERS:
            raise Refusal(429, "too_many_listeners", f"a stream has at most {_LISTENERS} listeners")
        return self._events(stream, every)

    async def _events(self, stream: Stream, every: float) -> AsyncIterator[dict[str, Any] | None]:
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(_UNREAD)
        stream.listeners.add(queue)
        try:
            while not stream.ended or not queue.empty():
                try:
                    event = await asyncio.wait_for(queue.get(), every)
                except TimeoutError:
                    yield None
                    continue
                if event is None:
                    return
                yield event
        finally:
            stream.listeners.discard(queue)
            stream.used = time.monotonic()

    async def save(self, stream: Stream, session: str) -> AddedRun:
        """Add the frames of a stream to the memory, as a session.

        Raises:
            Refusal: The memory is read-only here, or the stream is too long.
            InputError: The run cannot be added; see :func:`placememory.add_run`.
            MemoryStoreError: The memory cannot be written to.
        """
        if not self._settings.writable:
            raise Refusal(403, "read_only", "the memory is read-only here; serve it --writable")
        async with stream.turn:
            if stream.summary.frames > len(stream.record):
                raise Refusal(409, "too_long", f"only {_RECORDED} frames of a stream are kept")
            run = LocalizedRun(tuple(stream.record), [*stream.places.values()], stream.summary)
            work = partial(add_run, self._engine.memory, run, session)
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _observe(
        self, stream: Stream, data: bytes, stamp: int | None, odometry: Odometry | None
    ) -> tuple[Estimate, dict[str, Any]]:
        """In a thread of the pool."""
        image = _decode(data, self._settings, self._engine)

        def read() -> Image:
            if isinstance(image, ImageError):
                raise image
            return image

        number = stream.summary.frames
        frame = Frame(f"{number:06d}", stream.id, number, stamp=stamp, read=read)
        estimate = stream.localizer.observe(frame, odometry)
        self._engine.count(estimate)
        if self._settings.writable and number < _RECORDED:
            stream.record.append(estimate.without_image())
            if len(stream.places) != len(stream.localizer.places):
                stream.places.update((place.id, place) for place in stream.localizer.places)
        heat = [[row, round(p, 6)] for row, p in self._engine.heat(stream.localizer)]
        return estimate, {**estimate.to_dict(), "heat": heat}


def _decode(data: bytes, settings: ServeSettings, engine: Engine) -> Image | ImageError:
    """The image, or why it cannot be read.

    Raises:
        ImageSizeError: It has too many pixels.
    """
    try:
        return decode_upload(data, settings.max_pixels, engine.memory.levels)
    except ImageError as error:
        if type(error) is not ImageError:
            raise
        return error


def _put(queue: asyncio.Queue[dict[str, Any] | None], event: dict[str, Any] | None) -> None:
    """Give a listener an event; one that does not keep up loses the oldest."""
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(event)
