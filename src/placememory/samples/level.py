"""From a floor plan to a level that the engine loads: lines, sectors and sides as UDMF text.

The areas of the plan are painted on a grid of all their edges, so that overlaps, doors and
furniture need no special cases; where two neighbouring cells belong to different areas, there is
a line. Textures are pinned to the corner of the area that owns them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from placememory.samples.plan import Area, Thing

UNITS_PER_METRE = 32  #: engine units in a metre; the player is 56 high, 32 wide

PLAYER_START = 1
_VOID = -1


@dataclass(slots=True)
class _Text:
    """The level under construction: numbered blocks of UDMF."""

    vertices: dict[tuple[int, int], int] = field(default_factory=dict)
    sides: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def vertex(self, x: int, y: int) -> int:
        return self.vertices.setdefault((x, y), len(self.vertices))


def _paint(areas: Sequence[Area]) -> tuple[list[int], list[int], NDArray[np.intp]]:
    corners = [tuple(round(value * UNITS_PER_METRE) for value in area.rect) for area in areas]
    xs = sorted({value for x0, _, x1, _ in corners for value in (x0, x1)})
    ys = sorted({value for _, y0, _, y1 in corners for value in (y0, y1)})
    column, row = {x: i for i, x in enumerate(xs)}, {y: i for i, y in enumerate(ys)}
    cells = np.full((len(ys) - 1, len(xs) - 1), _VOID, dtype=np.intp)
    for number, (x0, y0, x1, y1) in enumerate(corners):
        cells[row[y0] : row[y1], column[x0] : column[x1]] = number
    return xs, ys, cells


def _side(text: _Text, areas: Sequence[Area], line: tuple[int, ...], inner: int, outer: int) -> int:
    """One side of a line, seen from area ``inner`` towards ``outer``; returns its number."""
    start_x, start_y, end_x, end_y = line
    here = areas[inner]
    there = areas[outer] if outer != _VOID else None
    owner = there if there is not None and there.side is not None else here
    texture = owner.side if owner is there and owner.side is not None else here.wall
    x0, y0, x1, y1 = (value * UNITS_PER_METRE for value in owner.rect)
    if start_y == end_y:
        offset = start_x - x0 if end_x > start_x else x1 - start_x
    else:
        offset = start_y - y0 if end_y > start_y else y1 - start_y
    parts = [f"sector={inner};", f"offsetx={round(offset) % 1024};"]
    if there is None or there.solid:
        parts.append(f'texturemiddle="{texture}";')
    else:
        sky = here.top == there.top == "F_SKY1"
        parts.append(f'texturebottom="{texture}";')
        parts.append(f'texturetop="{"-" if sky else texture}";')
    text.sides.append("sidedef{" + "".join(parts) + "}")
    return len(text.sides) - 1


def _line(
    text: _Text,
    areas: Sequence[Area],
    start: tuple[int, int],
    end: tuple[int, int],
    r: int,
    le: int,
) -> None:
    """A line with area ``r`` on its right and ``le`` on its left, either of which may be solid."""
    open_r = r != _VOID and not areas[r].solid
    open_l = le != _VOID and not areas[le].solid
    if r == le or not (open_r or open_l):
        return
    if not open_r:
        start, end, r, le, open_l = end, start, le, r, False
    v1, v2 = text.vertex(*start), text.vertex(*end)
    front = _side(text, areas, (*start, *end), r, le)
    body = f"v1={v1};v2={v2};sidefront={front};"
    if open_l:
        back = _side(text, areas, (*end, *start), le, r)
        body += f"sideback={back};twosided=true;dontpegtop=true;"
    else:
        body += "blocking=true;"
    text.lines.append("linedef{" + body + "}")


def textmap(
    areas: Sequence[Area],
    things: Sequence[Thing],
    start: tuple[float, float],
    light: Mapping[Area, int],
) -> str:
    """The level as text in the Universal Doom Map Format.

    Args:
        areas: The plan; later areas cover earlier ones.
        things: Free-standing objects.
        start: x, y in metres where the robot is when the level begins.
        light: The brightness of every area in this run, 0 to 255.

    Returns:
        UDMF text, the same for the same arguments.
    """
    xs, ys, cells = _paint(areas)
    text = _Text()
    padded = np.pad(cells, 1, constant_values=_VOID)
    for i, x in enumerate(xs):
        for j in range(len(ys) - 1):
            left, right = padded[j + 1, i], padded[j + 1, i + 1]
            _line(text, areas, (x, ys[j]), (x, ys[j + 1]), int(right), int(left))
    for j, y in enumerate(ys):
        for i in range(len(xs) - 1):
            below, above = padded[j, i + 1], padded[j + 1, i + 1]
            _line(text, areas, (xs[i], y), (xs[i + 1], y), int(below), int(above))
    blocks = [_thing(*start, PLAYER_START), *(_thing(t.x, t.y, t.kind) for t in things)]
    blocks += [f"vertex{{x={float(x)};y={float(y)};}}" for x, y in text.vertices]
    blocks += text.lines + text.sides
    blocks += [_sector(area, light[area]) for area in areas]
    return 'namespace="zdoom";\n' + "\n".join(blocks) + "\n"


def _thing(x: float, y: float, kind: int) -> str:
    flags = "".join(f"skill{i}=true;" for i in range(1, 6)) + "single=true;coop=true;dm=true;"
    flags += "".join(f"class{i}=true;" for i in range(1, 4))
    place = f"x={x * UNITS_PER_METRE};y={y * UNITS_PER_METRE};angle=0;type={kind};"
    return "thing{" + place + flags + "}"


def _sector(area: Area, light: int) -> str:
    floor, ceiling = (round(z * UNITS_PER_METRE) for z in (area.floor, area.ceiling))
    return (
        f"sector{{heightfloor={floor};heightceiling={max(floor, ceiling)};"
        f'texturefloor="{area.flat}";textureceiling="{area.top}";lightlevel={light};}}'
    )


def wad(text: str, name: str = "MAP01") -> bytes:
    """Pack a level's text into a WAD archive that the engine loads beside its own.

    Example:
        >>> wad("namespace='zdoom';")[:4]
        b'PWAD'
    """
    lumps = [(name, b""), ("TEXTMAP", text.encode("ascii")), ("ENDMAP", b"")]
    body, entries = b"", b""
    for lump, data in lumps:
        entries += struct.pack("<ii8s", 12 + len(body), len(data), lump.encode("ascii"))
        body += data
    return struct.pack("<4sii", b"PWAD", len(lumps), 12 + len(body)) + body + entries
