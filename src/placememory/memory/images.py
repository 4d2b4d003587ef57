"""Images of a memory's places, from the frames they were built from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from placememory.errors import BagError, ImageError, InputError
from placememory.frames import (
    BagInfo,
    Frame,
    FrameSelection,
    Image,
    list_frames,
    read_bag_info,
)
from placememory.frames.bags import IMAGE_TYPES, is_bag
from placememory.frames.video import is_video
from placememory.memory.place import Place
from placememory.memory.place_memory import PlaceMemory

_log = logging.getLogger(__name__)

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
        return images_of(frame.with_levels(memory.levels) for frame in frames)

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


def _ignore(_: BagError) -> None:
    """Damage that was reported when the memory was built."""


def _frames_below(memory: PlaceMemory, session: str, source: Path) -> list[Frame]:
    """A session's frames with images; none where the source has gone."""
    if not source.exists():
        return []
    if is_bag(source) or (source.is_file() and is_video(source)):
        topic = memory.manifest.topics.get(session)
        try:
            return list_frames(source, session=session, topic=topic, on_damage=_ignore)
        except InputError as error:
            _log.warning("the images of session %r cannot be shown: %s", session, error)
            return []
    root = source if source.is_dir() else source.parent
    known = [p for p in memory.places if p.session == session and (root / p.name).is_file()]
    if not known:
        return []
    listed = list_frames(root, session=session, names=[place.name for place in known])
    return [
        Frame(frame.name, session, place.index, read=frame.read)
        for frame, place in zip(listed, known, strict=True)
    ]


def recall_topics(
    selection: FrameSelection, uri: str, source: Path, *, truth: bool = False
) -> FrameSelection:
    """The selection with the topics that a memory's bags were read by, where none is named.

    Args:
        selection: As given.
        uri: Address of the memory.
        source: Where the frames are.
        truth: Whether true poses are needed, too.
    """
    bag = selection.poses or source
    images = selection.topic is None and is_bag(source) and source.exists()
    poses = truth and selection.pose_topic is None and is_bag(bag) and bag.exists()
    if not images and not poses:
        return selection
    with PlaceMemory.open(uri, readonly=True) as memory:
        manifest = memory.manifest
    if images:
        info = read_bag_info(source)
        if len(info.of_types(IMAGE_TYPES)) > 1:
            selection = replace(selection, topic=_known(info, manifest.topics.values()))
    if poses:
        found = _known(read_bag_info(bag), manifest.pose_topics.values())
        selection = replace(selection, pose_topic=found or "auto")
    return selection


def _known(info: BagInfo, names: Iterable[str]) -> str | None:
    """The first of the names that is a topic of a bag."""
    topics = {topic.name.strip("/") for topic in info.topics if topic.count}
    return next((name for name in names if name.strip("/") in topics), None)
