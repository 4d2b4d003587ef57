"""Frames of a camera as they are taken: always the newest, never a queue."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from placememory._registry import require
from placememory.errors import CameraError, ImageError
from placememory.frames.frame import Frame, Image

Opener = Callable[[str], Any]
_DEVICE = re.compile(r"/dev/video\d+")
_FORMATS = {"darwin": "avfoundation", "win32": "dshow"}
_POLL = 0.1  # seconds between two looks at whether to stop
_PAUSE = 0.01  # seconds before a camera that has nothing ready is asked again
_CLOSING = 2.0  # seconds that a camera has to close


def is_camera(source: Path | str) -> bool:
    """Whether a source is a camera: an index (and no file of that name), or ``/dev/video0``.

    Example:
        >>> is_camera("0"), is_camera("/dev/video2"), is_camera("run2")
        (True, True, False)
    """
    text = str(source)
    return _DEVICE.fullmatch(text) is not None or (
        text.isascii() and text.isdigit() and not Path(text).exists()
    )


def open_camera(source: str) -> Any:
    """Open a camera with FFmpeg: by v4l2 on Linux, avfoundation on macOS, dshow on Windows.

    Args:
        source: An index or a device, as :func:`is_camera` knows it.

    Returns:
        The open ``av.container.InputContainer``.

    Raises:
        CameraError: There is no such camera, or it cannot be opened.
        MissingExtraError: PyAV is not installed.
    """
    av = require("av", extra="video", purpose="Cameras")
    try:
        address, kind = _address(source, av)
        container = av.open(address, format=kind)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise CameraError(
            f"camera {source}: cannot be opened ({error}); is it plugged in, and free?"
        ) from error
    if not container.streams.video:
        container.close()
        raise CameraError(f"camera {source}: it sends no video")
    return container


def _address(source: str, av: Any, platform: str = sys.platform) -> tuple[str, str]:
    """What FFmpeg opens, and as which kind of device.

    Raises:
        CameraError: There are fewer cameras.
    """
    kind = _FORMATS.get(platform, "v4l2")
    if not source.isdigit():
        return source, kind
    if platform != "win32":
        return (source if platform == "darwin" else f"/dev/video{source}"), kind
    devices = [d.name for d in av.enumerate_input_devices(kind) if "video" in d.media_types]
    if int(source) >= len(devices):
        raise CameraError(f"camera {source}: there are {len(devices)} ({', '.join(devices)})")
    return f"video={devices[int(source)]}", kind


class Camera:
    """A camera whose newest image is the next frame.

    A thread reads all images and keeps the last one. What is not taken before the next one comes
    is dropped and counted, so that a slow user sees the present, not a growing past.

    Args:
        source: An index or a device, as :func:`is_camera` knows it.
        session: Name of the session.
        opener: Opens the source; by default :func:`open_camera`.
        patience: Seconds without an image after which the camera counts as gone.

    Attributes:
        dropped: Images that nobody took.

    Example:
        >>> Camera("0").dropped
        0
    """

    def __init__(
        self,
        source: str,
        session: str = "camera",
        *,
        opener: Opener | None = None,
        patience: float = 10.0,
    ) -> None:
        self._source, self._session = source, session
        self._opener, self._patience = opener or open_camera, patience
        self.dropped = 0

    def frames(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Frame]:
        """Open the camera and yield its newest image each time; close it at the end.

        Args:
            stop: Asked before each frame, and ten times a second while none comes.

        Yields:
            Frames named by their number, such as ``000042``; numbers that are missing were
            dropped. The stamp is the time at which the image came, in nanoseconds since the Unix
            epoch; between two frames it runs evenly, even if the clock of the machine is set.

        Raises:
            CameraError: The camera cannot be opened, or it stopped sending.
            MissingExtraError: PyAV is not installed.
        """
        container, slot = self._opener(self._source), _Slot()
        reader = threading.Thread(
            target=_read, args=(container, slot), name="read-camera", daemon=True
        )
        reader.start()
        try:
            while (taken := self._next(slot, stop)) is not None:
                self.dropped = slot.dropped
                name = f"{taken.number:06d}"
                read = partial(_rgb, taken.decoded, f"camera {self._source}, frame {name}")
                yield Frame(name, self._session, taken.number, stamp=taken.stamp, read=read)
        finally:
            slot.close()
            reader.join(_CLOSING)
            self.dropped = slot.dropped

    def _next(self, slot: _Slot, stop: Callable[[], bool]) -> _CameraImage | None:
        """The newest image; ``None`` to stop."""
        last = time.monotonic() + self._patience
        while not stop():
            taken = slot.take(_POLL)
            if taken is not None:
                return taken
            if slot.ended is not None:
                raise CameraError(f"camera {self._source}: it stopped sending ({slot.ended})")
            if time.monotonic() > last:
                raise CameraError(f"camera {self._source}: no image for {self._patience:g} s")
        return None


class _CameraImage(NamedTuple):
    """A decoded image with its number and stamp."""

    number: int
    stamp: int
    decoded: Any


class _Slot:
    """Room for one image between the thread that reads and the one that uses."""

    def __init__(self) -> None:
        self.dropped = 0
        self.ended: str | None = None
        self.closed = False
        self._held: _CameraImage | None = None
        self._count = 0
        self._changed = threading.Condition()
        self._epoch = time.time_ns() - time.monotonic_ns()

    def put(self, decoded: Any) -> None:
        """Hold an image in place of the one before."""
        with self._changed:
            self.dropped += self._held is not None
            self._held = _CameraImage(self._count, self._epoch + time.monotonic_ns(), decoded)
            self._count += 1
            self._changed.notify()

    def take(self, timeout: float) -> _CameraImage | None:
        """The image held, or the next one; ``None`` if none comes in time, or any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._held is not None or self.ended, timeout)
            taken, self._held = self._held, None
            return taken

    def end(self, reason: str) -> None:
        """No image will come any more."""
        with self._changed:
            self.ended = reason
            self._changed.notify()

    def close(self) -> None:
        """Nobody will take any more."""
        self.closed = True


def _read(container: Any, slot: _Slot) -> None:
    """Put every image into the slot until it is closed, or the camera ends."""
    reason = "the stream is at its end"
    try:
        while not slot.closed:
            try:
                for decoded in container.decode(video=0):
                    slot.put(decoded)
                    if slot.closed:
                        return
                break
            except (BlockingIOError, ValueError):  # nothing ready, or one damaged image
                time.sleep(_PAUSE)
    except Exception as error:  # whatever a driver raises; the user's thread must hear of it
        reason = str(error)
    finally:
        container.close()
        slot.end(reason)


def _rgb(decoded: Any, where: str) -> Image:
    """(H, W, 3) uint8 RGB of a decoded image.

    Raises:
        ImageError: It cannot be converted.
    """
    try:
        return np.asarray(decoded.to_ndarray(format="rgb24"), dtype=np.uint8)
    except ValueError as error:
        raise ImageError(f"{where}: cannot be read ({error})") from error
