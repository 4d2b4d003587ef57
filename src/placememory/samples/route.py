"""Routes on a grid: the way between two points, evenly spaced, with headings.

Paths are float64 arrays of shape (n, 2): x, y in metres in the map frame. Headings are radians,
counter-clockwise from the map's x axis.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from placememory.errors import SettingError
from placememory.samples.grid import Grid

Path2d = NDArray[np.float64]

_STEPS = [(i, j, math.hypot(i, j)) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


def shortest_path(
    grid: Grid,
    room: NDArray[np.float64],
    start: tuple[float, float],
    goal: tuple[float, float],
    *,
    radius: float,
    comfort: float = 1.0,
) -> Path2d:
    """A* on eight neighbours, which keeps away from walls where there is room.

    Args:
        grid: The occupancy.
        room: (rows, columns) distance to the nearest blocked cell in metres.
        start: x, y in metres.
        goal: x, y in metres.
        radius: Metres; cells closer to a wall are never entered.
        comfort: Metres; a step nearer to a wall than this costs up to five times its length.

    Returns:
        (n, 2) cell centres from the start's cell to the goal's, both included.

    Raises:
        SettingError: There is no such way.
    """
    first, last = grid.cell(*start), grid.cell(*goal)
    best = {first: 0.0}
    parent: dict[tuple[int, int], tuple[int, int]] = {}
    queue = [(math.dist(first, last), first)]
    rows, columns = room.shape
    done: set[tuple[int, int]] = set()
    while queue and last not in done:
        _, here = heapq.heappop(queue)
        if here in done:
            continue
        done.add(here)
        for i, j, length in _STEPS:
            row, column = there = (here[0] + i, here[1] + j)
            if not (0 <= row < rows and 0 <= column < columns) or room[row, column] < radius:
                continue
            cost = best[here] + length * (1 + 4 * max(0.0, 1 - room[row, column] / comfort))
            if cost < best.get(there, math.inf):
                best[there], parent[there] = cost, here
                heapq.heappush(queue, (cost + math.dist(there, last), there))
    if last not in done:
        raise SettingError(f"there is no way from {start} to {goal} for a radius of {radius} m")
    cells = [last]
    while cells[-1] != first:
        cells.append(parent[cells[-1]])
    return np.array([grid.point(*cell) for cell in reversed(cells)])


def tour(
    grid: Grid,
    room: NDArray[np.float64],
    waypoints: Sequence[tuple[float, float]],
    *,
    radius: float,
) -> Path2d:
    """The way through all waypoints in order, (n, 2) metres.

    Raises:
        SettingError: Fewer than two waypoints, or no way between two of them.
    """
    if len(waypoints) < 2:
        raise SettingError(f"a tour needs two waypoints or more, not {len(waypoints)}")
    legs = [shortest_path(grid, room, a, b, radius=radius) for a, b in pairwise(waypoints)]
    return np.concatenate([legs[0], *(leg[1:] for leg in legs[1:])])


def arc_lengths(path: Path2d) -> NDArray[np.float64]:
    """(n,) metres driven from the first point of a path to each of its points.

    Example:
        >>> arc_lengths(np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])).tolist()
        [0.0, 5.0, 6.0]
    """
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def resample(path: Path2d, count: int) -> Path2d:
    """Points at equal distances along a path, its ends included.

    Args:
        path: (n, 2) metres.
        count: How many points, two or more.

    Returns:
        (count, 2) metres.

    Raises:
        SettingError: Fewer than two points are asked for.

    Example:
        >>> resample(np.array([[0.0, 0.0], [2.0, 0.0]]), 3).tolist()
        [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]
    """
    if count < 2:
        raise SettingError(f"a path has two points or more, not {count}")
    s = arc_lengths(path)
    at = np.linspace(0.0, s[-1], count)
    return np.stack([np.interp(at, s, path[:, 0]), np.interp(at, s, path[:, 1])], axis=1)


def smooth(values: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Gaussian mean along axis 0; the first and the last value stay in place.

    Args:
        values: (n, k) samples, evenly spaced.
        width: Standard deviation in samples; below 1/6 nothing changes.

    Returns:
        (n, k) float64. Values beyond the ends are mirrored through the end points.
    """
    reach = min(round(3 * width), len(values) - 1)
    if reach < 1:
        return values.copy()
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    weights /= weights.sum()
    before = 2 * values[0] - values[reach:0:-1]
    after = 2 * values[-1] - values[-2 : -2 - reach : -1]
    padded = np.concatenate([before, values, after])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    return np.asarray(windows @ weights, dtype=np.float64)


def headings(path: Path2d, lookahead: float) -> NDArray[np.float64]:
    """Where a robot on a path looks: at the point of the path some metres ahead.

    Args:
        path: (n, 2) metres, evenly spaced, n of two or more.
        lookahead: Metres; near the end the last direction is kept.

    Returns:
        (n,) radians, without jumps of a full turn.

    Example:
        >>> headings(np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]]), 1.0).round(3).tolist()
        [1.571, 1.571, 1.571]
    """
    s = arc_lengths(path)
    spacing = s[-1] / (len(path) - 1)
    extra = np.arange(1, math.ceil(lookahead / spacing) + 1)[:, None]
    longer = np.concatenate([path, path[-1] + extra * (path[-1] - path[-2])])
    along = arc_lengths(longer)
    ahead = [np.interp(s + lookahead, along, longer[:, axis]) for axis in (0, 1)]
    return np.unwrap(np.arctan2(ahead[1] - path[:, 1], ahead[0] - path[:, 0]))


def shift_sideways(
    path: Path2d,
    offsets: NDArray[np.float64],
    grid: Grid,
    room: NDArray[np.float64],
    *,
    radius: float,
) -> Path2d:
    """Move each point of a path to its left, as far as there is room.

    Args:
        path: (n, 2) metres.
        offsets: (n,) metres, positive to the left of the direction of travel.
        grid: The occupancy.
        room: (rows, columns) distance to the nearest blocked cell in metres.
        radius: Metres that stay free around every moved point.

    Returns:
        (n, 2) metres. A point without room for any shift stays where it was.
    """
    direction = np.gradient(path, axis=0)
    length = np.linalg.norm(direction, axis=1, keepdims=True)
    left = np.stack([-direction[:, 1], direction[:, 0]], axis=1) / np.maximum(length, 1e-9)
    result = path.copy()
    for i, offset in enumerate(offsets):
        for part in np.arange(1.0, 0.0, -0.125):
            moved = path[i] + part * offset * left[i]
            if room[grid.cell(*moved)] >= radius:
                result[i] = moved
                break
    return result
