"""Shared by the layouts: folders of images, tables and ground-truth files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from placememory.errors import DatasetError, PoseError
from placememory.frames import Frame, Pose
from placememory.frames.images import is_image, read_image
from placememory.frames.names import natural_key
from placememory.frames.tables import csv_rows, numbers, stamp_of_any, whole

__all__ = [
    "as_dataset_error",
    "frame_of",
    "has_images",
    "images_in",
    "numbered_images",
    "numbers",
    "read_json_list",
    "read_table",
    "stamp_of_any",
    "subfolders",
    "whole",
]


def subfolders(folder: Path) -> list[Path]:
    """Visible folders in a folder, in natural order; none if it does not exist."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
    return sorted(found, key=lambda path: natural_key(path.name))


def has_images(folder: Path) -> bool:
    """Whether an image lies directly in a folder."""
    return folder.is_dir() and next(_images(folder), None) is not None


def images_in(folder: Path) -> list[Path]:
    """Images directly in a folder, in natural order.

    Raises:
        DatasetError: There is no such folder, or it holds none.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: there is no such folder of images")
    found = sorted(_images(folder), key=lambda path: natural_key(path.name))
    if not found:
        raise DatasetError(f"{folder}: no images in this folder (PNG, JPEG, WebP, BMP, TIFF)")
    return found


def _images(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if is_image(path) and path.name[0] != ".")


def numbered_images(folder: Path, first: int) -> list[Path]:
    """Images named by their number, ``first`` onwards without gaps, in order.

    Raises:
        DatasetError: A name is no number, or numbers are missing or occur twice.
    """
    images = images_in(folder)
    for path in images:
        if not (path.stem.isascii() and path.stem.isdecimal()):
            raise DatasetError(f"{path}: images here are called {first}.png, {first + 1}.png, ...")
    images.sort(key=lambda path: int(path.stem))
    for number, path in enumerate(images, start=first):
        if int(path.stem) != number:
            what = "occurs twice" if int(path.stem) < number else "is there"
            raise DatasetError(
                f"{path}: number {int(path.stem)} {what} where {number} is expected; ground truth "
                f"goes by number, from {first} without gaps"
            )
    return images


def frame_of(
    path: Path,
    root: Path,
    session: str,
    index: int,
    *,
    pose: Pose | None = None,
    stamp: int | None = None,
) -> Frame:
    """A frame named by its path below the data set's root, read when asked for."""
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    read = partial(read_image, path)
    return Frame(name, session, index, stamp=stamp, pose=pose, read=read)


def read_json_list(path: Path, count: int, images: Path) -> list[Any]:
    """A JSON list with one entry an image.

    Raises:
        DatasetError: The file is missing, no JSON, no list, or of another length.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path}: the ground truth of {images} is missing; it comes with the data set"
        ) from error
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot read this as JSON ({error})") from error
    if not isinstance(found, list):
        raise DatasetError(f"{path}: a list is expected, not {type(found).__name__}")
    if len(found) != count:
        raise DatasetError(f"{path}: {len(found)} entries for the {count} images of {images}")
    return found


def read_table(path: Path, columns: Iterable[str]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with a header, with their line numbers.

    Raises:
        DatasetError: The file is missing, is no text, has no rows, or lacks one of ``columns``.
    """
    if not path.exists():
        raise DatasetError(f"{path}: there is no such table")
    with as_dataset_error():
        rows = list(csv_rows(path))
    if not rows:
        raise DatasetError(f"{path}: the table is empty; a header and a row an image are expected")
    check_columns(path, list(rows[0][1]), columns)
    return rows


def check_columns(path: Path, header: Sequence[str], columns: Iterable[str]) -> None:
    """Check that a table has columns.

    Raises:
        DatasetError: One is missing; names it and those that are there.
    """
    missing = [column for column in columns if column not in header]
    if missing:
        raise DatasetError(
            f"{path}: the header has no column {missing[0]!r}; it has: {', '.join(header)}"
        )


@contextmanager
def as_dataset_error() -> Iterator[None]:
    """Turn errors of numbers, stamps and poses in a file into those of a data set.

    Raises:
        DatasetError: A :class:`PoseError` was raised inside.
    """
    try:
        yield
    except PoseError as error:
        raise DatasetError(str(error)) from error
