"""List the frames of a folder, a glob, a list file, a video, a ROS bag or a single image."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath

from placememory._io import check_file
from placememory.errors import BagError, ImageError, InputError
from placememory.frames.bags import find_bag, is_bag, list_bag
from placememory.frames.frame import Frame
from placememory.frames.images import (
    HEIF_SUFFIXES,
    NAMES,
    has_heif,
    is_image,
    read_image,
)
from placememory.frames.names import natural_key, parse_name
from placememory.frames.poses import PoseTable, read_poses
from placememory.frames.video import is_video, list_video

_log = logging.getLogger(__name__)
_OTHER_PICTURES = """
.gif .apng .jp2 .j2k .jpf .jxl .exr .hdr .pfm .dng .cr2 .cr3 .nef .arw .raf .orf .rw2 .raw .psd
.svg .tga .ico .icns .eps .mng .sgi .pcx .dds .npy .fits
"""
_PICTURES = frozenset(_OTHER_PICTURES.split())  # that are not read


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
    """List the frames of a source in natural order; no image is read yet.

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
        Frames with vertex id, stamp and UTM pose where their names carry them.

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
        frames = [_frame(path.parent, path.name, label, 0, exif)]
    elif names is not None:
        chosen = _check_names(path, names)
        frames = [_frame(path, name, label, index, exif) for index, name in enumerate(chosen)]
    else:
        chosen = _find_images(path, globs)
        frames = [_frame(path, name, label, index, exif) for index, name in enumerate(chosen)]
    if not frames:
        raise InputError(f"{path}: the list names no images")
    return frames[::every]


def _find_images(folder: Path, globs: Sequence[str]) -> list[str]:
    """Image names below a folder, relative, in natural order; hidden files are left out.

    What may be meant as images and is not read is counted in a warning.

    Raises:
        InputError: There is none; says what there is.
    """
    patterns = [_parse_glob(glob, folder) for glob in globs]
    names, others = [], Counter[str]()
    for name in _walk(folder):
        if patterns and not any(_matches(name.split("/"), pattern) for pattern in patterns):
            continue
        if is_image(Path(name)):
            names.append(name)
        else:
            others[Path(name).suffix.lower() or "without a suffix"] += 1
    if not names:
        wanted = f" that match {', '.join(globs)}" if globs else ""
        found = f"; it holds {_list_kinds(others)}" if others else ""
        raise InputError(f"{folder}: no images{wanted} in this folder ({NAMES}){found}")
    unread = Counter({s: n for s, n in others.items() if s in _PICTURES or is_video(Path(f"a{s}"))})
    if unread:
        _log.warning(
            "%s: %d of %d images and videos are left out: %s; convert images, give a video alone",
            folder, unread.total(), unread.total() + len(names), _list_kinds(unread),
        )  # fmt: skip
    heif = sum(Path(name).suffix.lower() in HEIF_SUFFIXES for name in names)
    if heif and not has_heif():
        _log.warning(
            "%s: %d of %d images are HEIC, which needs: pip install 'placememory[heif]'",
            folder, heif, len(names),
        )  # fmt: skip
    return sorted(names, key=natural_key)


def _list_kinds(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(8))


def _walk(folder: Path) -> Iterator[str]:
    """Files below a folder that are not hidden, relative; links to folders are followed.

    Each folder is read once, under its own name where it has one here, so that loops end and
    nothing is listed twice; a second link to a folder is left out with a warning.
    """
    seen: set[tuple[int, int]] = set()
    waiting, links = [folder], list[Path]()
    while waiting or links:
        if waiting:
            here = waiting.pop()
            key = _identity(here)
            if key is not None:
                seen.add(key)
        else:
            here = links.pop(0)
            key = _identity(here)
            if key is None or key in seen:
                reason = "leads nowhere" if key is None else "leads to a folder listed already"
                _log.warning("%s: the link %s, so it is left out", here, reason)
                continue
            seen.add(key)
        try:
            entries = sorted(os.scandir(here), key=lambda entry: natural_key(entry.name))
        except OSError as error:
            _log.warning("%s: cannot be read (%s), so it is left out", here, error.strerror)
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                (links if entry.is_symlink() else waiting).append(Path(entry.path))
            elif entry.is_file():
                yield Path(entry.path).relative_to(folder).as_posix()
            elif entry.is_symlink():
                _log.warning("%s: the link leads nowhere, so it is left out", entry.path)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        facts = folder.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _parse_glob(glob: str, folder: Path) -> tuple[str, ...]:
    """The parts of a glob.

    Raises:
        InputError: It is not relative to the folder.
    """
    path = PurePosixPath(glob)
    odd = any("**" in part and part != "**" for part in path.parts)
    if odd or path.is_absolute() or ".." in path.parts or not path.parts:
        raise InputError(f"a glob is a pattern relative to {folder}, not {glob!r}")
    return path.parts


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a name matches a glob, part by part; ``**`` stands for any folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return len(pattern) == 1 or any(_matches(parts[i:], pattern[1:]) for i in range(len(parts)))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


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
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read the list of names ({error})") from error
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _frame(folder: Path, name: str, session: str, index: int, exif: bool) -> Frame:
    facts = parse_name(name)
    return Frame(
        name=name,
        session=session,
        index=index,
        stamp=facts.stamp,
        pose=facts.pose,
        vertex_id=facts.vertex_id,
        read=partial(read_image, folder / name, exif=exif),
    )


def resolve_frames(
    images: str | Path | Iterable[Frame],
    poses: str | Path | PoseTable | None = None,
    *,
    session: str | None = None,
) -> list[Frame]:
    """Frames of a source, or of frames that are given, with their poses.

    Args:
        images: A folder, video, bag or image, or frames, which are taken as they are.
        poses: File or table of poses to join, by name, vertex id or stamp.
        session: Name of the session, where frames are listed.

    Raises:
        InputError: The source or the poses cannot be read.

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
    table = read_poses(poses) if isinstance(poses, str | Path) else poses
    joined, _ = table.join(frames)
    return list(joined)
