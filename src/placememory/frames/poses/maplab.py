"""maplab ``vertices.csv``: 18 columns, ``", "`` between them, quaternion x y z w.

The vertex index runs on over missions, so it is not the row number; frames are joined by vertex
id, or by stamp.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from placememory.errors import PoseError
from placememory.frames.poses import csv_table
from placememory.frames.poses._table import PoseTable
from placememory.frames.tables import find_header, read_head

EXAMPLE = "vertex index, timestamp [ns], position x [m], position y [m], position z [m]"
_NEEDED = ("vertex index", "timestamp", "position x", "position y", "position z")


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether the header names a vertex index."""
    return bool(head) and "vertex index" in head[0]


def read(path: Path) -> PoseTable:
    """Read poses of a maplab export (body in world, metres, nanoseconds)."""
    header = find_header(read_head(path).splitlines())
    for name in _NEEDED:
        if header is not None and len(header.names) > 1 and name not in header.names:
            raise PoseError(f"{path}: the header has no column {name!r}")
    return csv_table.read(path)
