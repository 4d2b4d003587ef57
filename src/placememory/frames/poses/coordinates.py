"""Bare coordinates: ``x y`` a line (NYC-Indoor-VPR); line i (from 0) belongs to image number i."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from placememory.frames._pose import Pose
from placememory.frames.poses._table import PoseRecord, PoseTable
from placememory.frames.poses._text import are_numbers, data_lines, numbers


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether every line has two numbers."""
    return bool(head) and all(are_numbers(line.split(), 2) for line in head)


def read(path: Path) -> PoseTable:
    """Read coordinates in metres; frames are joined by the number in their name."""
    records = []
    for number, (line, text) in enumerate(data_lines(path)):
        x, y = numbers(path, line, text.split(), expected=2)
        records.append(PoseRecord(Pose(x, y), number=number))
    return PoseTable(records, str(path))
