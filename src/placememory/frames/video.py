"""Frames of a video file, decoded when they are read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from placememory._registry import require
from placememory.errors import ImageError
from placememory.frames.content import describe_file
from placememory.frames.frame import Frame, Image

_CONTAINERS = """
.mp4 .m4v .mov .qt .3gp .3g2 .f4v .mkv .webm .avi .divx .wmv .asf .flv .ts .mts .m2ts .mpg .mpeg
.m2v .vob .ogv .mxf .y4m .ivf .obu .h264 .264 .avc .h265 .265 .hevc .mjpeg .mjpg .gif
"""
SUFFIXES = frozenset(_CONTAINERS.split())
_NANOSECONDS = 1_000_000_000
_STEP_BACK = 16
_INDEXED = {"mov", "matroska"}  # containers that have a time for each frame shown
_UNSHOWN = {"vp8"}  # codecs with packets that show nothing
_DEFAULT_RATE = 25  # frames a second of a stream that does not say; FFmpeg's


def is_video(path: Path) -> bool:
    """Whether the file name ends like a video.

    Example:
        >>> is_video(Path("walk.MP4"))
        True
    """
    return path.suffix.lower() in SUFFIXES


def list_video(path: Path, session: str) -> list[Frame]:
    """List the frames of a video; their stamps count nanoseconds from its start.

    Reading the frames in order decodes each once; reading an earlier one seeks back.

    Raises:
        ImageError: The file is no readable video.
        MissingExtraError: PyAV is not installed.
    """
    reader = VideoReader(path)
    return [
        Frame(f"{path.name}#{i:06d}", session, i, stamp=stamp, read=partial(reader.read, i))
        for i, stamp in enumerate(reader.stamps)
    ]


class VideoReader:
    """Random access to a video's frames, cheap in order. One thread at a time decodes.

    The frames are those that FFmpeg shows: edit lists are followed, and frames are turned and
    mirrored as the video says. The times are taken from the container where it has one for each
    frame; other videos (AVI, MPEG-TS, streams of H.264 alone, ...) are decoded once to find them.

    Attributes:
        stamps: Nanoseconds from the start, one per frame, in the order shown.
    """

    def __init__(self, path: Path) -> None:
        self._av = require("av", extra="video", purpose="Video files")
        self._path = path
        self._lock = threading.Lock()
        self._container: Any = None
        self._frames: Iterator[Any] = iter(())
        self._ahead: Any = None
        self._next: int | None = None  # index that decoding comes to; None: nothing is open
        try:
            with self._av.open(str(path)) as container:
                stream = _find_stream(container)
                times = _packet_times(container, stream)
                base = stream.time_base
            if times is None:
                with self._av.open(str(path)) as container:
                    stream = _find_stream(container)
                    times = [frame.pts for frame in self._decode(container, stream)]
                    rate = stream.guessed_rate or stream.average_rate or _DEFAULT_RATE
        except (self._av.FFmpegError, ImageError) as error:
            raise ImageError(
                f"{path}: cannot read the video ({error}); it is {describe_file(path)}"
            ) from error
        self._pts: list[int] | None = times
        if any(time is None for time in times):
            self._pts = None
            self.stamps = [int(i / Fraction(rate) * _NANOSECONDS) for i in range(len(times))]
        else:
            if any(later <= earlier for earlier, later in pairwise(times)):
                self._pts = None
            start = times[0] if times else 0
            self.stamps = [int((t - start) * base * _NANOSECONDS) for t in times]

    def read(self, index: int) -> Image:
        """Frame ``index`` as (H, W, 3) uint8 RGB, upright.

        Raises:
            ImageError: The video is damaged there; the frames after it are still right.
        """
        with self._lock:
            try:
                if self._next is None or index < self._next:
                    self._rewind(index)
                return _upright(self._forward_to(index))
            except (self._av.FFmpegError, StopIteration, ValueError) as error:
                self._next = None
                raise ImageError(f"{self._path}: cannot decode frame {index} ({error})") from error

    def _rewind(self, index: int) -> None:
        """Start decoding at or before a frame, wherever the container's seek may land."""
        start, back = (0 if self._pts is None else index), _STEP_BACK
        self._start_at(start)
        while start and self._pts is not None and self._is_after(self._pts[index]):
            start, back = max(0, index - back), back * 4
            self._start_at(start)

    def _is_after(self, time: int) -> bool:
        return self._ahead is None or (self._ahead.pts or 0) > time

    def _start_at(self, index: int) -> None:
        if self._container is not None:
            self._container.close()
        self._container = self._av.open(str(self._path))
        stream = _find_stream(self._container)
        if index and self._pts is not None:
            self._container.seek(self._pts[index], stream=stream, backward=True)
        self._next = index
        self._frames = self._decode(self._container, stream)
        self._ahead = next(self._frames, None)

    def _decode(self, container: Any, stream: Any) -> Iterator[Any]:
        """The frames that can be decoded."""
        stream.thread_type = "AUTO"
        for packet in container.demux(stream):
            try:
                decoded = packet.decode()
            except self._av.FFmpegError:  # damaged, or in need of what was cut off before
                continue
            yield from decoded

    def _forward_to(self, index: int) -> Any:
        """Decode up to a frame; without times, frames are counted from the start."""
        assert self._next is not None
        while True:
            decoded, self._ahead = self._ahead or next(self._frames), None
            if self._pts is None:
                self._next += 1
                if self._next <= index:
                    continue
                return decoded
            if decoded.pts is None or decoded.pts < self._pts[index]:
                continue
            self._next = index + 1
            if decoded.pts > self._pts[index]:
                self._ahead = decoded  # a later frame's
                raise ImageError(f"{self._path}: cannot decode frame {index} (it is damaged)")
            return decoded


def _find_stream(container: Any) -> Any:
    """The stream that players show: no cover picture, no preview.

    Raises:
        ImageError: There is none.
    """
    stream = container.streams.best("video")
    if stream is None:
        raise ImageError("it holds no pictures")
    return stream


def _packet_times(container: Any, stream: Any) -> list[int] | None:
    """Times of the frames in the order shown; ``None`` where packets do not tell them."""
    packets = [
        (packet.pts, packet.is_discard, packet.is_keyframe)
        for packet in container.demux(stream)
        if packet.size
    ]
    if not _INDEXED & set(container.format.name.split(",")):
        return None
    if stream.codec_context.name in _UNSHOWN or any(pts is None for pts, _, _ in packets):
        return None
    shown = sorted(pts for pts, discarded, _ in packets if not discarded)
    if packets and not (packets[0][2] and packets[0][0] == min(pts for pts, _, _ in packets)):
        return None  # the first frames may need others that were cut off
    return shown if len(set(shown)) == len(shown) else None


def _upright(frame: Any) -> Image:
    """Pixels, turned and mirrored by quarters as the display matrix says."""
    image = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[
        :5
    ].tolist()  # x' = ax + cy, y' = bx + dy
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, right, down = image.transpose(1, 0, 2), c, b
    else:
        right, down = a, d
    return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])
