"""Frames of a video file, decoded when they are read."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from placememory._registry import require
from placememory.errors import ImageError
from placememory.frames.frame import Frame, Image

SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts"})
_NANOSECONDS = 1_000_000_000
_STEP_BACK = 16


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

    Attributes:
        stamps: Nanoseconds from the start, one per frame, in the order shown.
    """

    def __init__(self, path: Path) -> None:
        self._av = require("av", extra="video", purpose="Video files")
        self._path = path
        self._lock = threading.Lock()
        try:
            with self._av.open(str(path)) as container:
                stream = container.streams.video[0]
                times = sorted(p.pts for p in container.demux(stream) if p.pts is not None)
                self._base = stream.time_base
        except (self._av.FFmpegError, IndexError) as error:
            raise ImageError(f"{path}: cannot read the video ({error})") from error
        self._pts = times
        start = times[0] if times else 0
        self.stamps = [int((t - start) * self._base * _NANOSECONDS) for t in times]
        self._container: Any = None
        self._decoder: Any = None
        self._ahead: Any = None
        self._next = 0

    def read(self, index: int) -> Image:
        """Frame ``index`` as (H, W, 3) uint8 RGB.

        Raises:
            ImageError: The video is damaged there; the frames after it are still right.
        """
        with self._lock:
            try:
                if self._decoder is None or index < self._next:
                    self._rewind(index)
                return self._forward_to(index)
            except (self._av.FFmpegError, StopIteration) as error:
                self._decoder = None
                raise ImageError(f"{self._path}: cannot decode frame {index} ({error})") from error

    def _rewind(self, index: int) -> None:
        """Start decoding at or before a frame, wherever the container's seek may land."""
        start, back = index, _STEP_BACK
        self._start_at(start)
        while start and (self._ahead is None or (self._ahead.pts or 0) > self._pts[index]):
            start, back = max(0, index - back), back * 4
            self._start_at(start)

    def _start_at(self, index: int) -> None:
        if self._container is not None:
            self._container.close()
        self._container = self._av.open(str(self._path))
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        if index:
            self._container.seek(self._pts[index], stream=stream, backward=True)
        self._decoder = self._container.decode(stream)
        self._ahead = next(self._decoder, None)

    def _forward_to(self, index: int) -> Image:
        wanted = self._pts[index]
        while True:
            decoded, self._ahead = self._ahead or next(self._decoder), None
            if decoded.pts is None or decoded.pts < wanted:
                continue
            self._next = index + 1
            if decoded.pts > wanted:
                self._ahead = decoded  # a later frame's
                raise ImageError(f"{self._path}: cannot decode frame {index} (it is damaged)")
            return np.asarray(decoded.to_ndarray(format="rgb24"), dtype=np.uint8)
