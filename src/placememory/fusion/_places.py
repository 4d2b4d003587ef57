"""The places of a map as arrays, made once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from placememory._types import Floats, Rows
from placememory.errors import InputError
from placememory.frames import Pose

PlaceId = tuple[str, int]


class PlaceLike(Protocol):
    """Attributes that a place needs; :class:`placememory.memory.Place` has them."""

    @property
    def session(self) -> str:
        """Name of the mapping run."""

    @property
    def index(self) -> int:
        """Position within the run."""

    @property
    def pose(self) -> Pose | None:
        """Body in world."""


@dataclass(frozen=True, slots=True, eq=False)
class PlaceTable:
    """The places of one map; a place is known by its row.

    Attributes:
        positions: (N, 2) or (N, 3) float64, metres, map frame; a row is NaN where unknown.
        yaw: (N,) float64, radians counter-clockwise from the map's x axis; NaN where unknown.
        session: (N,) int64, number of the mapping run of each place.
        order: (N,) int64, position within its run.
        ids: N names for reports, (session, index) as a rule.
        spacing: Metres from a place to the next of its run, median; NaN without positions.

    Raises:
        InputError: Lengths differ, numbers are infinite, there is no place, or two places have
            the same session and order.

    Example:
        >>> table = PlaceTable.from_arrays([[0, 0], [1, 0], [2, 0]], yaw=[0, 0, 0])
        >>> len(table), table.spacing
        (3, 1.0)
    """

    positions: Floats
    yaw: Floats
    session: Rows
    order: Rows
    ids: tuple[PlaceId, ...]
    spacing: float

    @classmethod
    def from_arrays(
        cls,
        positions: ArrayLike,
        *,
        yaw: ArrayLike | None = None,
        session: ArrayLike | None = None,
        order: ArrayLike | None = None,
        ids: Sequence[PlaceId] | None = None,
    ) -> PlaceTable:
        """A table of arrays.

        Args:
            positions: (N, 2) or (N, 3) metres, NaN where unknown.
            yaw: (N,) radians, NaN where unknown; all unknown by default.
            session: (N,) whole numbers; one run by default.
            order: (N,) whole numbers; the row by default.
            ids: N names; ``(str(session), order)`` by default.
        """
        place = np.array(positions, dtype=np.float64)
        if place.ndim != 2 or place.shape[1] not in (2, 3) or len(place) == 0:
            raise InputError(f"positions have shape {place.shape}; give (N, 2) or (N, 3), N > 0")
        count = len(place)
        place[np.isnan(place).any(axis=1)] = np.nan
        heading = _column(yaw, np.full(count, np.nan), np.float64)
        runs = _column(session, np.zeros(count), np.int64)
        at = _column(order, np.arange(count), np.int64)
        names = [(str(r), i) for r, i in zip(runs.tolist(), at.tolist(), strict=False)]
        names = names if ids is None else list(ids)
        if not len(heading) == len(runs) == len(at) == len(names) == count:
            raise InputError(
                f"{count} positions, {len(heading)} yaws, {len(runs)} sessions, {len(at)} orders "
                f"and {len(names)} ids: give as many of each"
            )
        if np.isinf(place).any() or np.isinf(heading).any():
            raise InputError("positions and yaws must be finite, or NaN where unknown")
        if len(set(zip(runs.tolist(), at.tolist(), strict=True))) < count:
            raise InputError("two places have the same session and order")
        return cls(place, heading, runs, at, tuple(names), _spacing(place, runs, at))

    @classmethod
    def from_places(cls, places: Iterable[PlaceLike], runs: Rows | None = None) -> PlaceTable:
        """A table of a memory's places, in their order.

        Args:
            places: N places.
            runs: (N,) number of the unbroken run that each is of; by default a session is one.

        Example:
            >>> from placememory.memory import Place
            >>> table = PlaceTable.from_places([Place("a", 7, "x.png", pose=Pose(1.0, 2.0))])
            >>> table.ids, table.positions.tolist()
            ((('a', 7),), [[1.0, 2.0, 0.0]])
        """
        given = list(places)
        number = {name: i for i, name in enumerate(sorted({p.session for p in given}))}
        unknown = (np.nan, np.nan, np.nan)
        return cls.from_arrays(
            np.array([unknown if p.pose is None else p.pose.position for p in given]).reshape(
                -1, 3
            ),
            yaw=[np.nan if p.pose is None else p.pose.yaw for p in given],
            session=[number[p.session] for p in given] if runs is None else runs,
            order=[p.index for p in given],
            ids=[(p.session, p.index) for p in given],
        )

    def __len__(self) -> int:
        """How many places there are."""
        return len(self.positions)

    @property
    def has_position(self) -> NDArray[np.bool_]:
        """(N,) bool: whether the position is known."""
        return ~np.isnan(self.positions[:, 0])

    def chain(self) -> Rows:
        """(N,) int64: rows by session and order, the order that decides ties."""
        return np.lexsort((self.order, self.session))

    def take(self, rows: Rows) -> PlaceTable:
        """The same places with some rows, in that order."""
        return replace(
            self,
            positions=self.positions[rows],
            yaw=self.yaw[rows],
            session=self.session[rows],
            order=self.order[rows],
            ids=tuple(self.ids[row] for row in rows.tolist()),
        )


def _column(values: ArrayLike | None, default: NDArray[np.generic], kind: type) -> NDArray:  # type: ignore[type-arg]
    """(N,) of the wanted type."""
    given = np.asarray(default if values is None else values)
    if given.ndim != 1 or given.dtype.kind not in "iuf":
        raise InputError(f"a column of places is {given.dtype} of shape {given.shape}")
    if kind is np.int64 and given.dtype.kind == "f" and not (given == np.rint(given)).all():
        raise InputError("sessions and orders of places are whole numbers")
    return given.astype(kind)


def _spacing(positions: Floats, session: Rows, order: Rows) -> float:
    """Median step between neighbours of a run that are not on one spot; NaN if there is none."""
    rows = np.lexsort((order, session))
    step = np.linalg.norm(np.diff(positions[rows], axis=0), axis=1)
    step = step[(np.diff(session[rows]) == 0) & (step > 1e-6)]
    return float(np.median(step)) if len(step) else float("nan")


_DEPTH = 5
_ALIKE = 0.85
_GAP = 5.0


class Runs:
    """Runs of places with five more steps beyond each end.

    A run ends where its session does, and where it has a gap: five times the usual step, in metres
    where positions are known, else in order. A robot that goes on past an end still sees the last
    place, so that place alone does not say where the robot is; the steps beyond do.
    Runs of five places or fewer have none.

    Args:
        table: Sorted by session and order.

    Attributes:
        end: (B,) the row that each step lies beyond.
        depth: (B,) how far beyond, in steps from 1.
    """

    def __init__(self, table: PlaceTable) -> None:
        last = np.flatnonzero(_run_ends(table))
        first = np.concatenate(([0], last[:-1] + 1))
        length = last - first + 1
        extra = np.where(length > _DEPTH, _DEPTH, 0)
        start = np.cumsum(length + 2 * extra) - (length + 2 * extra)
        stop = start + length + 2 * extra - 1
        self._place = np.arange(len(table)) + np.repeat(start + extra - first, length)
        ends, steps = np.flatnonzero(extra), np.arange(1, _DEPTH + 1)
        self.end = np.repeat(np.concatenate((first[ends], last[ends])), _DEPTH)
        self.depth = np.tile(steps, 2 * len(ends))
        before, behind = self._place[first[ends], None], self._place[last[ends], None]
        self._beyond = np.concatenate(((before - steps).ravel(), (behind + steps).ravel()))
        self._row = np.empty(int((length + 2 * extra).sum()), np.int64)  # -1 - b beyond ends
        self._row[self._place] = np.arange(len(table))
        self._row[self._beyond] = -1 - np.arange(len(self._beyond))
        self._start, self._stop = (np.repeat(edge, length + 2 * extra) for edge in (start, stop))

    def find_leaving(self, step: int) -> Rows:
        """Rows that a step leads out of their run."""
        goal = np.arange(len(self._start)) + step
        return np.flatnonzero((goal < self._start) | (goal > self._stop))

    def step(
        self, mass: Floats, beyond: Floats, heavy: Rows, steps: Rows, shares: Floats
    ) -> tuple[Floats, Floats]:
        """Move the mass of some rows and of all ends by several steps; the rest stays.

        Args:
            mass: (N,) of places.
            beyond: (B,) beyond ends.
            heavy: Rows of the places to move.
            steps: (S,) rows on, along the runs.
            shares: (S,) of the mass for each.
        """
        moving = np.concatenate([mass[heavy], beyond])
        at = np.concatenate([self._place[heavy], self._beyond])
        first, last = self._start[at], self._stop[at]
        result, past = mass.copy(), np.zeros(len(beyond))
        result[heavy] = 0.0
        for step, share in zip(steps.tolist(), shares.tolist(), strict=True):
            goal = at + step
            stays = (goal >= first) & (goal <= last)
            row, given = self._row[goal[stays]], share * moving[stays]
            on = row >= 0
            np.add.at(result, row[on], given[on])
            np.add.at(past, -1 - row[~on], given[~on])
        return result, past

    def join(self, mass: Floats, beyond: Floats) -> Floats:
        """Mass of places (N,) and beyond ends (B,) in the order of the runs."""
        result = np.zeros(len(self._start))
        result[self._place], result[self._beyond] = mass, beyond
        return result

    def split(self, combined: Floats) -> tuple[Floats, Floats]:
        """The inverse of :meth:`join`."""
        return combined[self._place], combined[self._beyond]

    def nats(self, ends: Floats, off_map: float) -> Floats:
        """(B,) of a frame beyond ends: from those of the end to those off the map, by the depth.

        Args:
            ends: (B,) nats of the rows :attr:`end`.
            off_map: Nats of a frame off the map.
        """
        above: Floats = np.maximum(0.0, ends - off_map)
        result: Floats = off_map + _ALIKE**self.depth * above
        return result


def _run_ends(table: PlaceTable) -> NDArray[np.bool_]:
    """(N,) bool: whether no step leads on from a place."""
    other: NDArray[np.bool_] = np.diff(table.session, append=-1) != 0
    apart = np.diff(table.order, append=0)
    metres = np.linalg.norm(np.diff(table.positions, axis=0), axis=1)
    if other.all():
        return other
    skipped = apart > _GAP * float(np.median(apart[~other]))
    far = np.append(metres, np.nan)
    if not math.isfinite(table.spacing):
        return other | skipped
    return other | np.where(np.isfinite(far), far > _GAP * table.spacing, skipped)


class NearIndex:
    """Places near points, found by a KD-tree; rows without position are never near.

    Args:
        positions: (N, 2) or (N, 3) metres, NaN where unknown.

    Example:
        >>> index = NearIndex(np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]]))
        >>> index.within(np.array([0.4, 0.0]), 1.0).tolist()
        [0, 1]
    """

    def __init__(self, positions: Floats) -> None:
        self._known = np.flatnonzero(~np.isnan(positions[:, 0]))
        self._tree = cKDTree(positions[self._known]) if len(self._known) else None

    def within(self, point: Floats, radius: float) -> Rows:
        """Rows within ``radius`` metres of one point (2,) or (3,), in their order."""
        if self._tree is None:
            return self._known
        found: Rows = self._known[self._tree.query_ball_point(point, radius, return_sorted=True)]
        return found

    def pairs(
        self, points: Floats, radius: float, most: int | None = None
    ) -> tuple[Rows, Rows, Floats]:
        """All places within ``radius`` metres of each point.

        Args:
            points: (M, 2) or (M, 3) metres, like the places; NaN has no neighbours.
            radius: Metres.
            most: Pairs to look at; points that would exceed it are left out, from the end.

        Returns:
            Three arrays (P,): number of the point, row of the place, metres between them, in the
            order of points and rows.
        """
        valid = np.flatnonzero(~np.isnan(points[:, 0]))
        if self._tree is None or not len(valid):
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        if most is not None:
            counts = self._tree.query_ball_point(points[valid], radius, return_length=True)
            valid = valid[np.cumsum(counts) <= most]
        found = cKDTree(points[valid]).sparse_distance_matrix(
            self._tree, radius, output_type="ndarray"
        )
        found = found[np.lexsort((found["j"], found["i"]))]
        return valid[found["i"]], self._known[found["j"]], found["v"]


def spread_evenly(table: PlaceTable, index: NearIndex) -> Floats:
    """(N,) the same for every spot of the map, however often it was passed; sums to 1."""
    count = np.ones(len(table))
    if math.isfinite(table.spacing):
        source, _, _ = index.pairs(table.positions, 0.5 * table.spacing, 200 * len(table))
        count = np.maximum(1.0, np.bincount(source, minlength=len(table)))
    result: Floats = (1.0 / count) / (1.0 / count).sum()
    return result
