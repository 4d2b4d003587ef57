"""The two runs through the sample building: where each frame is taken and in which light."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placememory.samples import _tour, route
from placememory.samples._furniture import AREAS, THINGS
from placememory.samples._plan import Area
from placememory.samples._write import distances
from placememory.samples.grid import clearance, occupancy

OFF_MAP_DISTANCE = 3.0  #: metres from the mapping route from which a place counts as never seen

_GRID = 0.125  # metres per cell when planning
_FINE = 0.1  # metres between the points of a route before frames are picked
_RADIUS = 0.6  # metres a route keeps from walls
_SIDE_RADIUS = 0.75  # metres that a sideways shift keeps: the engine's robot is 1 m square
_LOOKAHEAD = 1.5  # metres
_STARTS_NS = {"mapping": 1751340273862754844, "query": 1751388911204418350}
_SPEED = 0.9  # metres per second, for the stamps

Poses = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Run:
    """What one run renders.

    Attributes:
        name: Name of its folder.
        poses: (n, 3) x, y in metres and heading in radians, one row per image.
        stamps_ns: (n,) int64 unix nanoseconds.
        light: Brightness of every area in this run, 0 to 255.
        gamma: Brightness of the picture.
        off_map: (n,) bool, where the mapping run never was.
    """

    name: str
    poses: Poses
    stamps_ns: NDArray[np.int64]
    light: Mapping[Area, int]
    gamma: float
    off_map: NDArray[np.bool_]


def plan_runs(seed: int, frames: int) -> tuple[Run, Run]:
    """The mapping run, and the query run in other light, with its stretch off the map.

    Args:
        seed: Of the offsets, the headings, the stamps and the lamps that are out.
        frames: Images of the mapping run; the query run, a little longer, has 1.05 times as many.

    Returns:
        The mapping run and the query run.
    """
    rng = np.random.default_rng(seed)
    grid = occupancy(AREAS, THINGS, _GRID)
    room = clearance(grid.blocked, grid.resolution)
    mapping = _fine(route.tour(grid, room, _tour.MAPPING, radius=_RADIUS))
    query = _fine(route.tour(grid, room, _tour.QUERY, radius=_RADIUS))
    side = 0.6 * _wave(rng, query, 9.0)
    beside = route.shift_sideways(query, side, grid, room, radius=_SIDE_RADIUS)
    beside = route.smooth(beside, 5)
    turn = math.radians(15) * _wave(rng, query, 7.0)
    turned = route.headings(query, _LOOKAHEAD) + turn
    straight = route.headings(mapping, _LOOKAHEAD)
    out = rng.random(len(AREAS)) < 0.35
    evening = {area: _evening(area, bool(dark)) for area, dark in zip(AREAS, out, strict=True)}
    day = {area: area.light for area in AREAS}
    return (
        _run("mapping", mapping, straight, frames, rng, mapping, day, 1.15),
        _run("query", beside, turned, round(1.05 * frames), rng, mapping, evening, 1.0),
    )


def _fine(path: route.Path2d) -> route.Path2d:
    """Even out a path of cell centres: a point every 0.1 m, corners rounded over 0.8 m."""
    count = max(2, round(float(route.travelled(path)[-1]) / _FINE))
    return route.smooth(route.resample(path, count), 0.8 / _FINE)


def _wave(rng: np.random.Generator, path: route.Path2d, length: float) -> NDArray[np.float64]:
    """A slow swing between -1 and 1 along a path: two sines of random phase."""
    s = route.travelled(path)
    phases = rng.uniform(0, 2 * math.pi, 2)
    lengths = (length, 2.3 * length)
    waves = [np.sin(2 * math.pi * s / w + p) for w, p in zip(lengths, phases, strict=True)]
    return np.asarray(0.6 * waves[0] + 0.4 * waves[1])


def _evening(area: Area, lamp_out: bool) -> int:
    """The light of an area in the query run: dusk outside, some lamps out inside."""
    if area.top == "F_SKY1":
        return area.light - 112
    if area.fixed_light:
        return area.light - (96 if lamp_out else 16)
    return area.light - 48


def _run(
    name: str,
    path: route.Path2d,
    yaw: NDArray[np.float64],
    count: int,
    rng: np.random.Generator,
    mapping: route.Path2d,
    light: Mapping[Area, int],
    gamma: float,
) -> Run:
    s = route.travelled(path)
    at = np.linspace(0.0, s[-1], count)
    columns = [np.interp(at, s, values) for values in (path[:, 0], path[:, 1], yaw)]
    poses = np.stack(columns, axis=1)
    seconds = at / _SPEED + rng.uniform(0, 0.02, count)
    stamps = _STARTS_NS[name] + (seconds * 1e9).astype(np.int64)
    off_map = distances(poses[:, :2], mapping) > OFF_MAP_DISTANCE
    return Run(name, poses, stamps, light, gamma, off_map)
