"""Pose graphs, g2o and TORO: lines that begin with ``VERTEX``; edges are left out.

Frames are joined by the vertex id, or by it as the number in their name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from placememory.errors import PoseError
from placememory.frames.poses._rows import Rows, turn_of
from placememory.frames.poses._table import PoseTable
from placememory.frames.tables import data_lines, numbers, whole

EXAMPLE = "VERTEX_SE3:QUAT 0 1.5 2.0 0.1 0 0 0 1"
_VALUES = {"VERTEX_SE3:QUAT": 7, "VERTEX_SE2": 3, "VERTEX2": 3, "VERTEX3": 6}


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether a line begins with the name of a vertex."""
    return any(line.split()[0] in _VALUES for line in head if line.strip())


def read(path: Path) -> PoseTable:
    """Read the vertices of a pose graph, body in world."""
    rows = Rows(path)
    for line, text in data_lines(path):
        kind, *words = text.split()
        if kind not in _VALUES:
            continue
        count = _VALUES[kind]
        if len(words) < count + 1:
            raise PoseError(f"{path}:{line}: {kind} has an id and {count} values")
        identity = whole(path, line, words[0])
        values = numbers(path, line, words[1 : count + 1])
        x, y, *rest = values
        z = 0.0 if count == 3 else rest.pop(0)
        turn = rest if count == 7 else turn_of(*([0.0, 0.0, *rest][-3:]))
        rows.add(line, (x, y, z), turn, vertex_id=identity, number=identity)
    return rows.table()
