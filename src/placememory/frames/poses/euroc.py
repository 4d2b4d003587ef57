"""EuRoC / ASL without names in its header: nanoseconds, position, and quaternion **w x y z**.

Rows with commas and no header, as VINS-Mono and VINS-Fusion write them, are these too; columns
after the quaternion are left out. Files with named columns are read by their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from placememory.errors import PoseError
from placememory.frames.poses._rows import Rows
from placememory.frames.poses._table import PoseTable
from placememory.frames.tables import (
    are_numbers,
    data_lines,
    first_data_line,
    is_unit,
    numbers,
    whole,
    words_of,
)

EXAMPLE = "1403636579763555584,1.5,2.0,0.1,1,0,0,0"
_NANOSECONDS = 10**17


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether rows begin with nanoseconds and have commas, or the header is EuRoC's."""
    line = first_data_line(head)
    words = words_of(line)
    if not are_numbers(words[:8], min(len(words), 8)) or len(words) not in (4, *range(8, 20)):
        return False
    named = any(text.lstrip("# ").startswith("timestamp") for text in head if text[:1] == "#")
    stamped = words[0].isdecimal() and int(words[0][:20]) >= _NANOSECONDS
    turned = len(words) == 4 or is_unit([float(word) for word in words[4:8]])
    return "," in line and turned and (stamped or named)


def read(path: Path) -> PoseTable:
    """Read EuRoC ground truth or pose data; frames are joined by stamp."""
    rows = Rows(path)
    for line, text in data_lines(path):
        words = words_of(text)
        if len(words) < 4 or 4 < len(words) < 8:
            raise PoseError(
                f"{path}:{line}: {len(words)} values where 4 (a position) or at least 8 are "
                "expected"
            )
        whole(path, line, words[0])
        x, y, z, *turn = numbers(path, line, words[1:8])
        rows.add(line, (x, y, z), (*turn[1:], turn[0]) if turn else None, stamp=words[0])
    return rows.table("nanoseconds")
