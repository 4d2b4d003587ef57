"""NCLT ``groundtruth_*.csv``: ``utime,x,y,z,roll,pitch,yaw``; x north, y east, z down.

Microseconds, metres and radians. Poses are turned by half a turn about x, so that y is left and z
up, of the map and of the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from placememory.frames.poses._rows import Rows, nwu, nwu_turn, turn_of
from placememory.frames.poses._table import PoseTable
from placememory.frames.tables import are_numbers, data_lines, first_data_line, numbers, words_of

EXAMPLE = "1326030975726043,0.1,0.2,-0.5,0.01,0.02,1.57"
_STAMPS = 1e11


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether the first line has seven numbers, the first of them a stamp."""
    words = words_of(first_data_line(head))
    return are_numbers(words, 7) and float(words[0]) > _STAMPS


def read(path: Path) -> PoseTable:
    """Read NCLT ground truth; frames are joined by stamp."""
    rows = Rows(path)
    for line, text in data_lines(path):
        words = words_of(text)
        _, x, y, z, *angles = numbers(path, line, words, expected=7)
        rows.add(line, nwu(x, y, z), nwu_turn(turn_of(*angles)), stamp=words[0])
    return rows.table()
