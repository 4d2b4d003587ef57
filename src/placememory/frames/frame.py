"""Frame: one image of a session, with what is known about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from placememory.errors import ImageError
from placememory.frames.pose import Pose

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Frame:
    """One image with its name, session, index, stamp and, where known, its pose.

    The image itself is read when asked for, so that a list of frames costs no memory.

    Attributes:
        name: POSIX path relative to the image folder, or ``video.mp4#000012``.
        session: The traverse the frame belongs to.
        index: Position within the session; with the session it identifies the frame.
        stamp: Nanoseconds since the Unix epoch, or since the start of a video; ``None`` if
            unknown.
        pose: Body in world; ``None`` if unknown.
        vertex_id: Id of the SLAM vertex the image was attached to; ``None`` if there is none.
        floor: Name of the floor or level; ``None`` if there is none.
        read: Returns the image, (H, W, 3) uint8 RGB. Where it is a ``functools.partial`` of a
            function with a keyword ``levels``, deep images can be scaled; see :meth:`with_levels`.

    Example:
        >>> frame = Frame("a.png", "run1", 0, read=lambda: np.zeros((2, 3, 3), np.uint8))
        >>> frame.image().shape
        (2, 3, 3)
    """

    name: str
    session: str
    index: int
    stamp: int | None = None
    pose: Pose | None = None
    vertex_id: int | None = None
    floor: str | None = None
    read: Callable[[], Image] | None = field(default=None, repr=False, compare=False)

    def image(self) -> Image:
        """The image, (H, W, 3) uint8 RGB.

        Raises:
            ImageError: The image cannot be read, or this frame has none.
        """
        if self.read is None:
            raise ImageError(f"frame {self.name!r} has no image to read")
        return self.read()

    def with_levels(self, levels: Any) -> Frame:
        """The frame whose deep image (16 bits, float) is scaled by :class:`Levels` when it is read.

        The frame itself, where there is nothing to scale by, or its images are always of 8 bits.
        """
        if levels is None or not isinstance(self.read, partial):
            return self
        if "levels" not in (getattr(self.read.func, "__kwdefaults__", None) or {}):
            return self
        return replace(self, read=partial(self.read, levels=levels))

    @property
    def topic(self) -> str | None:
        """The topic of a bag that the image is of; ``None`` where it is of no bag."""
        function = self.read.func if isinstance(self.read, partial) else None
        topic = getattr(getattr(function, "__self__", None), "topic", None)
        return topic if isinstance(topic, str) else None

    @property
    def path(self) -> Path | None:
        """The image's file, where ``read`` is ``functools.partial(read_image, path)``."""
        arguments = getattr(self.read, "args", ())
        return arguments[0] if arguments and isinstance(arguments[0], Path) else None


class FrameImages(Sequence[Image]):
    """The images of frames as a sequence, each read when asked for.

    Example:
        >>> frame = Frame("a.png", "run1", 0, read=lambda: np.zeros((2, 3, 3), np.uint8))
        >>> [image.shape for image in FrameImages([frame, frame])]
        [(2, 3, 3), (2, 3, 3)]
    """

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> FrameImages: ...
    def __getitem__(self, index: int | slice) -> Image | FrameImages:
        if isinstance(index, slice):
            return FrameImages(self._frames[index])
        return self._frames[index].image()
