"""KITTI odometry: 12 numbers a line, the upper three rows of T_world_cam; no names, no stamps.

Line i (from 0) belongs to image number i. A file ``times.txt`` beside it, or in the folder above,
adds stamps in seconds from the start. Axes are the camera's: x right, y down, z forward. Lines with
all 16 numbers of the matrix are read too, and, as KITTI-360 and MulRan have them, with the number
of the image or its stamp before the matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from placememory.errors import PoseError
from placememory.frames.pose import Pose
from placememory.frames.poses._rows import Rows
from placememory.frames.poses._table import PoseTable
from placememory.frames.tables import (
    are_numbers,
    at,
    data_lines,
    first_data_line,
    numbers,
    stamp_of_seconds,
    whole,
    words_of,
)

EXAMPLE = "1 0 0 0.5 0 1 0 0 0 0 1 2.5"
_MATRICES = (12, 16)
_STAMPS = 10**9  # and above: no number of an image


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether the first line has the numbers of a matrix, or a key before them."""
    words = words_of(first_data_line(head))
    if not are_numbers(words, len(words)):
        return False
    keyed = len(words) - 1 in _MATRICES
    return len(words) in _MATRICES or (keyed and _is_rotation([float(w) for w in words[1:]]))


def _is_rotation(values: Sequence[float]) -> bool:
    matrix = np.reshape(values, (-1, 4))[:3, :3]
    finite = bool(np.isfinite(matrix).all())
    return not finite or bool(np.allclose(matrix @ matrix.T, np.eye(3), atol=0.02))


def read(path: Path) -> PoseTable:
    """Read KITTI poses; frames are joined by the number in their name, or by stamp."""
    stamps = _stamps(path)
    rows = Rows(path)
    for number, (line, text) in enumerate(data_lines(path)):
        words = words_of(text)
        key, cells = (words[0], words[1:]) if len(words) - 1 in _MATRICES else ("", words)
        if len(cells) not in _MATRICES:
            raise PoseError(f"{path}:{line}: {len(words)} values where 12 are expected")
        keys: dict[str, Any] = {"number": number}
        if key:
            stamped = numbers(path, line, [key])[0] >= _STAMPS
            keys = {"stamp": key} if stamped else {"number": whole(path, line, key)}
        elif number < len(stamps):
            keys["stamp"] = stamps[number]
        values = numbers(path, line, cells)
        if not all(map(math.isfinite, values)):
            rows.leave_out(line)
            continue
        with at(path, line):
            pose = Pose.from_matrix(np.reshape(values, (-1, 4)))
        rows.keep(line, pose, **keys)
    if stamps and len(stamps) != len(rows.records):
        raise PoseError(f"{path}: {len(rows.records)} poses but {len(stamps)} lines in times.txt")
    return rows.table("seconds" if stamps else "")


def _stamps(path: Path) -> list[str]:
    """Stamps beside the poses, as they are written."""
    for folder in (path.parent, path.parent.parent):
        times = folder / "times.txt"
        if times.is_file() and times != path:
            lines = list(data_lines(times))
            for line, text in lines:
                stamp_of_seconds(times, line, text)
            return [text for _, text in lines]
    return []
