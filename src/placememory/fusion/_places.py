"""The places of a map as arrays, made once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory._types import Floats, Rows
from placememory.errors import InputError
from placememory.frames import Pose

PlaceId = tuple[str, int]


class PlaceLike(Protocol):
    """What is asked of a place; :class:`placememory.memory.Place` is one."""

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
    def from_places(cls, places: Iterable[PlaceLike]) -> PlaceTable:
        """A table of a memory's places, in their order.

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
            session=[number[p.session] for p in given],
            order=[p.index for p in given],
            ids=[(p.session, p.index) for p in given],
        )

    def __len__(self) -> int:
        """How many places there are."""
        return len(self.positions)

    @property
    def posed(self) -> NDArray[np.bool_]:
        """(N,) bool: whether the position is known."""
        return ~np.isnan(self.positions[:, 0])

    def chain(self) -> Rows:
        """(N,) int64: rows by session and order, the order that decides ties."""
        return np.lexsort((self.order, self.session))

    def taken(self, rows: Rows) -> PlaceTable:
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
