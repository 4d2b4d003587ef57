"""Images of frames and places for strips and pages: found, read, made small."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

import numpy as np
from PIL import Image as PillowImage

from placememory.errors import ImageError
from placememory.frames import Frame, Image
from placememory.memory import Place

ImageOf = Callable[[Place], Image | None]


def images_of(frames: Iterable[Frame]) -> ImageOf:
    """Where the images of places come from: the frames the memory was built from.

    Args:
        frames: Found by session and index.

    Returns:
        A function from a place to its image, (H, W, 3) uint8 RGB; ``None`` where there is no such
        frame or its image cannot be read.

    Example:
        >>> images_of([])(Place("run1", 0, "a.png")) is None
        True
    """
    known = {(frame.session, frame.index): frame for frame in frames}

    def image_of(place: Place) -> Image | None:
        frame = known.get(place.id)
        return None if frame is None or frame.name != place.name else frame_image(frame)

    return image_of


def no_images(place: Place) -> Image | None:  # noqa: ARG001 - one signature for all sources
    """For memories whose images are not at hand."""
    return None


def frame_image(frame: Frame) -> Image | None:
    """The frame's image, (H, W, 3) uint8 RGB; ``None`` if it has none or it cannot be read."""
    try:
        return None if frame.read is None else frame.image()
    except ImageError:
        return None


def shrink(image: Image, longest: int) -> Image:
    """An image made smaller, never larger, to a longest side in pixels."""
    return np.asarray(_small(image, longest), dtype=np.uint8)


def to_jpeg(image: Image, longest: int, quality: int = 68) -> tuple[bytes, int, int]:
    """The bytes of a small JPEG, with its width and height in pixels."""
    small = _small(image, longest)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=quality, optimize=True)
    return buffer.getvalue(), small.width, small.height


def _small(image: Image, longest: int) -> PillowImage.Image:
    small = PillowImage.fromarray(image)
    small.thumbnail((longest, longest), PillowImage.Resampling.LANCZOS)
    return small
