"""Facts in a file name: vertex id, stamp, frame number, or a UTM position.

Three habits of the field are understood:

- ``vertex_<id>_<seq>_<ns>.png``: maplab exports and the place-memory tutorial;
- ``@utm_east@utm_north@...@.jpg``: the VPR benchmarks (field 9 is the heading, clockwise from
  north, in degrees);
- a number: nanoseconds (16 to 19 digits), seconds with a decimal point, else a frame number.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePosixPath

from placememory.frames.pose import Pose

_VERTEX = re.compile(r"^vertex_(\d+)(?:_(\d+))?(?:_(\d+))?$")
_SECONDS = re.compile(r"^\d{9,10}\.\d+$")
_DIGITS = re.compile(r"(\d+)")
_UTM_HEADING_FIELD = 9


@dataclass(frozen=True, slots=True)
class NameFacts:
    """Facts read from a file name; each may be ``None``."""

    vertex_id: int | None = None
    stamp: int | None = None
    number: int | None = None
    pose: Pose | None = None


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which ``img2`` comes before ``img10``, and ``b/`` after ``a/``.

    Example:
        >>> sorted(["img10.png", "img2.png", "a/z.png"], key=natural_key)
        ['a/z.png', 'img2.png', 'img10.png']
    """
    parts = _DIGITS.split(name)
    key = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]
    return (*key, (1, 0, name))


def parse_name(name: str) -> NameFacts:
    """Read vertex id, stamp, number or UTM pose off an image name.

    Args:
        name: POSIX path; only the last part is looked at.

    Example:
        >>> parse_name("run/vertex_005_000034_1751340273862754844.png").vertex_id
        5
        >>> parse_name("@0543256.96@4178906.70@10@S@@@@@@@@@@.jpg").pose.x
        543256.96
    """
    file = PurePosixPath(name)
    if file.name.startswith("@"):
        return NameFacts(pose=_utm_pose(file.name))
    vertex = _VERTEX.match(file.stem)
    if vertex:
        identity, sequence, stamp = (int(part) if part else None for part in vertex.groups())
        return NameFacts(vertex_id=identity, stamp=stamp, number=sequence)
    if _SECONDS.match(file.stem):
        return NameFacts(stamp=int(Decimal(file.stem) * 10**9))
    if file.stem.isdecimal():
        if 16 <= len(file.stem) <= 19:
            return NameFacts(stamp=int(file.stem))
        return NameFacts(number=int(file.stem))
    return NameFacts()


def _utm_pose(name: str) -> Pose | None:
    fields = name.split("@")
    try:
        east, north = float(fields[1]), float(fields[2])
    except (IndexError, ValueError):
        return None
    if not (math.isfinite(east) and math.isfinite(north)):
        return None
    heading = _number(fields[_UTM_HEADING_FIELD]) if len(fields) > _UTM_HEADING_FIELD else None
    if heading is None:
        return Pose(east, north, frame_id="utm")
    return Pose.from_yaw(east, north, math.radians(90.0 - heading), frame_id="utm")


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
