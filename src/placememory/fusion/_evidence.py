"""The evidence of one frame: its candidates, and the motion since the last frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory._types import Floats, Rows
from placememory.errors import DescriptorError, InputError

_FARTHEST = 1e7
_FLAT = 1e-9
_NATS_A_SPREAD = 1.5
_MOST_NATS = 3.0
_SIGMA = 1.4826  # of a normal distribution, over its median absolute deviation
_PAIRS = (("rows", "similarities"), ("match_rows", "match_scores"), ("checked_rows", "inliers"))


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The candidates of one frame. All arrays are checked and copied; none is changed later.

    Attributes:
        rows: (K,) int64, rows of the place table; may be empty. Of a row given twice the higher
            similarity counts.
        similarities: (K,) float64, cosine as a rule; more is more similar.
        column: (N,) the similarity of the frame to every place, where known.
        level: Centre and spread of the frame's similarities to the whole map, where known without
            the column (a search engine that gives K candidates only), or where the column was
            changed since.
        match_rows: (M,) int64, rows that a sequence matcher found for this frame, best first.
        match_scores: (M,) float64, their scores of the kind ``relative``: 0 same, 1 look-alike.
        descriptor: (D,) of the frame, where known: says how new its view is.
        checked_rows: (C,) int64, rows whose images were compared with the frame by local features.
        inliers: (C,) float64, matches that one motion of the camera explains, of each.
        stamp: Seconds; ``None`` if unknown.

    Raises:
        DescriptorError: A similarity or score is NaN or infinite.
        InputError: Shapes differ, rows are no whole numbers from 0, or the stamp is not finite.

    Example:
        >>> frame = Evidence.from_column([0.1, 0.0, 0.9, 0.05, 0.08], k=2)
        >>> frame.rows.tolist(), frame.weights().round(1).tolist()
        ([2, 0], [6.7, 0.2])
    """

    rows: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    similarities: Floats = field(default_factory=lambda: np.zeros(0))
    column: Floats | None = None
    level: tuple[float, float] | None = None
    match_rows: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    match_scores: Floats = field(default_factory=lambda: np.zeros(0))
    descriptor: Floats | None = None
    checked_rows: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    inliers: Floats = field(default_factory=lambda: np.zeros(0))
    stamp: float | None = None

    def __post_init__(self) -> None:
        for rows, values in _PAIRS:
            at, given = _rows(rows, getattr(self, rows)), _finite(values, getattr(self, values))
            if len(at) != len(given):
                raise InputError(f"{len(at)} {rows} but {len(given)} {values}")
            object.__setattr__(self, rows, at)
            object.__setattr__(self, values, given)
        for name in ("column", "descriptor"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _finite(name, getattr(self, name)))
        if self.level is not None:
            centre, spread = _finite("level", self.level).tolist()
            if spread < 0:
                raise InputError(f"the spread of similarities is {spread}; it cannot be negative")
            object.__setattr__(self, "level", (centre, spread))
        if self.stamp is not None and not math.isfinite(self.stamp):
            raise InputError(f"a stamp must be finite seconds, not {self.stamp}")

    @classmethod
    def from_column(cls, column: ArrayLike, *, k: int = 10, stamp: float | None = None) -> Evidence:
        """Evidence of a whole column (N,); its K most similar places become the candidates.

        All places as similar as the K-th are candidates, so no order of places decides.
        """
        values = _finite("column", column)
        if k < 1:
            raise InputError(f"k is {k}; give at least 1")
        least = np.partition(values, -k)[-k] if k < len(values) else -np.inf
        rows = np.flatnonzero(values >= least)
        rows = rows[np.argsort(-values[rows], kind="stable")]
        return cls(rows, values[rows], column=values, stamp=stamp)

    def centre_and_spread(self) -> tuple[float, float]:
        """Centre and spread of the bulk of this frame's similarities.

        The given level, if there is one. Else, of the column, the median and the geometric mean of
        two deviations, the standard one and the scaled median absolute one: the first alone
        shrinks true matches where the map is small, the second alone inflates chance ones where
        places are alike. Without column, the lowest candidate and the mean excess over it, which
        cannot distinguish a frame off the map from one on it.
        """
        if self.level is not None:
            return self.level
        if self.column is not None and len(self.column):
            _, centre, spread = normalise_rows(self.column[None])
            return float(centre[0]), float(spread[0])
        if not len(self.similarities):
            return 0.0, 0.0
        least = float(self.similarities.min())
        return least, float(self.similarities.mean()) - least

    def normalise(self, values: Floats) -> Floats:
        """Similarities as spreads above the centre; 0 where the frame is equally like all."""
        centre, spread = self.centre_and_spread()
        return (values - centre) / spread if spread > _FLAT else np.zeros(len(values))

    @property
    def has_support(self) -> bool:
        """Whether geometry or a sequence matcher says something."""
        return bool(len(self.match_rows) or len(self.checked_rows))

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a column nor a candidate."""
        return self.column is None and not len(self.rows)

    def full_column(self, count: int) -> Floats:
        """(N,) similarity to each of ``count`` places.

        Without the column, a place that is no candidate is at most as similar as the least of them:
        it gets that one's value.
        """
        if self.column is not None:
            return self.column
        least = float(self.similarities.min()) if len(self.similarities) else 0.0
        found = np.full(count, least)
        np.maximum.at(found, self.rows, self.similarities)
        return found

    def weights(self) -> Floats:
        """(K,) max(0, (s - centre) / spread + support) of the candidates; see :meth:`support`."""
        extra = self.support(self.rows) / _NATS_A_SPREAD
        return np.maximum(0.0, self.normalise(self.similarities) + extra)

    def support(self, rows: Rows) -> Floats:
        """(K,) nats that geometry and a sequence matcher give to places.

        A pair of images with n inliers gives log2((n + 10) / (m + 10)), -2 to 3, m the median of
        the pairs that were checked: how many inliers a pair has differs between cameras and places,
        so only their ratio within a frame says where. The row beside gets two thirds of that, the
        one after it one third. A matched sequence gives up to 0.5 at its newest row and those
        beside it, by its score: the older frames of its window have been counted.
        """
        found = np.zeros(len(rows))
        if not self.has_support:
            return found
        touched = [self.match_rows + step for step in (-1, 0, 1)]
        touched += [self.checked_rows + step for step in (-2, -1, 0, 1, 2)]
        at = np.flatnonzero(np.isin(rows, np.concatenate(touched)))
        found[at] = self._support_near(rows[at])
        return found

    def _support_near(self, rows: Rows) -> Floats:
        found = np.zeros(len(rows))
        if len(self.match_rows):
            sure = 0.5 * np.clip(1.0 - self.match_scores, 0.0, 1.0)
            near = np.abs(rows[:, None] - self.match_rows) <= 1
            found += np.where(near, sure, 0.0).max(axis=1, initial=0.0)
        if len(self.checked_rows):
            middle = float(np.median(self.inliers))
            nats = np.clip(np.log2((self.inliers + 10.0) / (middle + 10.0)), -2.0, _MOST_NATS)
            away = np.abs(rows[:, None] - self.checked_rows)
            nearest = away.argmin(axis=1)
            apart = away[np.arange(len(rows)), nearest]
            found += np.maximum(0.0, 1.0 - apart / 3.0) * nats[nearest]
        return found

    def check_rows(self, count: int) -> None:
        """Refuse evidence that is not of a map with ``count`` places.

        Raises:
            InputError: A row is out of range, or the column has another length.
        """
        for name, _ in _PAIRS:
            rows = getattr(self, name)
            if len(rows) and int(rows.max()) >= count:
                raise InputError(f"{name} name row {int(rows.max())} of a map of {count} places")
        if self.column is not None and len(self.column) != count:
            raise InputError(f"the column has {len(self.column)} values, the map {count} places")


_LEVEL_PLACES = 1 << 17
_CACHED = 1 << 15


def normalise_rows(columns: Floats, sample: Rows | None = None) -> tuple[Floats, Floats, Floats]:
    """Normalised similarities (T, N), with the centre (T,) and the spread (T,) of each frame.

    Centre and spread are those of :meth:`Evidence.centre_and_spread`, of the rows of a sample where
    one is given. A frame that is equally like everything has z = 0.
    """
    centre, spread = measure_rows(columns if sample is None else columns[:, sample])
    z = columns.copy()
    for part in in_parts(z.shape[1]):
        z[:, part] -= centre[:, None]
        z[:, part] /= np.where(spread > _FLAT, spread, np.inf)[:, None]
    return z, centre, spread


def measure_rows(columns: Floats) -> tuple[Floats, Floats]:
    """Centre (T,) and spread (T,) of the bulk of similarities (T, N); see :func:`normalise_rows`.

    Of more than 131,072 places they are those of an even sample.
    """
    every = -(-columns.shape[1] // _LEVEL_PLACES)
    ordered = np.sort(columns[:, ::every], axis=1)  # so that no sum depends on the order of places
    centre = _middle(ordered)
    robust = _SIGMA * _middle_distance(ordered, centre)
    plain = ordered.std(axis=1)
    return centre, np.where(robust > _FLAT, np.sqrt(robust * plain), plain)


def in_parts(count: int) -> Iterator[slice]:
    """Slices over ``count`` numbers, of which a few arrays fit into a processor's cache.

    Example:
        >>> [part.stop for part in in_parts(40_000)]
        [32768, 40000]
    """
    for start in range(0, count, _CACHED):
        yield slice(start, min(start + _CACHED, count))


def _middle(ordered: Floats) -> Floats:
    """(T,) medians of sorted rows (T, N)."""
    half = ordered.shape[1] // 2
    middle: Floats = 0.5 * (ordered[:, (ordered.shape[1] - 1) // 2] + ordered[:, half])
    return middle


def _middle_distance(ordered: Floats, centre: Floats) -> Floats:
    """(T,) medians of the distances of sorted rows (T, N) to their centres.

    Below and above the centre the distances are sorted already, and merging sorted runs is quick.
    """
    distances = np.sort(np.abs(ordered - centre[:, None]), axis=1, kind="stable")
    return _middle(distances)


def _rows(name: str, values: ArrayLike) -> Rows:
    rows = np.array(values)
    if rows.ndim != 1 or (rows.size and (rows.dtype.kind not in "iu" or int(rows.min()) < 0)):
        raise InputError(f"{name} are {rows.dtype} of shape {rows.shape}; give row numbers (K,)")
    return rows.astype(np.int64)


def _finite(name: str, values: ArrayLike) -> Floats:
    given = np.array(values)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iuf"):
        raise InputError(f"{name} are {given.dtype} of shape {given.shape}; give numbers (K,)")
    result: NDArray[np.float64] = given.astype(np.float64)
    if not np.isfinite(result).all():
        bad = int(np.flatnonzero(~np.isfinite(result))[0])
        raise DescriptorError(
            f"{name}: value {bad} is {result[bad]}; check the descriptors for NaN and zero vectors"
        )
    return result


@dataclass(frozen=True, slots=True)
class Odometry:
    """Motion since the frame before, in the robot's frame at that time; x forward, y left.

    Axes are those of REP-103.

    Attributes:
        dx: Metres forward.
        dy: Metres to the left.
        dyaw: Radians counter-clockwise.
        std_xy: Standard deviation of dx and of dy, metres.
        std_yaw: Standard deviation of dyaw, radians.

    Raises:
        InputError: A value is not finite, above ten million, or a deviation negative.

    Example:
        >>> turn = Odometry(1.0, 0.0, math.pi / 2)
        >>> square = turn.compose(turn).compose(turn).compose(turn)
        >>> abs(round(square.dx, 6)), abs(round(square.dy, 6)), abs(round(square.dyaw, 6))
        (0.0, 0.0, 0.0)
    """

    dx: float
    dy: float
    dyaw: float
    std_xy: float = 0.05
    std_yaw: float = 0.02

    def __post_init__(self) -> None:
        values = (self.dx, self.dy, self.dyaw, self.std_xy, self.std_yaw)
        if not all(math.isfinite(value) for value in values):
            raise InputError(f"odometry must be finite, not {values}")
        if max(map(abs, values)) > _FARTHEST:
            raise InputError(f"odometry of more than {_FARTHEST:.0e} metres or radians: {values}")
        if self.std_xy < 0 or self.std_yaw < 0:
            raise InputError("the deviations of odometry cannot be negative")

    @classmethod
    def between(
        cls,
        first: tuple[float, float, float],
        second: tuple[float, float, float],
        *,
        std_xy: float = 0.05,
        std_yaw: float = 0.02,
    ) -> Odometry:
        """Motion between two poses (x, y, yaw) of one odometry frame, metres and radians."""
        dx, dy = second[0] - first[0], second[1] - first[1]
        cosine, sine = math.cos(first[2]), math.sin(first[2])
        return cls(
            cosine * dx + sine * dy,
            cosine * dy - sine * dx,
            math.remainder(second[2] - first[2], math.tau),
            std_xy,
            std_yaw,
        )

    def compose(self, later: Odometry) -> Odometry:
        """Both motions, one after the other, as one; variances add."""
        cosine, sine = math.cos(self.dyaw), math.sin(self.dyaw)
        return Odometry(
            self.dx + cosine * later.dx - sine * later.dy,
            self.dy + sine * later.dx + cosine * later.dy,
            math.remainder(self.dyaw + later.dyaw, math.tau),
            math.hypot(self.std_xy, later.std_xy),
            math.hypot(self.std_yaw, later.std_yaw),
        )

    @property
    def distance(self) -> float:
        """Metres."""
        return math.hypot(self.dx, self.dy)
