"""COLMAP models, ``images.txt`` or ``images.bin``: quaternion w x y z, pose **world to camera**.

The camera's centre is -R^T t. Axes are the camera's: x right, y down, z forward.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from placememory.errors import PoseError
from placememory.frames.pose import rotation_from_quaternion
from placememory.frames.poses._rows import Rows
from placememory.frames.poses._table import PoseTable
from placememory.frames.tables import are_numbers, numbers, read_bytes, read_text

EXAMPLE = "1 0.85 0.17 0.22 0.44 -1.2 0.3 2.1 1 image.jpg"
_IMAGE = struct.Struct("<I7dI")  # id, quaternion, translation, camera; then name, 0, points
_COUNT = struct.Struct("<Q")
_POINT = 24  # bytes


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether the file is called ``images``, or its first image line looks like one."""
    lines = [line.split() for line in head if not line.startswith("#")]
    return path.name in ("images.txt", "images.bin") or (
        bool(lines)
        and len(lines[0]) >= 10
        and are_numbers(lines[0][:9], 9)
        and not are_numbers(lines[0][9:10], 1)
    )


def read(path: Path) -> PoseTable:
    """Read the images of a COLMAP model; frames are joined by name."""
    rows = Rows(path)
    for line, name, values in _binary(path) if path.suffix == ".bin" else _text(path):
        add_camera(rows, line, name, values)
    return rows.table()


def add_camera(rows: Rows, line: int, name: str, values: Sequence[float]) -> None:
    """Add an image whose pose is world to camera.

    Args:
        rows: To add it to.
        line: Its number.
        name: Of the image.
        values: qw qx qy qz tx ty tz.
    """
    qw, qx, qy, qz, *translation = values
    norm = np.linalg.norm(values[:4])
    if not np.isfinite(values).all() or norm < 1e-9:
        rows.leave_out(line)
        return
    rotation = rotation_from_quaternion(np.array([qx, qy, qz, qw]) / norm)
    centre = np.round(-rotation.T @ translation, 12)
    rows.add(line, centre.tolist(), (-qx, -qy, -qz, qw), name=name)


def _text(path: Path) -> Iterator[tuple[int, str, list[float]]]:
    """The image lines; the line after each holds its points, and may be empty."""
    points_follow = False
    for line, text in enumerate(read_text(path).splitlines(), start=1):
        if text.startswith("#"):
            continue
        if points_follow:
            points_follow = False
        elif text.strip():
            points_follow = True
            words = text.split(maxsplit=9)
            if len(words) < 10:
                raise PoseError(f"{path}:{line}: an image line has 10 values, not {len(words)}")
            yield line, words[9].strip(), numbers(path, line, words[1:8])


def _binary(path: Path) -> Iterator[tuple[int, str, list[float]]]:
    """The images of a binary model, numbered from 1."""
    content = read_bytes(path)
    damaged = PoseError(f"{path}: cut short or no COLMAP model; write it again, or as text with "
                        "colmap model_converter --output_type TXT")  # fmt: skip
    try:
        [count] = _COUNT.unpack_from(content)
        at_byte = _COUNT.size
        for number in range(1, count + 1):
            _, *values, _ = _IMAGE.unpack_from(content, at_byte)
            end = content.index(b"\0", at_byte + _IMAGE.size)
            name = content[at_byte + _IMAGE.size : end].decode("utf-8", "surrogateescape")
            [points] = _COUNT.unpack_from(content, end + 1)
            at_byte = end + 1 + _COUNT.size + points * _POINT
            if at_byte > len(content):
                raise damaged
            yield number, name, values
    except (struct.error, ValueError) as error:
        raise damaged from error
