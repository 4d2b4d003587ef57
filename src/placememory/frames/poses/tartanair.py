"""TartanAir ``pose_left.txt``: ``x y z qx qy qz qw``, no names, no stamps; y right, z down.

Line i (from 0) belongs to image number i. Poses are turned by half a turn about x, so that y is
left and z up, of the map and of the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from placememory.frames.poses._rows import Rows, nwu, nwu_turn
from placememory.frames.poses._table import PoseTable
from placememory.frames.tables import are_numbers, data_lines, is_unit, numbers, words_of

EXAMPLE = "1.5 2.0 0.1 0 0 0.6 0.8"


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether lines have seven numbers, the last four of them a unit quaternion."""
    rows = [words_of(line) for line in head if line[:1] not in "#%"]
    known = [row for row in rows if are_numbers(row, 7)]
    return known[:1] == rows[:1] != [] and all(is_unit(list(map(float, row[3:]))) for row in known)


def read(path: Path) -> PoseTable:
    """Read TartanAir poses; frames are joined by the number in their name."""
    rows = Rows(path)
    for number, (line, text) in enumerate(data_lines(path)):
        x, y, z, *turn = numbers(path, line, words_of(text), expected=7)
        rows.add(line, nwu(x, y, z), nwu_turn(turn), number=number)
    return rows.table()
