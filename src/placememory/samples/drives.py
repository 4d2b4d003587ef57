"""Where a robot drives through a building, how it looks around, and in which light."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from placememory._types import Bools, Floats, Rows
from placememory.samples import demonstration, route
from placememory.samples.changes import NIGHT_GAINS, NIGHT_NOISE, fall_night, move_furniture
from placememory.samples.grid import BoolGrid, Grid, clearance, occupancy
from placememory.samples.plan import Area, Floor
from placememory.samples.random_floor import (
    ELBOW_ROOM,
    PLANNING_GRID,
    reachable,
    standing_places,
)

OFF_MAP_DISTANCE = 3.0  #: metres from the mapping route from which a place counts as never seen

_FINE = 0.1  # metres between the points of a route before frames are picked
_RADIUS = 0.6  # metres a route keeps from walls
_SIDE = 0.6  # metres, the largest shift
_SWING = math.radians(20)
_LOOKAHEAD = 1.5  # metres
_SPEED = 0.9  # metres per second, for the stamps
_MAPPING_NS, _QUERY_NS = 1751340273862754844, 1751388911204418350
_START_NS = 1_751_340_273_000_000_000
_APART_NS = 6 * 3600 * 1_000_000_000
_DIMMEST, _BRIGHTEST = 72, 255
_DAY = 1.15  # gamma of the picture by day


@dataclass(frozen=True, slots=True)
class Drive:
    """One run through a building, to be rendered.

    Attributes:
        name: Of its folder.
        poses: (n, 3) x, y in metres and heading in radians, one row per image.
        stamps_ns: (n,) int64 unix nanoseconds.
        light: Brightness of every area, 0 to 255.
        gamma: Brightness of the picture.
        floor: The building as this run finds it.
        gains: White balance of the camera: factors of red, green and blue.
        noise: Standard deviation of the camera's noise, of 255; 0 for a picture as rendered.
    """

    name: str
    poses: Floats
    stamps_ns: Rows
    light: Mapping[Area, int]
    gamma: float
    floor: Floor
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    noise: float = 0.0


def plan_demonstration(seed: int, frames: int, change: str = "none") -> tuple[Drive, Drive, Bools]:
    """The mapping run, and the query run in other light, with its stretch off the map.

    Args:
        seed: Of the offsets, the headings, the stamps and the lamps that are out.
        frames: Images of the mapping run; the query run, a little longer, has 1.05 times as many.
        change: What the query run finds changed: ``none`` (evening), ``night``, or ``moved``
            (furniture, in the evening); its path is the same in all.

    Returns:
        The mapping run, the query run, and (n,) where the mapping run never was in the latter.
    """
    rng = np.random.default_rng(seed)
    floor = demonstration.FLOOR
    areas = floor.areas
    grid = occupancy(demonstration.FLOOR, PLANNING_GRID)
    room = clearance(grid.blocked, grid.resolution)
    mapping, query = (
        _even_out(route.tour(grid, room, waypoints, radius=_RADIUS))
        for waypoints in (demonstration.MAPPING, demonstration.QUERY)
    )
    side = _SIDE * _wave(rng, query, 9.0)
    beside = route.shift_sideways(query, side, grid, room, radius=ELBOW_ROOM)
    beside = route.smooth(beside, 5)
    turn = math.radians(15) * _wave(rng, query, 7.0)
    turned = route.headings(query, _LOOKAHEAD) + turn
    straight = route.headings(mapping, _LOOKAHEAD)
    out = rng.random(len(areas)) < 0.35
    poses, stamps = _sample(rng, mapping, straight, frames)
    first = Drive("mapping", poses, stamps + _MAPPING_NS, _by_day(areas), _DAY, floor)
    poses, stamps = _sample(rng, beside, turned, round(1.05 * frames))
    evening = {area: _evening(area, bool(dark)) for area, dark in zip(areas, out, strict=True)}
    second = Drive("query", poses, stamps + _QUERY_NS, evening, 1.0, floor)
    changes = np.random.default_rng([seed, 1])
    if change == "night":
        dark = fall_night(changes, areas)
        second = replace(second, light=dark, gains=NIGHT_GAINS, noise=NIGHT_NOISE)
    elif change == "moved":
        moved = move_furniture(changes, floor, np.concatenate([mapping, beside]))
        light = {area: evening.get(area, _evening(area, lamp_out=False)) for area in moved.areas}
        second = replace(second, floor=moved, light=light)
    off_map = cKDTree(mapping).query(poses[:, :2])[0] > OFF_MAP_DISTANCE
    return first, second, off_map


def plan_traverses(
    rng: np.random.Generator, floor: Floor, traverses: int, frames: int
) -> list[Drive]:
    """One closed tour through all rooms of a random building, driven several times.

    The first traverse drives straight by day. The others drive up to 0.6 m beside it, swing their
    heading by up to 20 degrees, start elsewhere on the tour and see another light.

    Args:
        rng: Of the tour, the offsets and the lights.
        floor: The building.
        traverses: How many.
        frames: Images of each.
    """
    grid = occupancy(floor, PLANNING_GRID)
    room = clearance(grid.blocked, grid.resolution)
    path = _closed_tour(rng, floor, grid, room)
    drives = []
    for number in range(traverses):
        plain = number == 0
        begin = 0 if plain else int(rng.integers(len(path)))
        here = np.concatenate([path[begin:], path[1 : begin + 1]])
        yaw = route.headings(here, _LOOKAHEAD)
        if not plain:
            side = _SIDE * _wave(rng, here, float(rng.uniform(7, 15)))
            yaw = yaw + _SWING * _wave(rng, here, float(rng.uniform(5, 12)))
            here = route.smooth(route.shift_sideways(here, side, grid, room, radius=ELBOW_ROOM), 5)
        poses, stamps = _sample(rng, here, yaw, frames)
        stamps += _START_NS + number * _APART_NS
        if plain:
            drive = Drive("t0", poses, stamps, _by_day(floor.areas), _DAY, floor, noise=2.0)
        else:
            light, gains = _light(rng, floor), rng.uniform(0.8, 1.2, 3).tolist()
            gamma, noise = rng.uniform(0.8, 1.3), rng.uniform(2, 12)
            drive = Drive(f"t{number}", poses, stamps, light, gamma, floor, gains, noise)
        drives.append(drive)
    return drives


def _closed_tour(rng: np.random.Generator, floor: Floor, grid: Grid, room: Floats) -> route.Path2d:
    """Through all rooms, always on to the nearest one not seen yet, and back; a point per 0.1 m."""
    free = reachable(floor, grid, room)
    first = floor.doors[0].rooms[0]
    here, left = first, set(range(len(floor.rooms))) - {first}
    waypoints = [_inside(rng, floor.rooms[here], grid, free)]
    while left:
        way = _rooms_between(floor, here, left)
        waypoints += [floor.doors[number].centre for number, _ in way]
        here = way[-1][1]
        left.discard(here)
        waypoints += [_inside(rng, floor.rooms[here], grid, free) for _ in range(2)]
    waypoints += [floor.doors[number].centre for number, _ in _rooms_between(floor, here, {first})]
    return _even_out(route.tour(grid, room, [*waypoints, waypoints[0]], radius=_RADIUS))


def _rooms_between(floor: Floor, here: int, goals: set[int]) -> list[tuple[int, int]]:
    """The fewest doors from a room to one of some others: (door, room behind it) in order."""
    came: dict[int, tuple[int, int]] = {}
    queue = deque([here])
    while queue:
        room = queue.popleft()
        if room in goals:
            way = []
            while room != here:
                through, before = came[room]
                way.append((through, room))
                room = before
            return way[::-1]
        for number, door in enumerate(floor.doors):
            if room in door.rooms:
                behind = door.rooms[1 - door.rooms.index(room)]
                if behind not in came and behind != here:
                    came[behind] = (number, room)
                    queue.append(behind)
    return []


def _inside(
    rng: np.random.Generator, room: Area, grid: Grid, free: BoolGrid
) -> tuple[float, float]:
    """A point of a room where a robot can stand."""
    places = standing_places(room, grid, free)
    row, column = places[int(rng.integers(len(places)))]
    return grid.point(int(row), int(column))


def _even_out(path: route.Path2d) -> route.Path2d:
    """Even out a path of cell centres: a point every 0.1 m, corners rounded over 0.8 m."""
    count = max(2, round(float(route.arc_lengths(path)[-1]) / _FINE))
    return route.smooth(route.resample(path, count), 0.8 / _FINE)


def _wave(rng: np.random.Generator, path: route.Path2d, length: float) -> Floats:
    """A slow swing between -1 and 1 along a path: two sines of random phase."""
    s = route.arc_lengths(path)
    phases = rng.uniform(0, 2 * math.pi, 2)
    lengths = (length, 2.3 * length)
    waves = [np.sin(2 * math.pi * s / w + p) for w, p in zip(lengths, phases, strict=True)]
    return np.asarray(0.6 * waves[0] + 0.4 * waves[1])


def _sample(
    rng: np.random.Generator, path: route.Path2d, yaw: Floats, count: int
) -> tuple[Floats, Rows]:
    """Evenly spaced poses (count, 3), and their nanoseconds from the start."""
    s = route.arc_lengths(path)
    at = np.linspace(0.0, s[-1], count)
    columns = [np.interp(at, s, values) for values in (path[:, 0], path[:, 1], yaw)]
    seconds = at / _SPEED + rng.uniform(0, 0.02, count)
    return np.stack(columns, axis=1), (seconds * 1e9).astype(np.int64)


def _by_day(areas: tuple[Area, ...]) -> dict[Area, int]:
    return {area: area.light for area in areas}


def _evening(area: Area, lamp_out: bool) -> int:
    """The light of an area in the query run: dusk outside, some lamps out inside."""
    if area.top == "F_SKY1":
        return area.light - 112
    if area.fixed_light:
        return area.light - (96 if lamp_out else 16)
    return area.light - 48


def _light(rng: np.random.Generator, floor: Floor) -> dict[Area, int]:
    """Dusk outside, every room lighter or darker than planned, some lamps out."""
    overall, outside = rng.uniform(-88, 0), rng.uniform(-112, 0)
    rooms = overall + rng.uniform(-44, 28, len(floor.rooms))
    out = rng.random(len(floor.rooms)) < 0.4
    light = {}
    for area, owner in zip(floor.areas, floor.owners, strict=True):
        change = rooms[owner] if owner >= 0 else overall
        if area.top == "F_SKY1":
            change = outside
        elif area.fixed_light:
            change = change - 64 if out[owner] else max(change, -24)
        light[area] = int(min(max(area.light + change, _DIMMEST), _BRIGHTEST))
    return light
