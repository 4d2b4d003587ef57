"""Bare coordinates: ``x y`` a line (NYC-Indoor-VPR); line i (from 0) belongs to image number i."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from placememory.frames.pose import Pose
from placememory.frames.poses._table import PoseRecord, PoseTable
from placememory.frames.tables import are_numbers, at, data_lines, first_data_line, numbers


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether the first line has two numbers."""
    return are_numbers(first_data_line(head).split(), 2)


def read(path: Path) -> PoseTable:
    """Read coordinates in metres; frames are joined by the number in their name."""
    records = []
    for number, (line, text) in enumerate(data_lines(path)):
        x, y = numbers(path, line, text.split(), expected=2)
        with at(path, line):
            records.append(PoseRecord(Pose(x, y), number=number))
    return PoseTable(records, str(path))
