"""Where the traverses of a random building drive and in which light."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placememory.samples import route
from placememory.samples._floor import ELBOW_ROOM, PLANNING_GRID, Floor, reachable, standing_places
from placememory.samples._plan import Area
from placememory.samples.grid import BoolGrid, Grid, clearance, occupancy

_FINE = 0.1  # metres between the points of a route before frames are picked
_RADIUS = 0.6  # metres a route keeps from walls
_SIDE = 0.6  # metres, the largest shift
_SWING = math.radians(20)
_LOOKAHEAD = 1.5  # metres
_SPEED = 0.9  # metres per second, for the stamps
_START_NS = 1_751_340_273_000_000_000
_APART_NS = 6 * 3600 * 1_000_000_000
_DIMMEST, _BRIGHTEST = 72, 255


@dataclass(frozen=True, slots=True)
class TraversePlan:
    """What one traverse renders.

    Attributes:
        poses: (n, 3) x, y in metres and heading in radians, one row per image.
        stamps_ns: (n,) int64 unix nanoseconds.
        light: Brightness of every area, 0 to 255.
        gamma: Brightness of the picture.
        gains: White balance of the camera: factors of red, green and blue.
        noise: Standard deviation of the camera's noise, of 255.
    """

    poses: NDArray[np.float64]
    stamps_ns: NDArray[np.int64]
    light: dict[Area, int]
    gamma: float
    gains: tuple[float, float, float]
    noise: float


def plan_traverses(
    rng: np.random.Generator, floor: Floor, traverses: int, frames: int
) -> list[TraversePlan]:
    """One closed tour through all rooms, driven several times.

    The first traverse drives straight by day. The others drive up to 0.6 m beside it, swing their
    heading by up to 20 degrees, start elsewhere on the tour and see another light.

    Args:
        rng: Of the tour, the offsets and the lights.
        floor: The building.
        traverses: How many.
        frames: Images of each.
    """
    grid = occupancy(floor.areas, floor.things, PLANNING_GRID)
    room = clearance(grid.blocked, grid.resolution)
    path = _closed_tour(rng, floor, grid, room)
    plans = []
    for number in range(traverses):
        plain = number == 0
        begin = 0 if plain else int(rng.integers(len(path)))
        here = np.concatenate([path[begin:], path[1 : begin + 1]])
        yaw = route.headings(here, _LOOKAHEAD)
        if not plain:
            side = _SIDE * _wave(rng, here, float(rng.uniform(7, 15)))
            yaw = yaw + _SWING * _wave(rng, here, float(rng.uniform(5, 12)))
            here = route.smooth(route.shift_sideways(here, side, grid, room, radius=ELBOW_ROOM), 5)
        poses, stamps = _sampled(rng, here, yaw, frames)
        stamps += _START_NS + number * _APART_NS
        if plain:
            light = {area: area.light for area in floor.areas}
            plans.append(TraversePlan(poses, stamps, light, 1.15, (1.0, 1.0, 1.0), 2.0))
        else:
            light, gains = _light(rng, floor), rng.uniform(0.8, 1.2, 3).tolist()
            gamma, noise = rng.uniform(0.8, 1.3), rng.uniform(2, 12)
            plans.append(TraversePlan(poses, stamps, light, gamma, gains, noise))
    return plans


def _closed_tour(
    rng: np.random.Generator, floor: Floor, grid: Grid, room: NDArray[np.float64]
) -> route.Path2d:
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
    tour = route.tour(grid, room, [*waypoints, waypoints[0]], radius=_RADIUS)
    count = max(2, round(float(route.travelled(tour)[-1]) / _FINE))
    return route.smooth(route.resample(tour, count), 0.8 / _FINE)


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


def _wave(rng: np.random.Generator, path: route.Path2d, length: float) -> NDArray[np.float64]:
    """A slow swing between -1 and 1 along a path: two sines of random phase."""
    s = route.travelled(path)
    phases = rng.uniform(0, 2 * math.pi, 2)
    lengths = (length, 2.3 * length)
    waves = [np.sin(2 * math.pi * s / w + p) for w, p in zip(lengths, phases, strict=True)]
    return np.asarray(0.6 * waves[0] + 0.4 * waves[1])


def _sampled(
    rng: np.random.Generator, path: route.Path2d, yaw: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Evenly spaced poses (count, 3), and their nanoseconds from the start."""
    s = route.travelled(path)
    at = np.linspace(0.0, s[-1], count)
    columns = [np.interp(at, s, values) for values in (path[:, 0], path[:, 1], yaw)]
    seconds = at / _SPEED + rng.uniform(0, 0.02, count)
    return np.stack(columns, axis=1), (seconds * 1e9).astype(np.int64)


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
