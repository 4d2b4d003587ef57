"""Random floor plans: rooms and halls cut out of a rectangle, joined by doors, furnished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from placememory.samples import style
from placememory.samples.grid import BoolGrid, Grid, clearance, flood, occupancy
from placememory.samples.plan import (
    Area,
    Door,
    Floor,
    Rect,
    Thing,
    box,
    garden,
    lamps,
    solid,
    window,
)
from placememory.samples.plan import door as door_area

WALL = 0.5  #: thickness of walls, metres
PLANNING_GRID = 0.125  #: metres per cell when planning
ELBOW_ROOM = 0.75  #: metres that a robot keeps to its sides: the engine's is 1 m square
_LEAST = 3.5  # metres, the least side of a room
_STEP = 0.25  # metres; every edge of a plan lies on this grid
_OUTSIDE = 6.0  # metres of garden around the building
_LOOPS = 0.6  # share of the doors beyond a tree that are built
_APPROACH = 1.25  # metres that stay free before doors and windows
_ISLAND_ROOM = 6.5  # metres; rooms with such sides have something in the middle
_AISLE = 2.0  # metres between what stands at the wall or in the middle and the other

T = TypeVar("T")


def random_floor(rng: np.random.Generator) -> Floor:
    """A building of about ten to twenty rooms and halls, 24 to 36 m by 18 to 27 m.

    Rooms share a few styles (wall, floor, ceiling) and kinds of furniture, so many look alike.
    Plans in which furniture shuts a room off are drawn again.
    """
    while True:
        floor = _draw_floor(rng)
        grid = occupancy(floor, PLANNING_GRID)
        free = reachable(floor, grid, clearance(grid.blocked, grid.resolution))
        if all(len(standing_places(room, grid, free)) for room in floor.rooms):
            return floor


def reachable(floor: Floor, grid: Grid, room: NDArray[np.float64]) -> BoolGrid:
    """Cells that a robot with 0.75 m around it reaches through the doors.

    Args:
        floor: The building.
        grid: Its occupancy.
        room: (rows, columns) distance to the nearest blocked cell in metres.
    """
    return flood(room >= ELBOW_ROOM, grid.cell(*floor.doors[0].centre))


def standing_places(room: Area, grid: Grid, free: BoolGrid) -> NDArray[np.intp]:
    """(n, 2) rows and columns of the free cells of a room, 1 m from its walls."""
    x0, y0, x1, y1 = room.rect
    low, high = grid.cell(x0 + 1, y0 + 1), grid.cell(x1 - 1, y1 - 1)
    inner = free[low[0] : high[0] + 1, low[1] : high[1] + 1]
    return np.asarray(np.argwhere(inner) + low, dtype=np.intp)


def _draw_floor(rng: np.random.Generator) -> Floor:
    width, depth = _on_grid(rng.uniform(24, 36)), _on_grid(rng.uniform(18, 27))
    rooms = _rooms(rng, _cut(rng, (0.0, 0.0, width, depth), first=True))
    doors = _doors(rng, [room.rect for room in rooms])
    windows = _windows(rng, rooms, width, depth)
    reserved = [door.rect for door in doors] + windows
    side = str(rng.choice(style.DOORS))
    ground = garden((-_OUTSIDE, -_OUTSIDE, width + _OUTSIDE, depth + _OUTSIDE))
    shell = Area((-WALL, -WALL, width + WALL, depth + WALL), 0, 0, "CEMENT3", "FLAT19", "FLAT19", 0)
    areas: list[tuple[int, Area]] = [(-1, ground), (-1, shell), *enumerate(rooms)]
    areas += [(-1, door_area(door.rect, side)) for door in doors]
    areas += [(-1, window(rect, side)) for rect in windows]
    things: list[Thing] = []
    look = random_look(rng)
    for number, room in enumerate(rooms):
        pieces, standing = furnish(rng, room, look, reserved)
        areas += [(number, area) for area in [*room_lamps(rng, room, look), *pieces]]
        things += standing
    owners, painted = zip(*areas, strict=True)
    return Floor(painted, tuple(things), tuple(rooms), tuple(doors), owners)


def _on_grid(value: float) -> float:
    return round(value / _STEP) * _STEP


def _cut(rng: np.random.Generator, rect: Rect, *, first: bool = False) -> list[Rect]:
    """Cut a rectangle in two, with a wall between, until the parts are rooms."""
    x0, y0, x1, y1 = rect
    sides = (x1 - x0, y1 - y0)
    can = [side >= 2 * _LEAST + WALL for side in sides]
    wanted = float(rng.uniform(22, 65))  # square metres
    if not any(can) or (sides[0] * sides[1] < wanted and max(sides) < 4 * min(sides)):
        return [rect]
    longer = int(sides[1] > sides[0])
    axis = longer if can[longer] and rng.random() < 0.85 else int(not can[0])
    if not can[axis]:
        axis = longer
    if first and rng.random() < 0.7:
        return _hall(rng, rect, 1 - longer)
    at = _on_grid(rng.uniform(_LEAST, sides[axis] - _LEAST - WALL))
    low, high = _halves(rect, axis, at, at + WALL)
    return [*_cut(rng, low), *_cut(rng, high)]


def _hall(rng: np.random.Generator, rect: Rect, axis: int) -> list[Rect]:
    """A hall across the whole building, and rooms on both of its sides."""
    side = rect[axis + 2] - rect[axis]
    at = _on_grid(rng.uniform(0.35, 0.5) * side)
    low, rest = _halves(rect, axis, at, at + WALL)
    hall, high = _halves(rest, axis, 3.0, 3.0 + WALL)
    return [hall, *_cut(rng, low), *_cut(rng, high)]


def _halves(rect: Rect, axis: int, end: float, begin: float) -> tuple[Rect, Rect]:
    """The parts of a rectangle before ``end`` and after ``begin`` along an axis."""
    x0, y0, x1, y1 = rect
    if axis == 0:
        return (x0, y0, x0 + end, y1), (x0 + begin, y0, x1, y1)
    return (x0, y0, x1, y0 + end), (x0, y0 + begin, x1, y1)


def _rooms(rng: np.random.Generator, rects: list[Rect]) -> list[Area]:
    """Rooms in a few styles that they share."""
    count = int(rng.integers(2, 5))
    walls, flats, tops = (
        rng.choice(names, count, replace=False)
        for names in (style.WALLS, style.FLOORS, style.CEILINGS)
    )
    heights = rng.choice([2.75, 3.0, 3.5, 4.0, 5.0], count)
    rooms = []
    for rect in rects:
        i = int(rng.integers(count))
        light = int(rng.integers(168, 217))
        rooms.append(
            Area(rect, 0, float(heights[i]), str(walls[i]), str(flats[i]), str(tops[i]), light)
        )
    return rooms


def _doors(rng: np.random.Generator, rects: list[Rect]) -> list[Door]:
    """Doors that join all rooms, and some more, which make loops."""
    possible = [
        door
        for i, here in enumerate(rects)
        for j, there in enumerate(rects)
        if i != j and (door := _door_between(rng, i, here, j, there)) is not None
    ]
    group = list(range(len(rects)))
    doors = []
    for k in rng.permutation(len(possible)):
        door = possible[k]
        a, b = (group[room] for room in door.rooms)
        if a != b or rng.random() < _LOOPS:
            doors.append(door)
        group = [a if g == b else g for g in group]
    return doors


def _door_between(rng: np.random.Generator, i: int, here: Rect, j: int, there: Rect) -> Door | None:
    """A door in the wall on the right of, or above, room ``i``; ``None`` if ``j`` is not there."""
    for axis in (0, 1):
        if abs(there[axis] - here[axis + 2] - WALL) > 1e-9:
            continue
        across = 1 - axis
        low = max(here[across], there[across]) + 0.5
        high = min(here[across + 2], there[across + 2]) - 0.5
        width = float(rng.choice([1.75, 2.0, 2.25]))
        if high - low < width:
            continue
        at = _on_grid(rng.uniform(low, high - width))
        at = min(max(at, low), high - width)
        begin, end = here[axis + 2], there[axis]
        rect = (begin, at, end, at + width) if axis == 0 else (at, begin, at + width, end)
        return Door((i, j), rect)
    return None


def _windows(rng: np.random.Generator, rooms: list[Area], width: float, depth: float) -> list[Rect]:
    """Windows in about half of the outer walls."""
    found: list[Rect] = []
    for room in rooms:
        x0, y0, x1, y1 = room.rect
        walls = [
            (x0 == 0, (-WALL, y0, 0.0, y1), 1),
            (x1 == width, (width, y0, width + WALL, y1), 1),
            (y0 == 0, (x0, -WALL, x1, 0.0), 0),
            (y1 == depth, (x0, depth, x1, depth + WALL), 0),
        ]
        for outer, wall, axis in walls:
            length = wall[axis + 2] - wall[axis]
            if not outer or rng.random() < 0.5:
                continue
            size = _on_grid(rng.uniform(1.0, min(4.0, length - 1.0)))
            begin = _on_grid(rng.uniform(0.5, length - size - 0.5))
            found.append(_halves(_halves(wall, axis, begin + size, length)[0], axis, 0, begin)[1])
    return found


@dataclass(frozen=True, slots=True)
class Look:
    """The few kinds of furniture and lamps that a building has.

    Attributes:
        cupboards: Textures of what is as high as the room.
        pictures: Textures of what hangs on walls.
        desks: Textures of sides and tops.
        crates: Likewise.
        column: Texture.
        lamp: Texture.
    """

    cupboards: Sequence[str]
    pictures: Sequence[str]
    desks: Sequence[tuple[str, str]]
    crates: Sequence[tuple[str, str]]
    column: str
    lamp: str


def random_look(rng: np.random.Generator) -> Look:
    """Two kinds of most things."""
    return Look(
        _some(rng, style.CUPBOARDS, 3),
        _some(rng, style.PICTURES, 2),
        _some(rng, style.DESKS, 2),
        _some(rng, style.CRATES, 2),
        _some(rng, style.COLUMNS, 1)[0],
        _some(rng, style.LAMPS, 1)[0],
    )


def _some(rng: np.random.Generator, choices: Sequence[T], count: int) -> list[T]:
    return [choices[int(i)] for i in rng.choice(len(choices), count, replace=False)]


def furnish(
    rng: np.random.Generator, room: Area, look: Look, reserved: Sequence[Rect]
) -> tuple[list[Area], list[Thing]]:
    """Furniture along the walls, in the middle of large rooms and in the corners.

    Args:
        rng: Of kinds, sizes and places.
        room: The room.
        look: The kinds there are.
        reserved: Doors and windows, before which nothing stands.

    Returns:
        What is part of the plan, and what stands free.
    """
    x0, y0, x1, y1 = room.rect
    busy = [_grow(rect, _APPROACH) for rect in reserved]
    pieces: list[Area] = []
    for horizontal in (True, False):
        for near in (True, False):
            for piece in _along_wall(rng, room, look, horizontal=horizontal, near=near):
                if not any(_overlap(piece.rect, other) for other in busy):
                    busy.append(_grow(piece.rect, 0.25))
                    pieces.append(piece)
    if min(x1 - x0, y1 - y0) >= _ISLAND_ROOM:
        pieces.append(_island(rng, room, look))
    corners = [(x, y) for x in (x0 + 0.75, x1 - 0.75) for y in (y0 + 0.75, y1 - 0.75)]
    things = []
    for x, y in corners:
        here = (x - 0.5, y - 0.5, x + 0.5, y + 0.5)
        if rng.random() < 0.2 and not any(_overlap(here, other) for other in busy):
            things.append(Thing(x, y, int(rng.choice(style.THINGS))))
    return pieces, things


def room_lamps(rng: np.random.Generator, room: Area, look: Look) -> list[Area]:
    """Panels in the ceiling: a row or a grid of squares of one size."""
    x0, y0, x1, y1 = room.rect
    size = float(rng.choice([0.5, 0.75, 1.0, 1.5]))
    gap = float(rng.uniform(2.5, 4.5))
    columns, rows = (max(1, int((side - 1) // gap)) for side in (x1 - x0, y1 - y0))
    xs, ys = _space_evenly(x0, x1, columns, size), _space_evenly(y0, y1, rows, size)
    return lamps(room, [(x, y, x + size, y + size) for x in xs for y in ys], look.lamp)


def _space_evenly(low: float, high: float, count: int, size: float) -> list[float]:
    """Lower edges of ``count`` pieces, evenly spaced, on multiples of 1/32 m."""
    step = (high - low) / count
    return [round((low + (i + 0.5) * step - size / 2) * 32) / 32 for i in range(count)]


def _along_wall(
    rng: np.random.Generator, room: Area, look: Look, *, horizontal: bool, near: bool
) -> list[Area]:
    """Pieces along one wall of a room: the near one has the lower coordinate."""
    x0, y0, x1, y1 = room.rect
    low, high = (x0, x1) if horizontal else (y0, y1)
    at = low + _draw(rng, 0.0, 1.5)
    pieces: list[Area] = []
    while True:
        length = _draw(rng, 1.0, 3.0)
        if at + length > high:
            return pieces
        kind = str(rng.choice(["cupboard", "picture", "desk", "crate", "nothing"]))
        depth = {"picture": 0.125, "cupboard": 0.5, "desk": 0.75, "crate": 1.0}.get(kind, 0.0)
        if horizontal:
            rect = (at, y0, at + length, y0 + depth) if near else (at, y1 - depth, at + length, y1)
        else:
            rect = (x0, at, x0 + depth, at + length) if near else (x1 - depth, at, x1, at + length)
        if kind != "nothing":
            pieces.append(_piece(rng, room, look, rect, kind))
        at += length + _draw(rng, 0.25, 1.5)


def _piece(rng: np.random.Generator, room: Area, look: Look, rect: Rect, kind: str) -> Area:
    if kind == "picture":
        return solid(rect, str(rng.choice(look.pictures)))
    if kind == "cupboard":
        return solid(rect, str(rng.choice(look.cupboards)))
    pairs = look.desks if kind == "desk" else look.crates
    side, flat = pairs[int(rng.integers(len(pairs)))]
    heights = [0.875, 1.125] if kind == "desk" else [1.0, 2.0]
    return box(room, rect, float(rng.choice(heights)), side, flat)


def _island(rng: np.random.Generator, room: Area, look: Look) -> Area:
    """A table, a pile of crates or a column in the middle of a room."""
    x0, y0, x1, y1 = room.rect
    width, depth = (_draw(rng, 0.75, min(4.0, side - 2 * _AISLE)) for side in (x1 - x0, y1 - y0))
    column = rng.random() < 0.4
    if column:
        width = depth = 0.75
    reach = _AISLE + 0.25
    x = _draw(rng, x0 + reach, x1 - reach - width) if x1 - x0 > 2 * reach + width else x0 + reach
    y = _draw(rng, y0 + reach, y1 - reach - depth) if y1 - y0 > 2 * reach + depth else y0 + reach
    rect = (x, y, x + width, y + depth)
    if column:
        return solid(rect, look.column)
    return _piece(rng, room, look, rect, str(rng.choice(["desk", "crate"])))


def _draw(rng: np.random.Generator, low: float, high: float) -> float:
    return _on_grid(rng.uniform(low, high))


def _grow(rect: Rect, by: float) -> Rect:
    x0, y0, x1, y1 = rect
    return x0 - by, y0 - by, x1 + by, y1 + by


def _overlap(a: Rect, b: Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
