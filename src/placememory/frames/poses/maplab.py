"""maplab ``vertices.csv``: 18 columns, ``", "`` between them, quaternion x y z w.

The vertex index runs on over missions, so it is not the row number; frames are joined by vertex
id, or by stamp.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from placememory.errors import PoseError
from placememory.frames.pose import Pose
from placememory.frames.poses._table import PoseRecord, PoseTable
from placememory.frames.tables import at, csv_rows, numbers, whole

_POSITION = ("position x", "position y", "position z")
_ROTATION = ("quaternion x", "quaternion y", "quaternion z", "quaternion w")


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether the header names a vertex index."""
    return bool(head) and "vertex index" in head[0]


def read(path: Path) -> PoseTable:
    """Read poses of a maplab export (body in world, metres, nanoseconds)."""
    records = []
    for line, row in csv_rows(path):
        missing = [name for name in ("vertex index", "timestamp", *_POSITION) if name not in row]
        if missing:
            raise PoseError(f"{path}: the header has no column {missing[0]!r}")
        x, y, z = numbers(path, line, [row[name] for name in _POSITION])
        rotation = None
        if all(name in row for name in _ROTATION):
            qx, qy, qz, qw = numbers(path, line, [row[name] for name in _ROTATION])
            rotation = (qx, qy, qz, qw)
        with at(path, line):
            pose = Pose(x, y, z, rotation)
        records.append(
            PoseRecord(
                pose,
                vertex_id=whole(path, line, row["vertex index"]),
                stamp=whole(path, line, row["timestamp"]),
            )
        )
    return PoseTable(records, str(path))
