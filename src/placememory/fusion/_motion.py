"""Motion compensation: hypotheses of older frames become where the robot would be now."""

from __future__ import annotations

import math
import statistics
from collections import deque

import numpy as np
from numpy.typing import ArrayLike

from placememory._types import Floats, Rows
from placememory.errors import InputError
from placememory.frames.stamps import StampOrder
from placememory.fusion._evidence import Odometry
from placememory.fusion._places import NearIndex, PlaceTable, Runs

_STEPS = 15  # whose median is the usual step: a burst or a gap does not change it


def wrap_angle(angle: ArrayLike) -> Floats:
    """Angles in [-pi, pi), radians.

    Example:
        >>> wrap_angle([0.0, 3.5 * np.pi]).round(3).tolist()
        [0.0, -1.571]
    """
    result: Floats = (np.asarray(angle, dtype=np.float64) + np.pi) % (2 * np.pi) - np.pi
    return result


def move_poses(positions: Floats, yaw: Floats, motion: Odometry) -> tuple[Floats, Floats]:
    """Poses after the robot at each of them made one and the same motion.

    Args:
        positions: (..., 2) or (..., 3) metres, map frame; z stays.
        yaw: (...) radians; where NaN the direction is unknown, and the position stays.
        motion: In the robot's frame.

    Returns:
        New positions and yaws, of the same shapes.

    Example:
        >>> there, heading = move_poses(np.array([[1.0, 0.0]]), np.array([np.pi / 2]),
        ...                        Odometry(2.0, 0.0, 0.0))
        >>> there.round(6).tolist()
        [[1.0, 2.0]]
    """
    known = ~np.isnan(yaw)
    cosine, sine = np.cos(np.where(known, yaw, 0.0)), np.sin(np.where(known, yaw, 0.0))
    result = positions.copy()
    result[..., 0] += np.where(known, cosine * motion.dx - sine * motion.dy, 0.0)
    result[..., 1] += np.where(known, sine * motion.dx + cosine * motion.dy, 0.0)
    return result, np.where(known, wrap_angle(yaw + motion.dyaw), np.nan)


def mean_yaw(yaw: Floats, weights: Floats) -> tuple[float, float]:
    """Circular mean and variance (radians squared) of the known yaws; NaN if none is known.

    Yaws more than 90 degrees from the heaviest are views the other way and are left out.

    Example:
        >>> tuple(round(v, 3) for v in mean_yaw(np.array([3.1, -3.1]), np.ones(2)))
        (-3.142, 0.002)
    """
    known = ~np.isnan(yaw) & (weights > 0)
    if not known.any():
        return float("nan"), float("nan")
    yaw, weights = yaw[known], weights[known]
    agree = np.cos(yaw - yaw[np.argmax(weights)]) >= 0
    yaw, weights = yaw[agree], weights[agree]
    mean = np.arctan2(weights @ np.sin(yaw), weights @ np.cos(yaw))
    spread = float(weights @ wrap_angle(yaw - mean) ** 2 / weights.sum())
    return float(wrap_angle(mean)), spread


def pose_of(
    positions: Floats,
    yaw: Floats,
    weights: Floats,
    *,
    floor_xy: float = 0.0,
    least_xy: float = 0.0,
    floor_yaw: float = 0.13,
) -> tuple[Floats, float, Floats]:
    """Weighted mean pose of one mode and its covariance.

    Args:
        positions: (P, 2) or (P, 3) metres, finite.
        yaw: (P,) radians or NaN.
        weights: (P,) of at least 0, one of them above.
        floor_xy: Standard deviation of the position that is added, metres.
        least_xy: Least standard deviation of the position, metres: a robot passes beside a place,
            and between two.
        floor_yaw: Standard deviation of yaw that is added, radians.

    Returns:
        Mean position (2 or 3,), mean yaw, covariance (3, 3) of x, y, yaw.
    """
    share = weights / weights.sum()
    mean = share @ positions
    heading, spread = mean_yaw(yaw, weights)
    offset = positions[:, :2] - mean[:2]
    covariance = np.full((3, 3), np.nan)
    scatter = (offset * share[:, None]).T @ offset + floor_xy**2 * np.eye(2)
    values, axes = np.linalg.eigh(scatter)
    covariance[:2, :2] = (axes * np.maximum(values, least_xy**2)) @ axes.T
    if np.isfinite(heading):
        turn = wrap_angle(yaw - heading)
        turn = np.where(np.abs(turn) <= np.pi / 2, turn, 0.0)  # unknown, or a view the other way
        covariance[2, :2] = covariance[:2, 2] = (share * turn) @ offset
        covariance[2, 2] = max(spread, float(share @ turn**2)) + floor_yaw**2
    return mean, heading, covariance


class Clock:
    """Stamps of the frames: refuses late ones, counts the usual steps between the others.

    Where the clock restarted (:class:`placememory.frames.stamps.StampOrder`) nobody knows how long
    it was: that is as many steps as there can be.

    Example:
        >>> clock = Clock()
        >>> [clock.tick(stamp) for stamp in (0.0, 1.0, 2.0, 2.0, 6.0)]
        [1, 1, 1, 0, 4]
    """

    def __init__(self, most: int = 10) -> None:
        self._most = most
        self._order = StampOrder()
        self._paused = False
        self._steps: deque[float] = deque(maxlen=_STEPS)

    def check(self, stamp: float | None) -> None:
        """Refuse a stamp that is late; nothing changes.

        Raises:
            InputError: It is a little earlier than the last frame's.
        """
        if self._order.judge(stamp) == "late" and not self._paused:
            raise InputError(
                f"the stamp {stamp} s is before that of the last frame, {self._order.last} s; give "
                "frames in their order, or reset the fusion"
            )

    def restarts(self, stamp: float | None) -> bool:
        """Whether a stamp is of a clock that restarted; nothing changes."""
        return self._order.judge(stamp) == "restarted" and not self._paused

    @property
    def state(self) -> Floats:
        """The last stamp, NaN where there is none, and the steps that are remembered."""
        last = self._order.last
        return np.array([math.nan if last is None else last, *self._steps])

    def restore(self, state: Floats, *, paused: bool = False) -> None:
        """Go on from a :attr:`state`; after a pause the next stamp may be any."""
        last, *steps = state.tolist()
        self._order = StampOrder(last=None if math.isnan(last) else last)
        self._paused = paused
        self._steps = deque(steps, maxlen=_STEPS)

    def tick(self, stamp: float | None) -> int:
        """Usual steps since the last frame: 0 where the stamp repeats, 1 where it is unknown."""
        self.check(stamp)
        before, paused = self._order.last, self._paused
        self._paused = False
        if paused and self._order.judge(stamp) != "next":
            self._order.reset(stamp)
            return self._most
        if self._order.take(stamp) == "restarted":
            return self._most
        if stamp is None or before is None:
            return 1
        step = stamp - before
        if step <= 0:
            return 0
        count = round(step / statistics.median(self._steps)) if self._steps else 1
        self._steps.append(step)
        return min(max(count, 1), self._most)


_CUT = 3.0  # sigmas
_OFF = math.exp(-0.5 * _CUT**2)
_ACTIVE = 512
_NEGLIGIBLE = 1e-6  # of the heaviest place
_PAIRS = 60_000


class OdometryMotion:
    """Moves the mass of each place to the places near the end of the motion.

    The share of place j is exp(-d^2 / 2 s^2) exp(-a^2 / 2 r^2), with the distance d and the angle
    a between j and the moved pose, s^2 = std_xy^2 + (slack spacing)^2 and r^2 = std_yaw^2 +
    turn^2. Where no place lies within three s, the mass leaves the map. Where the yaw is unknown,
    or ``turn`` is ``None``, all directions are possible: d is the difference of the distances.
    Only the 512 heaviest places move; the rest of the mass is spread out, and stays.

    Args:
        table: Sorted by session and order.
        index: Of its positions.
        slack: Of the robot's distance to a place, in spacings of the map.
        turn: Degrees that the robot's heading may differ from the place's, standard deviation.
    """

    def __init__(
        self, table: PlaceTable, index: NearIndex, *, slack: float, turn: float | None
    ) -> None:
        self._table, self._index = table, index
        self._spacing = table.spacing if math.isfinite(table.spacing) else 1.0
        self._slack = slack * self._spacing
        self._turn = None if turn is None else math.radians(turn)
        source, _, _ = index.pairs(table.positions, _CUT * self._slack, 500 * len(table))
        self._crowd = np.bincount(source, minlength=len(table)) + 1

    def is_enough(self, motion: Odometry) -> bool:
        """Whether a motion is long enough to change places: half a spacing, or 15 degrees."""
        return motion.distance >= 0.5 * self._spacing or abs(motion.dyaw) >= math.radians(15.0)

    def motion_share(self, motion: Odometry) -> float:
        """0 to 1: the motion as a share of half a spacing, or of 15 degrees."""
        turn = abs(motion.dyaw) / math.radians(15.0)
        return min(1.0, max(motion.distance / (0.5 * self._spacing), turn))

    def predict(self, mass: Floats, motion: Odometry) -> Floats:
        """Mass (N,) of places with a position after the motion; the rest to 1 has left the map."""
        active = self._active(mass)
        result = mass.copy()
        result[active] = 0.0
        known = np.isfinite(self._table.yaw[active]) & (self._turn is not None)
        for sources, ring in ((active[known], False), (active[~known], True)):
            if len(sources):
                at, row, share = self._passages(sources, motion, ring)
                result += np.bincount(row, mass[sources][at] * share, len(mass))
        return result

    def _active(self, mass: Floats) -> Rows:
        """Heaviest rows, as many as may be looked at."""
        active = np.flatnonzero(mass > _NEGLIGIBLE * float(mass.max()))
        if len(active) > _ACTIVE:
            least = np.partition(mass[active], -_ACTIVE)[-_ACTIVE]
            active = active[mass[active] >= least]
        active = active[np.lexsort((active, -mass[active]))][:_ACTIVE]
        return active[np.cumsum(self._crowd[active]) <= max(_PAIRS, int(self._crowd.max()))]

    def _passages(self, sources: Rows, motion: Odometry, ring: bool) -> tuple[Rows, Rows, Floats]:
        """Number of the source, target row and share of each passage."""
        sigma = math.hypot(min(motion.std_xy, 10 * self._spacing), self._slack)
        place, yaw = self._table.positions[sources], self._table.yaw[sources]
        if ring:
            far = min(motion.distance, 20 * self._spacing)
            at, row, metres = self._index.pairs(place, far + _CUT * sigma, 4 * _PAIRS)
            metres = metres - far
        else:
            place, _ = move_poses(place, yaw, motion)
            at, row, metres = self._index.pairs(place, _CUT * sigma)
        weight = np.exp(-0.5 * (metres / sigma) ** 2)
        if self._turn is not None:
            off = wrap_angle(self._table.yaw[row] - yaw[at] - motion.dyaw)
            spread = math.hypot(min(motion.std_yaw, math.pi), self._turn)
            weight *= np.where(np.isfinite(off), np.exp(-0.5 * (off / spread) ** 2), 1.0)
        total = np.bincount(at, weight, len(sources)) + _OFF
        return at, row, weight / total[at]


_LARGE = 20_000  # places from which on light ones are not moved one by one
_FLAT = 0.05  # of an even share: what is lighter stays
_FACING = math.radians(60.0)
_NEIGHBOURS = 8


class OrderMotion:
    """Steps along the runs, with a learned distribution, and over to places nearby.

    The places are those of the table in the order of its chain. A step goes -max_step to max_step
    rows on within a run and beyond its ends (see :class:`Runs`); mass that goes farther leaves
    the map. On maps of over 20,000 places the mass is moved where it is more than a twentieth of
    an even share, as long as that is less than a sixteenth of the places: what is lighter is flat,
    and stays. The distribution of steps starts as a broad one that prefers going forward and is
    learned while the robot moves (expected counts, forgotten over ``memory`` frames), so twice
    the speed, a stop and the way back are all found.

    Args:
        table: Sorted by session and order.
        index: Of its positions.
        max_step: Rows.
        cross: Share of the mass that goes over to near places, which may be of another run.
        memory: Frames.
    """

    def __init__(
        self,
        table: PlaceTable,
        index: NearIndex,
        *,
        max_step: int,
        cross: float,
        memory: float,
    ) -> None:
        self._steps = np.arange(-max_step, max_step + 1, dtype=np.int64)
        self._decay = 1.0 - 1.0 / memory
        self._prior = _prior(self._steps)
        self.runs = Runs(table)
        self._leaving = [self.runs.find_leaving(step) for step in self._steps.tolist()]
        self._cross = cross
        self._links = _links(table, index, max_step)
        self.reset()

    def reset(self) -> None:
        """Forget the speed."""
        self._counts = 4.0 * self._prior

    @property
    def steps(self) -> Floats:
        """(2 max_step + 1,) probability of each step, from -max_step on."""
        result: Floats = self._counts / self._counts.sum()
        return result

    @property
    def counts(self) -> Floats:
        """(2 max_step + 1,) what the steps are learned from."""
        return self._counts

    def restore(self, counts: Floats) -> None:
        """Go on from :attr:`counts`; those of another ``max_step`` are forgotten."""
        self._counts = counts.copy() if counts.shape == self._counts.shape else 4.0 * self._prior

    def predict(self, mass: Floats, beyond: Floats) -> tuple[Floats, Floats]:
        """Mass of places (N,) and beyond ends (B,) one usual step later; the rest left the map."""
        heavy = self._heavy(mass)
        if heavy is not None:
            result, past = self.runs.step(mass, beyond, heavy, self._steps, self.steps)
        else:
            whole = self.runs.join(mass, beyond)
            moved = np.zeros(len(whole))
            for step, share, leaving in zip(self._steps, self.steps, self._leaving, strict=True):
                _shift(moved, share * whole, int(step), leaving)
            result, past = self.runs.split(moved)
        self._cross_over(result)
        return result, past

    def _heavy(self, mass: Floats) -> Rows | None:
        """Rows that are moved on a large map; ``None`` where all are."""
        if len(mass) <= _LARGE:
            return None
        heavy = np.flatnonzero(mass > _FLAT / len(mass))
        return heavy if len(heavy) <= len(mass) // 16 else None

    def _cross_over(self, mass: Floats) -> None:
        """Let mass go over to near places that no step reaches."""
        source, target, share = self._links
        if not len(source):
            return
        heavy = self._heavy(mass)
        if heavy is not None:
            first, last = np.searchsorted(source, heavy), np.searchsorted(source, heavy + 1)
            counts = last - first
            links = np.repeat(first - np.cumsum(counts) + counts, counts)
            links += np.arange(len(links))
            source, target, share = source[links], target[links], share[links]
        over = self._cross * mass[source] * share
        np.subtract.at(mass, source, over)
        np.add.at(mass, target, over)
        np.maximum(mass, 0.0, out=mass)

    def learn(self, before: Floats, likelihood: Floats) -> None:
        """Count the steps that the newest frame makes likely.

        Args:
            before: (N,) mass before the step; what it lacks to 1 is off the map.
            likelihood: (N,) of the newest frame.
        """
        found = np.zeros(len(self._steps))
        heavy = self._heavy(before)
        for i, step in enumerate(self._steps.tolist()):
            if abs(step) >= len(before):
                continue
            if heavy is not None:
                at = heavy[(heavy + step >= 0) & (heavy + step < len(before))]
                found[i] = before[at] @ likelihood[at + step]
                continue
            here = before[max(0, -step) : len(before) - max(0, step)]
            there = likelihood[max(0, step) : len(before) - max(0, -step)]
            found[i] = here @ there
        found *= self.steps
        total = float(found.sum())
        if total > 0:
            on = float(before.sum())
            rows = on**2 / max(float((before**2).sum()), 1e-300)  # that the mass is spread over
            sure = on * min(1.0, self._steps[-1] / rows)
            counts = self._decay * (self._counts - 4.0 * self._prior) + found / total * sure
            self._counts = counts + 4.0 * self._prior


def _shift(result: Floats, mass: Floats, step: int, leaving: Rows) -> None:
    """Add mass, moved ``step`` rows on, to the result; what leaves its run is gone."""
    mass[leaving] = 0.0
    if abs(step) < len(mass):
        result[max(0, step) : len(mass) - max(0, -step)] += mass[
            max(0, -step) : len(mass) - max(0, step)
        ]


def _prior(steps: Rows) -> Floats:
    """Stop 0.2, forward 0.6, back 0.2; half as likely for each row more."""
    forward, back = np.maximum(steps, 0), np.maximum(-steps, 0)
    weight = np.where(steps > 0, 0.5**forward, np.where(steps < 0, 0.5**back, 0.0))
    ahead = 0.6 * np.where(steps > 0, weight, 0.0) / weight[steps > 0].sum()
    behind = 0.2 * np.where(steps < 0, weight, 0.0) / weight[steps < 0].sum()
    result: Floats = ahead + behind + np.where(steps == 0, 0.2, 0.0)
    return result


def _links(table: PlaceTable, index: NearIndex, max_step: int) -> tuple[Rows, Rows, Floats]:
    """Source, target and share of the passages to near places that no step along a run reaches."""
    none = np.zeros(0, np.int64)
    if not math.isfinite(table.spacing):
        return none, none, np.zeros(0)
    source, target, metres = index.pairs(table.positions, 2.0 * table.spacing, 50 * len(table))
    turn = np.abs(wrap_angle(table.yaw[source] - table.yaw[target]))
    reached = (table.session[source] == table.session[target]) & (
        np.abs(source - target) <= max_step
    )
    use = ~reached & ~(turn > _FACING)
    source, target, metres = source[use], target[use], metres[use]
    order = np.lexsort((target, metres, source))
    source, target = source[order], target[order]
    start = np.searchsorted(source, source)
    use = np.arange(len(source)) - start < _NEIGHBOURS
    source, target = source[use], target[use]
    counts = np.bincount(source, minlength=len(table))
    return source, target, 1.0 / counts[source]
