"""A plain CSV table: ``name,x,y[,z][,yaw | qx,qy,qz,qw][,stamp][,session][,floor][,vertex_id]``.

Metres and radians; ``stamp`` in seconds (with a decimal point, or below 10^11) or nanoseconds.
Rows whose x or y is empty keep their session and floor and have no pose.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from placememory.errors import PoseError
from placememory.frames.pose import Pose
from placememory.frames.poses._table import PoseRecord, PoseTable
from placememory.frames.tables import at, column_names, csv_rows, numbers, stamp_of_any, whole

_ROTATION = ("qx", "qy", "qz", "qw")


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether the header has x, y and a key."""
    names = set(column_names(head[0])) if head else set()
    return {"x", "y"} <= names and bool({"name", "stamp", "vertex_id"} & names)


def read(path: Path) -> PoseTable:
    """Read a pose table; frames are joined by name, else vertex id, else stamp."""
    records = []
    for line, row in csv_rows(path):
        if not {"x", "y"} <= row.keys() or not {"name", "stamp", "vertex_id"} & row.keys():
            raise PoseError(f"{path}: the header needs x, y and one of name, stamp, vertex_id")
        stamp, vertex = row.get("stamp"), row.get("vertex_id")
        with at(path, line):
            pose = _pose(path, line, row)
        records.append(
            PoseRecord(
                pose,
                name=row.get("name") or None,
                vertex_id=whole(path, line, vertex) if vertex else None,
                stamp=stamp_of_any(path, line, stamp) if stamp else None,
                session=row.get("session") or None,
                floor=row.get("floor") or None,
            )
        )
    return PoseTable(records, str(path))


def _pose(path: Path, line: int, row: dict[str, str]) -> Pose | None:
    if not row["x"] or not row["y"]:
        return None
    x, y, z = numbers(path, line, [row["x"], row["y"], row.get("z") or "0"])
    if row.get("yaw"):
        return Pose.from_yaw(x, y, numbers(path, line, [row["yaw"]])[0], z)
    if all(row.get(name) for name in _ROTATION):
        qx, qy, qz, qw = numbers(path, line, [row[name] for name in _ROTATION])
        return Pose(x, y, z, (qx, qy, qz, qw))
    return Pose(x, y, z)
