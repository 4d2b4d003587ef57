"""Cells near candidates, and how much each frame gives to them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from placememory._types import Floats, Rows

_CUT = 3.0  # sigmas


class Cells(NamedTuple):
    """Cells of a grid that begins at the map's origin.

    Attributes:
        centres: (M, 2) metres.
        heat: (M,) sum over the frames.
    """

    centres: Floats
    heat: Floats


def sum_of_frames(
    points: Floats, weights: Floats, frame: Rows, sigma: float, resolution: float
) -> Cells:
    """Sum over the frames of the highest kernel of each.

    Args:
        points: (V, 2) metres.
        weights: (V,) height of each kernel.
        frame: (V,) number of its frame, increasing.
        sigma: Metres.
        resolution: Side of a cell in metres.

    Example:
        >>> cells = sum_of_frames(np.zeros((2, 2)), np.ones(2), np.array([0, 1]), 1.0, 0.5)
        >>> round(float(cells.heat.max()), 2), bool((abs(cells.centres) < 3.5).all())
        (1.88, True)
    """
    reach = math.ceil(_CUT * sigma / resolution)
    offset = np.arange(-reach, reach + 1)
    base = np.floor(points / resolution).astype(np.int64)
    steps = base[:, :, None] + offset  # (V, 2, C)
    apart = (steps + 0.5) * resolution - points[:, :, None]
    bell = np.exp(-0.5 * (apart / sigma) ** 2)
    value = weights[:, None, None] * bell[:, 0, :, None] * bell[:, 1, None, :]
    low = steps.min(axis=(0, 2))
    height = int(steps[:, 1].max() - low[1]) + 1
    key = (steps[:, 0, :, None] - low[0]) * height + (steps[:, 1, None, :] - low[1])
    cells, inverse = np.unique(key.ravel(), return_inverse=True)
    inverse, flat = inverse.reshape(len(points), -1), value.reshape(len(points), -1)
    heat = np.zeros(len(cells))
    for number in np.unique(frame):
        layer = np.zeros(len(cells))
        for vote in np.flatnonzero(frame == number):
            at = inverse[vote]
            layer[at] = np.maximum(layer[at], flat[vote])
        heat += layer
    centres = np.column_stack((cells // height + low[0], cells % height + low[1])) + 0.5
    return Cells(centres * resolution, heat)


def spread(heat: Floats, resolution: float, share: float = 0.9) -> tuple[float, float]:
    """Area in square metres of the fewest cells with ``share`` of the heat, and entropy in nats.

    Example:
        >>> area, entropy = spread(np.ones(10), 2.0)
        >>> area, round(entropy, 3)
        (36.0, 2.303)
    """
    total = float(heat.sum())
    if total <= 0:
        return 0.0, 0.0
    part = np.sort(heat / total)[::-1]
    count = int(np.searchsorted(np.cumsum(part), share - 1e-9)) + 1
    part = part[part > 0]
    return count * resolution**2, float(-(part @ np.log(part)))


def heights(points: Floats, weights: Floats, frame: Rows, sigma: float) -> Floats:
    """(V,) the same sum, at the kernels' centres.

    Example:
        >>> at = np.array([[0.0, 0.0], [9.0, 0.0]])
        >>> heights(at, np.array([1.0, 2.0]), np.array([0, 1]), 1.0).round(6).tolist()
        [1.0, 2.0]
    """
    apart = ((points[:, None] - points) ** 2).sum(axis=-1)
    given = weights * np.exp(-0.5 * apart / sigma**2)
    starts = np.flatnonzero(np.diff(frame, prepend=-1))
    total: Floats = np.maximum.reduceat(given, starts, axis=1).sum(axis=1)
    return total


def climb(
    start: Floats, points: Floats, weights: Floats, frame: Rows, sigma: float, most: int = 60
) -> tuple[Floats, float, Floats]:
    """Mean shift to the peak of the same sum, with no grid.

    Args:
        start: (2,) metres.
        points: (V, 2) metres.
        weights: (V,).
        frame: (V,) increasing.
        sigma: Metres.
        most: Steps; 0 stays.

    Returns:
        The peak (2,), its height, and (V,) what each vote gives there, 0 for those of a frame that
        are below its best.

    Example:
        >>> peak, _, _ = climb(np.array([0.3, 0.0]), np.array([[0.0, 0.0], [1.0, 0.0]]), np.ones(2),
        ...                    np.array([0, 1]), 1.0)
        >>> peak.round(3).tolist()
        [0.5, 0.0]
    """
    starts = np.flatnonzero(np.diff(frame, prepend=-1))
    lengths = np.diff(np.append(starts, len(frame)))
    bell = np.full(points.shape[1], -0.5 / sigma**2)
    at = start
    for step in range(most + 1):
        apart = points - at
        given = weights * np.exp((apart * apart) @ bell)
        best = np.maximum.reduceat(given, starts)
        given = np.where(given >= np.repeat(best, lengths), given, 0.0)
        if given.sum() <= 0 or step == most:
            break
        after = given @ points / given.sum()
        if math.dist(after.tolist(), at.tolist()) < 1e-8 * sigma:
            break
        at = after
    return at, float(best.sum()), given
