"""List the frames of a folder, a glob, a list file, a video, a ROS bag or a single image."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath

from placememory._io import check_file, read_text
from placememory.errors import BagError, ImageError, InputError
from placememory.frames.bags import find_bag, is_bag, list_bag
from placememory.frames.exif import read_exif_poses
from placememory.frames.folders import find_images
from placememory.frames.frame import Frame
from placememory.frames.images import open_image, read_image
from placememory.frames.names import parse_names
from placememory.frames.poses import PoseTable, read_poses
from placememory.frames.video import is_video, list_video

_log = logging.getLogger(__name__)
_SEQUENCES = {"PNG", "WEBP", "TIFF", "AVIF"}  # Pillow's names


def list_frames(
    source: Path | str,
    *,
    session: str | None = None,
    names: Path | str | Iterable[str] | None = None,
    globs: Sequence[str] = (),
    exif: bool = True,
    every: int = 1,
    topic: str | None = None,
    on_damage: Callable[[BagError], None] | None = None,
) -> list[Frame]:
    """List the frames of a source in the order they were taken; no image is read yet.

    Images of a folder are in the order of the stamps in their names where all have one, else in
    natural order. What the numbers in the names mean is decided over all of them, and where that is
    in doubt a warning names both readings.

    Args:
        source: A folder (searched recursively), a video file, a ROS bag (file or folder), or one
            image. A folder given with ``names`` or ``globs`` is one of images.
        session: Name of the session; default is the name of the folder or file.
        names: Only these, in this order: names relative to the folder, or a file with one name
            per line (``#`` starts a comment line).
        globs: Only files that match one of these patterns, relative to the folder
            (``"cam0/*.jpg"``, ``"**/*.png"``).
        exif: Honour the EXIF orientation.
        every: Keep every n-th frame. The index of a frame does not depend on it.
        topic: For a bag: the topic of the images, where there is more than one.
        on_damage: For a bag: called where it is damaged; the frames before are then listed.

    Returns:
        Frames with vertex id, stamp and position where their names carry them.

    Raises:
        InputError: The source does not exist, holds no frame, or ``every`` is below 1.
        ImageError: A listed name does not exist.
        BagError: The bag is damaged, or has not one topic to choose.
    """
    path = find_bag(Path(source))
    if every < 1:
        raise InputError(f"every must be at least 1, not {every}")
    if not path.exists():
        raise InputError(f"{path}: there is no such folder, video, bag or image")
    label = (
        session
        if session is not None
        else (path.resolve().stem if path.is_file() else path.resolve().name)
    )
    if names is None and not globs and is_bag(path):
        frames = list_bag(path, topic, label, on_damage=on_damage)
    elif path.is_file() and is_video(path):
        frames = list_video(path, label)
    elif not path.is_dir():
        check_file(path, InputError)
        _warn_of_more(path)
        frames = _frames(path.parent, [path.name], label, exif)
    else:
        chosen = _check_names(path, names) if names is not None else find_images(path, globs)
        frames = _frames(path, chosen, label, exif)
    if not frames:
        raise InputError(f"{path}: the list names no images")
    return frames[::every]


def _warn_of_more(path: Path) -> None:
    """Warn of an image that holds a sequence, of which one picture is read."""
    with suppress(ImageError, OSError), path.open("rb") as file, open_image(file, path.name) as it:
        count = getattr(it, "n_frames", 1)
        if count > 1 and it.format in _SEQUENCES:  # photos of phones may hold a preview
            _log.warning(
                "%s holds %d pictures, of which the first is read; make a folder of them",
                path, count,
            )  # fmt: skip


def _check_names(folder: Path, names: Path | str | Iterable[str]) -> list[str]:
    if isinstance(names, str | Path):
        names = read_name_list(Path(names))
    chosen = [PurePosixPath(name).as_posix() for name in names]
    missing = [name for name in chosen if not (folder / name).is_file()]
    if missing:
        raise ImageError(
            f"{len(missing)} of {len(chosen)} listed images are not in {folder}, "
            f"first {missing[0]!r}"
        )
    return chosen


def read_name_list(path: Path) -> list[str]:
    """Read a list file: one name per line, blank lines and ``#`` comments left out.

    Raises:
        InputError: The file cannot be read as text.
    """
    lines = read_text(path, InputError).splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _frames(folder: Path, names: Sequence[str], session: str, exif: bool) -> list[Frame]:
    read = parse_names(names)
    for warning in read.warnings:
        _log.warning("%s: %s", folder, warning)
    return [
        Frame(
            name=name,
            session=session,
            index=index,
            stamp=facts.stamp,
            pose=facts.pose,
            vertex_id=facts.vertex_id,
            read=partial(read_image, folder / name, exif=exif),
        )
        for index, (name, facts) in enumerate(zip(names, read.facts, strict=True))
    ]


def resolve_frames(
    images: str | Path | Iterable[Frame],
    poses: str | Path | PoseTable | None = None,
    *,
    session: str | None = None,
) -> list[Frame]:
    """Frames of a source, or of frames that are given, with their poses.

    Args:
        images: A folder, video, bag or image, or frames, which are taken as they are.
        poses: File or table of poses to join, by name, vertex id or stamp; ``"exif"``: the GPS
            positions in photographs.
        session: Name of the session, where frames are listed.

    Raises:
        InputError: The source or the poses cannot be read.
        PoseError: Under a tenth of the frames find a pose; :meth:`PoseTable.join` allows that.

    Example:
        >>> [frame.name for frame in resolve_frames([Frame("a.png", "run1", 0)])]
        ['a.png']
    """
    if isinstance(images, str | Path):
        frames = list_frames(images, session=session)
    else:
        frames = list(images)
    if poses is None:
        return frames
    if str(poses) == "exif" and not Path("exif").exists():
        table = read_exif_poses(frames)
    else:
        table = read_poses(poses) if isinstance(poses, str | Path) else poses
    joined, report = table.join(frames)
    for warning in report.warnings:
        _log.warning("%s", warning)
    report.check()
    return joined
