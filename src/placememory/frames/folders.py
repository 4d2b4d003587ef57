"""Images below a folder: their names, in order, and what is there besides."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from placememory.errors import InputError
from placememory.frames.images import HEIF_SUFFIXES, NAMES, has_heif, is_image
from placememory.frames.names import order_names
from placememory.frames.video import is_video

_log = logging.getLogger(__name__)
_OTHER_PICTURES = """
.gif .apng .jp2 .j2k .jpf .jxl .exr .hdr .pfm .dng .cr2 .cr3 .nef .arw .raf .orf .rw2 .raw .psd
.svg .tga .ico .icns .eps .mng .sgi .pcx .dds .npy .fits
"""
_PICTURES = frozenset(_OTHER_PICTURES.split())  # that are not read


def find_images(folder: Path, globs: Sequence[str]) -> list[str]:
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
    return order_names(names)


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
        is_link = not waiting
        here = links.pop(0) if is_link else waiting.pop()
        try:
            facts, entries = here.stat(), sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            _log.warning("%s: left out, as it cannot be read (%s)", here, error.strerror)
            continue
        if (facts.st_dev, facts.st_ino) in seen:
            if is_link:
                _log.warning("%s: left out, as it links to a folder that is listed already", here)
            continue
        seen.add((facts.st_dev, facts.st_ino))
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                (links if entry.is_symlink() else waiting).append(Path(entry.path))
            elif entry.is_file():
                yield Path(entry.path).relative_to(folder).as_posix()
            elif entry.is_symlink():
                _log.warning("%s: left out, as the link leads nowhere", entry.path)


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
