"""Cells near candidates, and how much each frame gives to them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from placememory._checks import check_positive, check_share, check_whole
from placememory._types import Floats, Rows
from placememory.errors import SettingError
from placememory.fusion._belief import Belief, Hypothesis
from placememory.fusion._evidence import Evidence, Odometry
from placememory.fusion._motion import pose_of
from placememory.fusion._places import PlaceTable
from placememory.fusion._window import Rule, Votes, VoteWindow, believe
from placememory.maps import FREE, OccupancyGrid

_CUT = 3.0  # sigmas


class Cells(NamedTuple):
    """Cells of a grid that begins at the map's origin.

    Attributes:
        centres: (M, 2) metres.
        heat: (M,) sum over the frames.
    """

    centres: Floats
    heat: Floats


class Heat(NamedTuple):
    """What the frames of a window say together, where the robot is now.

    Attributes:
        cells: Near the votes, walls left out.
        resolution: Side of a cell, metres.
        votes: (V, 2) metres, candidates of all frames, moved to where the robot would be now.
        weights: (V,) normalised similarities.
        frames: (V,) number of the frame of each vote, from 0, the oldest.
        peak: (2,) the highest point, ``None`` where there is none.
    """

    cells: Cells
    resolution: float
    votes: Floats
    weights: Floats
    frames: Rows
    peak: tuple[float, float] | None


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


_TINY = 1e-12
_MOST = 5


def _fading(trust: Floats, frame: Rows) -> Floats:
    """(V,) factor, mean 1 over the frames: the less is known of the motion since, the lower."""
    fade: Floats = np.sqrt(trust)
    first = np.flatnonzero(np.diff(frame, prepend=-1))
    return fade / float(fade[first].mean())


class _Peak(NamedTuple):
    at: tuple[float, float]
    hypothesis: Hypothesis
    score: float
    support: int
    covariance: Floats


class Heatmap:
    """Heatmap over x and y.

    H(x) = sum over frames t of max over candidates k of w_tk exp(-|x - p'_tk|^2 / 2 sigma^2), with
    candidates moved by the odometry since. Only cells within three sigmas of a candidate are
    looked at, so neither the size of the map nor the number of its places costs anything. Cells
    that the occupancy grid does not call free count ``walls`` times. Peaks are climbed to from the
    candidates by the mean shift, so they do not depend on where cells begin. Without odometry the
    weight of a frame falls by 0.7 with each later one.

    Args:
        places: The map.
        window: Frames.
        candidates: Votes of a frame.
        sigma: Metres.
        resolution: Side of a cell, metres; at most sigma.
        grid: Occupancy grid; ``None`` masks nothing.
        walls: Factor 0 to 1 on cells that are occupied, unknown or outside the grid.
        radius: Metres between distinct peaks, and within which an answer is right.
        warm_up: Frames before there is an answer.
        support: Share of the frames that must agree, and one frame more.
        ratio: The second peak over the first must not be above.
        level: Mean normalised similarity that the peak must reach.
        pose_noise: Standard deviation of the map's positions, metres.

    Attributes:
        heat: After the latest frame; ``None`` where no frame had candidates with poses.

    Raises:
        SettingError: A setting has an impossible value.

    Example:
        >>> table = PlaceTable.from_arrays([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0]])
        >>> fusion = Heatmap(table, warm_up=1)
        >>> belief = fusion.update(Evidence([0, 1], [0.9, 0.9], level=(0.0, 0.1)))
        >>> [round(x, 3) for x in belief.position], belief.area_90 > 5
        ([0.0, 0.0], True)
    """

    def __init__(
        self,
        places: PlaceTable,
        *,
        window: int = 5,
        candidates: int = 5,
        sigma: float = 1.0,
        resolution: float = 0.5,
        grid: OccupancyGrid | None = None,
        walls: float = 0.0,
        radius: float = 2.0,
        warm_up: int = 3,
        support: float = 0.5,
        ratio: float = 0.7,
        level: float = 2.5,
        pose_noise: float = 0.1,
    ) -> None:
        check_whole(window=window, candidates=candidates, warm_up=warm_up)
        check_positive(
            sigma=sigma, resolution=resolution, radius=radius, level=level, pose_noise=pose_noise
        )
        check_share(walls=walls, support=support, ratio=ratio)
        if not sigma / 50 <= resolution <= sigma:
            raise SettingError(f"resolution is {resolution} m; give sigma / 50 to sigma ({sigma})")
        self.sigma, self.radius, self.walls, self.grid = sigma, radius, walls, grid
        self.resolution = resolution
        self._open = None if grid is None else grid.occupancy() == FREE
        self._rank = np.argsort(places.chain())
        self._window = VoteWindow(places, window, candidates)
        self._rule = Rule(min(warm_up, window), support, ratio, level)
        spacing = places.spacing if math.isfinite(places.spacing) else 0.0
        self._floor = math.hypot(spacing / math.sqrt(12), pose_noise)
        self.heat: Heat | None = None

    def reset(self) -> None:
        """Forget all frames."""
        self._window.reset()
        self.heat = None

    def update(self, evidence: Evidence, odometry: Odometry | None = None) -> Belief:
        """Take in the next frame; see :meth:`placememory.fusion.Fusion.update`."""
        self._window.push(evidence, odometry)
        votes, frame = self._window.flat()
        use = np.isfinite(votes.positions[:, 0]) & (votes.weights > 0)
        votes = votes.take(use)
        frame = frame[use]
        self.heat = None
        if not len(frame):
            return believe(self._rule, self._window, [], [], [])
        votes = replace(votes, weights=votes.weights * _fading(votes.trust, frame))
        cells = sum_of_frames(
            votes.positions[:, :2], votes.weights, frame, self.sigma, self.resolution
        )
        heat = cells.heat * self._factor(cells.centres)
        area, entropy = spread(heat, self.resolution)
        found = self._peaks(votes, frame)
        peak = found[0].at if found else None
        cells = Cells(cells.centres, heat)
        points = votes.positions[:, :2]
        self.heat = Heat(cells, self.resolution, points, votes.weights, frame, peak)
        return believe(
            self._rule,
            self._window,
            [peak.hypothesis for peak in found],
            [peak.score for peak in found],
            [peak.support for peak in found],
            found[0].covariance if found else None,
            area_90=area,
            entropy=entropy,
        )

    def _total(self) -> float:
        """The highest peak there could be."""
        return max(_TINY, sum(float(v.weights.max(initial=0.0)) for v in self._window.frames))

    def _factor(self, points: Floats) -> Floats:
        """(M,) 1 where free, ``walls`` elsewhere."""
        if self.grid is None or self._open is None:
            return np.ones(len(points))
        inside = self.grid.contains(points)
        column, row = self.grid.to_cell(points[inside]).T
        free = np.zeros(len(points), dtype=np.bool_)
        free[inside] = self._open[row, column]
        return np.where(free, 1.0, self.walls)

    def _peaks(self, votes: Votes, frame: Rows) -> list[_Peak]:
        """Highest peaks more than two radii from each other: non-maximum suppression.

        The climbs start at votes, not at cells, so that the grid decides nothing.
        """
        points = votes.positions[:, :2]
        left = heights(points, votes.weights, frame, self.sigma) * self._factor(points)
        least = max(_TINY, 1e-3 * float(left.max()))
        order = np.lexsort((self._rank[votes.rows], -left.round(9)))
        found: list[_Peak] = []
        for start in order:
            if left[start] < least:
                continue
            here = points[start]
            left[((points - here) ** 2).sum(axis=1) <= self.radius**2] = 0.0
            peak = self._peak(votes, frame, here)
            if all(math.dist(peak.at, other.at) > 2 * self.radius for other in found):
                left[((points - peak.at) ** 2).sum(axis=1) <= 4 * self.radius**2] = 0.0
                found.append(peak)
            if len(found) == _MOST:
                break
        return sorted(found, key=lambda peak: -round(peak.score, 9))

    def _peak(self, votes: Votes, frame: Rows, start: Floats) -> _Peak:
        """The peak above a point; it does not climb into a wall."""
        points = votes.positions[:, :2]
        at, height, given = climb(start, points, votes.weights, frame, self.sigma)
        factor = self._factor(at[None])[0]
        if factor < self._factor(start[None])[0]:
            at, factor = start, self._factor(start[None])[0]
            _, height, given = climb(start, points, votes.weights, frame, self.sigma, most=0)
        fresh = given * votes.trust
        mean, yaw, covariance = pose_of(votes.positions, votes.yaw, fresh, floor_xy=self._floor)
        if (votes.trust == 1.0).all():
            mean[:2] = at  # without odometry the older votes lag behind, the mean less so
        row = int(votes.rows[np.lexsort((self._rank[votes.rows], -given.round(9)))[0]])
        near = (given > 0) & (((points - at) ** 2).sum(axis=1) <= self.radius**2)
        place = self._window.places.ids[row]
        known = yaw if math.isfinite(yaw) else None
        score = float(factor) * height
        weight = min(1.0, score / self._total())
        hypothesis = Hypothesis(row, place, weight, tuple(mean.tolist()), known)
        return _Peak(
            (float(at[0]), float(at[1])), hypothesis, score, len(np.unique(frame[near])), covariance
        )


create = Heatmap
