"""Poses with image names: hloc's results and Cambridge Landmarks; **world to camera**, w first.

hloc: ``name qw qx qy qz tx ty tz``. Cambridge Landmarks (and PoseNet): ``name x y z qw qx qy qz``,
where x y z is the centre of the camera, after three lines of header. Which of the two it is, the
unit quaternion shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from placememory.errors import PoseError
from placememory.frames.poses._rows import Rows
from placememory.frames.poses._table import PoseTable
from placememory.frames.poses.colmap import add_camera
from placememory.frames.tables import are_numbers, data_lines, is_unit, numbers

EXAMPLE = "query/image.jpg 0.85 0.17 0.22 0.44 -1.2 0.3 2.1"


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether lines have a name and seven numbers, four of them a unit quaternion."""
    rows = [_row(line) for line in _without_header(head)]
    known = [row for row in rows if row is not None]
    return known[:1] == rows[:1] != [] and (_is_hloc(known) or _is_cambridge(known))


def _without_header(lines: Sequence[str]) -> list[str]:
    """Lines from the first that has a number among its words."""
    found = (i for i, line in enumerate(lines) if any(are_numbers([w], 1) for w in line.split()))
    return list(lines[next(found, 0) :])


def _row(line: str) -> list[float] | None:
    """The seven numbers after a name."""
    words = line.rsplit(maxsplit=7)
    if len(words) != 8 or not are_numbers(words[1:], 7):
        return None
    name = words[0].split()
    return None if are_numbers(name, len(name)) else [float(word) for word in words[1:]]


def _is_hloc(rows: Sequence[Sequence[float]]) -> bool:
    turned = sum(any(row[:4]) for row in rows)
    return 2 * turned >= len(rows) and all(is_unit(row[:4]) for row in rows)


def _is_cambridge(rows: Sequence[Sequence[float]]) -> bool:
    return all(is_unit(row[3:]) for row in rows)


def read(path: Path) -> PoseTable:
    """Read camera poses; frames are joined by name."""
    written = list(data_lines(path))
    header = len(written) - len(_without_header([text for _, text in written]))
    lines = [(line, text.rsplit(maxsplit=7)) for line, text in written[header:]]
    values = []
    for line, words in lines:
        if len(words) != 8:
            raise PoseError(f"{path}:{line}: a name and 7 values are expected, not {len(words)}")
        values.append(numbers(path, line, words[1:]))
    rows, hloc = Rows(path), _is_hloc(values)
    for (line, words), row in zip(lines, values, strict=True):
        if hloc:
            add_camera(rows, line, words[0], row)
        else:
            qw, *turn = row[3:]
            rows.add(line, row[:3], (*np.negative(turn).tolist(), qw), name=words[0])
    return rows.table()
