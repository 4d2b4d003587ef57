"""TUM trajectories and their relatives: ``t tx ty tz qx qy qz qw``, body in world.

The stamps are seconds, or milli-, micro- or nanoseconds, as their size and steps say (ORB-SLAM3
writes nanoseconds). Words are separated by blanks or commas. Columns after the quaternion, such as
an id (RTAB-Map) or a covariance (OpenVINS), are left out; positions may stand without a rotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from placememory.errors import PoseError
from placememory.frames.poses._rows import Rows
from placememory.frames.poses._table import PoseTable
from placememory.frames.tables import are_numbers, data_lines, is_unit, numbers, words_of

EXAMPLE = "1305031102.1758 1.3 0.6 1.6 0.6 0.6 -0.2 -0.3"


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether lines have a stamp, a position and a unit quaternion, or a stamp and a position."""
    rows = [words_of(line) for line in head if line[:1] not in "#%"]
    if rows and not are_numbers(rows[0], len(rows[0])):
        rows = rows[1:]  # a header that names nothing we know
    rows = [row for row in rows if are_numbers(row, len(row))]
    if not rows or len({len(row) for row in rows[:-1]}) > 1:
        return False
    if len(rows[0]) == 4:
        return all(float(before[0]) < float(after[0]) for before, after in pairwise(rows)) and (
            len(rows) > 1 or float(rows[0][0]) > 1e8
        )
    return (len(rows[0]) in (8, 9) or len(rows[0]) > 13) and all(
        is_unit([float(word) for word in row[4:8]]) or len(rows[0]) == 8
        for row in rows
        if len(row) >= 8
    )


def read(path: Path) -> PoseTable:
    """Read a TUM trajectory; frames are joined by stamp."""
    rows = Rows(path)
    for number, (line, text) in enumerate(data_lines(path)):
        words = words_of(text)
        if number == 0 and not are_numbers(words[:1], 1) and not are_numbers(words[1:2], 1):
            continue  # a header
        if len(words) != 4 and len(words) < 8:
            raise PoseError(f"{path}:{line}: {len(words)} values where 8 are expected")
        _, x, y, z, *turn = numbers(path, line, words[:8])
        rows.add(line, (x, y, z), turn or None, stamp=words[0])
    return rows.table()
