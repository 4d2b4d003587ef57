"""What changes between two visits of a building: night falls, or the furniture is moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from placememory._types import Floats
from placememory.samples import style
from placememory.samples.plan import Area, Floor, Rect, Thing

NIGHT_GAINS = (1.12, 0.97, 0.74)  #: the few lamps that burn at night are warm
NIGHT_NOISE = 9.0  #: of 255; a camera in the dark amplifies

_NIGHT = 56.0  # brightness of a room without lamps
_LIT = 0.15  # share of the lamps that burn at night
_CLEAR = 0.8  # metres that moved furniture keeps from the route
_AISLE = 0.25  # metres between pieces of furniture
_GRID = 8  # furniture stands on multiples of 1/8 m
_TRIES = 60


def fall_night(rng: np.random.Generator, areas: tuple[Area, ...]) -> dict[Area, int]:
    """The brightness of every area by night: dark outside, nearly every lamp out.

    Args:
        rng: Of the lamps that burn and of the rooms, of which each is dark in its own way.
        areas: Of the plan.
    """
    on = rng.random(len(areas)) < _LIT
    dark = rng.uniform(-12, 20, len(areas))
    light = {}
    for area, burns, more in zip(areas, on, dark, strict=True):
        if area.top == "F_SKY1":
            light[area] = 24
        elif area.fixed_light and burns:
            light[area] = area.light - 64
        else:
            light[area] = round(_NIGHT + 0.15 * (area.light - 190) + more * area.fixed_light)
    return light


def move_furniture(rng: np.random.Generator, floor: Floor, path: Floats) -> Floor:
    """The same building after its users have rearranged it.

    Of what stands free (desks, crates, counters, benches) about half is moved in its room and
    turned where it fits, a quarter is gone, and another kind takes the place of the rest. A third
    of the cupboards and pictures along the walls shows something else or is gone. Lamps and
    barrels move or are gone. Walls, doors, windows and columns stay.

    Args:
        rng: Of every choice.
        floor: The plan.
        path: (n, 2) metres; nothing is put closer than 0.8 m to it.

    Returns:
        The plan with other furniture.
    """
    tree = cKDTree(path)
    blocked = [door.rect for door in floor.doors] or [a.rect for a in floor.areas if _is_door(a)]
    standing = [area for area in floor.areas if _is_furniture(area)]
    areas: list[Area] = []
    for area in floor.areas:
        if not _is_furniture(area):
            areas.append(area)
            continue
        room = next((r for r in floor.rooms if _inside(area.rect, r.rect)), None)
        chance = rng.random()
        if area.solid:
            changed = _refit(rng, area, chance)
        elif chance < 0.25:
            changed = None
        elif chance < 0.5 or room is None:
            changed = _replace_kind(rng, area)
        else:
            others = [*blocked, *(other.rect for other in standing if other is not area)]
            changed = _move(rng, area, room, others, tree)
        standing = [other for other in standing if other is not area]
        if changed is not None:
            areas.append(changed)
            standing.append(changed)
    taken = [area.rect for area in standing] + blocked
    things = [_move_thing(rng, thing, floor, taken, tree) for thing in floor.things]
    return replace(
        floor, areas=tuple(areas), things=tuple(t for t in things if t is not None), owners=()
    )


def _is_furniture(area: Area) -> bool:
    return area.side is not None and (area.solid or area.floor > 0)


def _is_door(area: Area) -> bool:
    return area.side is not None and not area.solid and area.floor == 0


def _inside(inner: Rect, outer: Rect) -> bool:
    (x0, y0, x1, y1), (u0, v0, u1, v1) = inner, outer
    return u0 <= x0 and v0 <= y0 and x1 <= u1 and y1 <= v1


def _refit(rng: np.random.Generator, area: Area, chance: float) -> Area | None:
    """A cupboard or picture with another front, or gone; a column stays."""
    x0, y0, x1, y1 = area.rect
    if max(x1 - x0, y1 - y0) < 1 or chance > 0.35:
        return area
    if chance < 0.12:
        return None
    fronts = style.PICTURES if min(x1 - x0, y1 - y0) < 0.2 else style.CUPBOARDS
    front = str(rng.choice(fronts))
    return replace(area, side=front, wall=front)


def _replace_kind(rng: np.random.Generator, area: Area) -> Area:
    """Other furniture in the same place: another height, another surface."""
    kinds = style.CRATES if area.floor > 1.25 else style.DESKS
    side, flat = kinds[int(rng.integers(len(kinds)))]
    height = float(rng.integers(6, 20)) / 8
    return replace(area, side=side, flat=flat, floor=max(height, 0.875))


def _move(
    rng: np.random.Generator, area: Area, room: Area, others: list[Rect], path: cKDTree
) -> Area | None:
    """Furniture somewhere else in its room; gone where no place is left."""
    x0, y0, x1, y1 = area.rect
    for _ in range(_TRIES):
        size = (x1 - x0, y1 - y0) if rng.random() < 0.5 else (y1 - y0, x1 - x0)
        rect = _place(rng, room.rect, size)
        if rect is not None and rect != area.rect and _fits(rect, others, path):
            return replace(area, rect=rect)
    return None


def _place(rng: np.random.Generator, room: Rect, size: tuple[float, float]) -> Rect | None:
    x0, y0, x1, y1 = room
    spare = (x1 - x0 - size[0], y1 - y0 - size[1])
    if min(spare) < 0:
        return None
    x = x0 + int(rng.integers(int(spare[0] * _GRID) + 1)) / _GRID
    y = y0 + int(rng.integers(int(spare[1] * _GRID) + 1)) / _GRID
    return x, y, x + size[0], y + size[1]


def _fits(rect: Rect, others: list[Rect], path: cKDTree) -> bool:
    x0, y0, x1, y1 = rect
    for u0, v0, u1, v1 in others:
        if x0 < u1 + _AISLE and u0 < x1 + _AISLE and y0 < v1 + _AISLE and v0 < y1 + _AISLE:
            return False
    points = np.asarray(path.data)
    gap = np.maximum([x0, y0] - points, points - [x1, y1]).clip(0)
    return bool(np.hypot(gap[:, 0], gap[:, 1]).min() > _CLEAR)


def _move_thing(
    rng: np.random.Generator, thing: Thing, floor: Floor, taken: list[Rect], path: cKDTree
) -> Thing | None:
    """A lamp or barrel elsewhere in its room or gone; what grows outside stays."""
    around = (thing.x - 0.1, thing.y - 0.1, thing.x + 0.1, thing.y + 0.1)
    room = next((r for r in floor.rooms if _inside(around, r.rect)), None)
    if room is None:
        return thing
    if rng.random() < 0.3:
        return None
    for _ in range(_TRIES):
        rect = _place(rng, room.rect, (2 * thing.radius, 2 * thing.radius))
        if rect is not None and _fits(rect, taken, path):
            taken.append(rect)
            return replace(thing, x=rect[0] + thing.radius, y=rect[1] + thing.radius)
    return None
