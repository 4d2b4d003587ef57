"""Bare coordinates: ``x y`` a line (NYC-Indoor-VPR); line i (from 0) belongs to image number i."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from placememory.frames.poses._rows import Rows
from placememory.frames.poses._table import PoseTable
from placememory.frames.tables import are_numbers, data_lines, first_data_line, numbers, words_of

EXAMPLE = "12.5 -3.25"


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether the first line has two numbers."""
    return are_numbers(words_of(first_data_line(head)), 2)


def read(path: Path) -> PoseTable:
    """Read coordinates in metres; frames are joined by the number in their name."""
    rows = Rows(path)
    for number, (line, text) in enumerate(data_lines(path)):
        x, y = numbers(path, line, words_of(text), expected=2)
        rows.add(line, (x, y, 0.0), number=number)
    return rows.table()
