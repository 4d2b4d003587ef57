"""Images of a memory's places, from the frames they were built from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from placememory.errors import ImageError, InputError
from placememory.frames import Frame, Image, list_frames
from placememory.frames.bags import is_bag
from placememory.frames.video import is_video
from placememory.memory.place import Place
from placememory.memory.place_memory import PlaceMemory

ImageOf = Callable[[Place], Image | None]
"""The (H, W, 3) uint8 RGB image of a place; ``None`` where there is none that can be read."""


def images_of(frames: Iterable[Frame]) -> ImageOf:
    """Find the images of places among the frames a memory was built from.

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
        return None if frame is None or frame.name != place.name else read_image(frame)

    return image_of


def no_images(place: Place) -> Image | None:  # noqa: ARG001 - one signature for all sources
    """Give no image: for memories whose images are not available."""
    return None


def read_image(frame: Frame) -> Image | None:
    """Read a frame's image, (H, W, 3) uint8 RGB; ``None`` if it has none or cannot be read."""
    try:
        return None if frame.read is None else frame.image()
    except ImageError:
        return None


def images_of_memory(memory: PlaceMemory, folder: Path | None = None) -> ImageOf:
    """Find a memory's images in a folder, else where they were when it was built."""

    def look() -> ImageOf:
        sources = memory.manifest.sources
        frames: list[Frame] = []
        for session in memory.sessions():
            source = folder or sources.get(session)
            if source is not None:
                frames += _frames_below(memory, session, Path(source))
        return images_of(frames)

    revision, found = memory.revision, look()

    def image_of(place: Place) -> Image | None:
        nonlocal revision, found
        if memory.revision != revision:
            revision, found = memory.revision, look()
        return found(place)

    return image_of


def images_folder(memory: PlaceMemory) -> Path:
    """Find the folder of the images that a memory was built from.

    Raises:
        InputError: It is not there any more.
    """
    folders = (memory.manifest.sources.get(name) for name in memory.sessions())
    for folder in folders:
        if folder is not None and Path(folder).is_dir():
            return Path(folder)
    raise InputError(f"{memory.uri}: the images it was built from are not where they were")


def _frames_below(memory: PlaceMemory, session: str, source: Path) -> list[Frame]:
    """A session's frames with images; none where the source has gone."""
    if not source.exists():
        return []
    if is_bag(source) or (source.is_file() and is_video(source)):
        return list_frames(source, session=session)
    root = source if source.is_dir() else source.parent
    known = [p for p in memory.places if p.session == session and (root / p.name).is_file()]
    if not known:
        return []
    listed = list_frames(root, session=session, names=[place.name for place in known])
    return [
        Frame(frame.name, session, place.index, read=frame.read)
        for frame, place in zip(listed, known, strict=True)
    ]
