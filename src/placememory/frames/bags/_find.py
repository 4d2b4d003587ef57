"""Which files and folders are bags, and which files make one up."""

from __future__ import annotations

from pathlib import Path

from placememory.errors import BagError
from placememory.frames.images import is_image

METADATA = "metadata.yaml"
_ROS2 = (".mcap", ".db3")
_SUFFIXES = (".bag", *_ROS2)
_UNFINISHED = ".bag.active"
_PACKED = tuple(f"{suffix}.zstd" for suffix in _ROS2)


def is_bag(path: Path) -> bool:
    """Whether a file is named like a bag, or a folder holds the files of a rosbag2 recording.

    A folder of images that also holds a bag is a bag only with its ``metadata.yaml``.

    Example:
        >>> is_bag(Path("run.mcap")), is_bag(Path("run.bag")), is_bag(Path("run.mp4"))
        (True, True, False)
    """
    if not path.is_dir():
        return path.name.endswith((*_SUFFIXES, *_PACKED, _UNFINISHED))
    entries = list(path.iterdir())
    if not any(entry.name.endswith(_ROS2 + _PACKED) for entry in entries):
        return False
    return (path / METADATA).is_file() or not any(is_image(entry) for entry in entries)


def parts_of(path: Path) -> list[Path]:
    """What to open: the bag's file, or the folder, or the files of a folder without metadata.

    Raises:
        BagError: There is no bag, or its recorder did not finish it, or its files are packed and
            nothing says what is in them.
    """
    if not path.exists():
        raise BagError(f"{path}: there is no such bag")
    if path.name.endswith(_UNFINISHED):
        raise BagError(
            f"{path}: its recorder did not finish it; run `rosbag reindex {path.name}`, then name "
            "it .bag"
        )
    if path.is_dir() and (path / METADATA).is_file():
        return [path]
    files = storage_files(path)
    if not files:
        packed = path.name.endswith(_PACKED) or (path.is_dir() and is_bag(path))
        raise BagError(
            f"{path}: its files are packed (.zstd) and {METADATA} is not there; give the folder "
            "that has it, or unpack them with `zstd -d`"
            if packed
            else f"{path}: no bag; a bag is a .bag, .mcap or .db3 file, or a rosbag2 folder"
        )
    return files


def storage_files(path: Path) -> list[Path]:
    """The unpacked files with messages, in the order of their names."""
    if not path.is_dir():
        return [path] if path.suffix in _SUFFIXES else []
    return sorted(file for file in path.iterdir() if file.suffix in _ROS2)
