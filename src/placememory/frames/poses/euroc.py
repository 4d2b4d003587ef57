"""EuRoC / ASL ``data.csv``: nanoseconds, position, quaternion **w x y z**, body in world."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from placememory.errors import PoseError
from placememory.frames.pose import Pose
from placememory.frames.poses._table import PoseRecord, PoseTable
from placememory.frames.tables import at, data_lines, numbers, whole


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether the header is EuRoC's: a comment that starts with ``#timestamp``."""
    return bool(head) and head[0].replace(" ", "").startswith("#timestamp") and "," in head[0]


def read(path: Path) -> PoseTable:
    """Read EuRoC ground truth or pose data; frames are joined by stamp."""
    records = []
    for line, text in data_lines(path):
        words = [word.strip() for word in text.split(",")]
        if len(words) < 8:
            raise PoseError(f"{path}:{line}: {len(words)} values where at least 8 are expected")
        x, y, z, qw, qx, qy, qz = numbers(path, line, words[1:8])
        stamp = whole(path, line, words[0])
        with at(path, line):
            records.append(PoseRecord(Pose(x, y, z, (qx, qy, qz, qw)), stamp=stamp))
    return PoseTable(records, str(path))
