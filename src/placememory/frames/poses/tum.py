"""TUM trajectories: ``t tx ty tz qx qy qz qw``, seconds, body in world."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
    """Whether the first line has eight numbers with blanks between them."""
    return are_numbers(first_data_line(head).split(), 8)


def read(path: Path) -> PoseTable:
    """Read a TUM trajectory; frames are joined by stamp."""
    records = []
    for line, text in data_lines(path):
        words = text.split()
        _, x, y, z, qx, qy, qz, qw = numbers(path, line, words, expected=8)
        stamp = stamp_of_seconds(path, line, words[0])
        with at(path, line):
            records.append(PoseRecord(Pose(x, y, z, (qx, qy, qz, qw)), stamp=stamp))
    return PoseTable(records, str(path))
