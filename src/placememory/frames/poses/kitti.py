"""KITTI odometry: 12 numbers a line, the upper three rows of T_world_cam; no names, no stamps.

Line i (from 0) belongs to image number i. A file ``times.txt`` beside it, or in the folder above,
adds stamps in seconds from the start. Axes are the camera's: x right, y down, z forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from placememory.errors import PoseError
from placememory.frames.pose import Pose
from placememory.frames.poses._table import PoseRecord, PoseTable
from placememory.frames.tables import (
    are_numbers,
    at,
    data_lines,
    first_data_line,
    numbers,
    stamp_of_seconds,
)


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether the first line has twelve numbers."""
    return are_numbers(first_data_line(head).split(), 12)


def read(path: Path) -> PoseTable:
    """Read KITTI poses; frames are joined by the number in their name, or by stamp."""
    stamps = _stamps(path)
    records = []
    for number, (line, text) in enumerate(data_lines(path)):
        values = numbers(path, line, text.split(), expected=12)
        with at(path, line):
            pose = Pose.from_matrix(np.reshape(values, (3, 4)))
        stamp = stamps[number] if number < len(stamps) else None
        records.append(PoseRecord(pose, number=number, stamp=stamp))
    if stamps and len(stamps) != len(records):
        raise PoseError(f"{path}: {len(records)} poses but {len(stamps)} lines in times.txt")
    return PoseTable(records, str(path))


def _stamps(path: Path) -> list[int]:
    for folder in (path.parent, path.parent.parent):
        times = folder / "times.txt"
        if times.is_file() and times != path:
            return [stamp_of_seconds(times, line, text) for line, text in data_lines(times)]
    return []
