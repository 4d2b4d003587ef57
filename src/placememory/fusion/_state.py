"""The belief of a filter as arrays: stored, carried over to another revision of a map, seeded.

Places are known by their ids here, not by their rows, so that a belief outlives the rows: what was
believed of a place that is still there stays with it, wherever it stands now.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from placememory._types import Floats, Rows
from placememory.errors import InputError
from placememory.fusion._belief import Fusion
from placememory.fusion._motion import wrap_angle
from placememory.fusion._places import PlaceTable

State = Mapping[str, NDArray[Any]]
"""Arrays of plain numbers and text, by name."""

_FAR = 3.0  # sigmas of a seed, beyond which a place is not meant
_NEAR = 2.0  # spacings within which another place takes the mass of one that is gone


@runtime_checkable
class Resumable(Fusion, Protocol):
    """A fusion whose belief can be stored, carried over to another revision, and seeded."""

    def state(self) -> State:
        """The belief, with the ids of its places."""

    def restore(self, state: State, *, paused: bool = False) -> None:
        """Go on from a state, of this map or of another revision of it; maybe after a pause.

        Raises:
            InputError: It is no state of such a fusion.
        """

    def seed(self, position: ArrayLike, yaw: float | None, covariance: ArrayLike) -> None:
        """Begin anew with a robot that is about here, within a Gaussian; no evidence."""


def describe_places(table: PlaceTable) -> dict[str, NDArray[Any]]:
    """Ids and positions of a table's places, as a state holds them.

    Example:
        >>> table = PlaceTable.from_arrays([[0.0, 1.0]], ids=[("run", 7)])
        >>> {name: array.tolist() for name, array in describe_places(table).items()}
        {'session': ['run'], 'index': [7], 'positions': [[0.0, 1.0]]}
    """
    return {
        "session": np.array([session for session, _ in table.ids], dtype=np.str_),
        "index": np.array([index for _, index in table.ids], dtype=np.int64),
        "positions": table.positions,
    }


def find_places(state: State, table: PlaceTable) -> Rows:
    """Rows of a table that take the mass of a state's places: the same, else the nearest.

    Args:
        state: With the arrays of :func:`describe_places`.
        table: Where the belief goes on.

    Returns:
        (N,) int64 rows; -1 where the place is gone and none is within two spacings.

    Example:
        >>> old = PlaceTable.from_arrays([[0, 0], [1, 0], [9, 0]], order=[0, 1, 2])
        >>> new = PlaceTable.from_arrays([[0, 0], [1.2, 0]], order=[0, 7])
        >>> find_places(describe_places(old), new).tolist()
        [0, 1, -1]
    """
    row_of = {place: row for row, place in enumerate(table.ids)}
    ids = zip(state["session"].tolist(), state["index"].tolist(), strict=True)
    rows = np.array([row_of.get(place, -1) for place in ids], dtype=np.int64)
    gone = np.flatnonzero(rows < 0)
    there = np.flatnonzero(table.has_position)
    positions = np.asarray(state["positions"], dtype=np.float64)
    gone = gone[np.isfinite(positions[gone, 0])]
    if len(gone) and len(there) and math.isfinite(table.spacing):
        axes = min(positions.shape[1], table.positions.shape[1])
        tree = cKDTree(table.positions[there, :axes])
        metres, nearest = tree.query(positions[gone, :axes])
        near = metres <= _NEAR * table.spacing
        rows[gone[near]] = there[nearest[near]]
    return rows


def read_masses(
    state: State, table: PlaceTable, end: Rows, depth: Rows, outside: int = 0
) -> tuple[Floats, Floats, float, float]:
    """The masses of a state on the places of a table; their sum is 1.

    A place that was among those in no table (:class:`Rest`) takes its even share of what was
    believed of them, and what is believed of one that now is goes to theirs.

    Args:
        state: With :func:`describe_places`, ``mass`` of its places, and ``beyond`` of steps beyond
            the ends of its runs (``beyond_end`` and ``beyond_depth``).
        table: Where the belief goes on.
        end: (B,) row of the table that each step lies beyond.
        depth: (B,) how far beyond.
        outside: How many places of the map are in no table now.

    Returns:
        Mass (N,) of the places, (B,) beyond ends, that of places in no table, and the share that
        has no place any more.

    Raises:
        InputError: An array is missing, or they are no probabilities.
    """
    positions = read_array(state, "positions", (None, None))
    mass = read_array(state, "mass", (len(positions),))
    beyond = read_array(state, "beyond", (None,))
    ends = read_array(state, "beyond_end", beyond.shape).astype(np.int64)
    depths = read_array(state, "beyond_depth", beyond.shape).astype(np.int64)
    try:
        rows = find_places(state, table)
        last = rows[ends]
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"the state of the filter is damaged: its places ({error})") from error
    steps = zip(end.tolist(), depth.tolist(), strict=True)
    step_of = {step: i for i, step in enumerate(steps)}
    before = zip(last.tolist(), depths.tolist(), strict=True)
    same = np.array([step_of.get(step, -1) for step in before], dtype=np.int64)
    elsewhere, others = 0.0, 0.0
    if "elsewhere" in state:
        elsewhere, others = read_array(state, "elsewhere", (2,)).tolist()
    on, lost = _carry(mass, rows, len(table))
    past, gone = _carry(beyond, same, len(end))
    lost += gone
    total = float(on.sum() + past.sum()) + lost + elsewhere
    least = min(mass.min(initial=0.0), beyond.min(initial=0.0), elsewhere, others)
    if not (math.isfinite(total) and total > 0 and least >= 0):
        raise InputError("the state of the filter is damaged: its masses are no probabilities")
    if others:
        fresh = np.setdiff1d(np.arange(len(table)), rows)
        on[fresh] += elsewhere / max(others, len(fresh))
        elsewhere -= elsewhere * len(fresh) / max(others, len(fresh))
    if outside:
        elsewhere, lost = elsewhere + lost, 0.0
    else:
        elsewhere, lost = 0.0, elsewhere + lost
    return on / total, past / total, elsewhere / total, lost / total


def _carry(mass: Floats, rows: Rows, count: int) -> tuple[Floats, float]:
    """Mass (N,) on ``count`` new rows, and how much had none to go to."""
    found = rows >= 0
    moved: Floats = np.bincount(rows[found], mass[found], count).astype(np.float64)
    return moved, float(mass[~found].sum())


def weigh_seed(
    table: PlaceTable, position: ArrayLike, yaw: float | None, covariance: ArrayLike
) -> Floats:
    """How well each place fits "about here".

    Args:
        table: Of the places.
        position: (2,) or (3,) metres, map frame; z is not used.
        yaw: Radians; ``None`` if unknown.
        covariance: (3, 3) of x, y (metres) and yaw (radians). Half the spacing of the places is
            added: nobody stands exactly on one.

    Returns:
        (N,) 0 to 1, the density over that of the middle; 0 beyond three sigmas, and where a place
        has no position. A place of unknown yaw fits any.

    Raises:
        InputError: A value is not finite, or the covariance is none.

    Example:
        >>> table = PlaceTable.from_arrays([[0, 0], [1, 0], [2, 0], [9, 0]], yaw=[0] * 4)
        >>> weigh_seed(table, (0.0, 0.0), 0.0, np.eye(3)).round(2).tolist()
        [1.0, 0.67, 0.2, 0.0]
    """
    middle = np.asarray(position, dtype=np.float64)[:2]
    spread = np.asarray(covariance, dtype=np.float64)
    if middle.shape != (2,) or not np.isfinite(middle).all() or spread.shape != (3, 3):
        raise InputError(
            f"a seed is a position and a covariance (3, 3) of x, y, yaw, not {position!r} and an "
            f"array of shape {spread.shape}"
        )
    values = np.linalg.eigvalsh(spread) if np.isfinite(spread).all() else np.array([-1.0])
    if values.min() < -1e-9 or not np.allclose(spread, spread.T):
        raise InputError("the covariance of a seed is symmetric, finite and not negative")
    slack = 0.5 * table.spacing if math.isfinite(table.spacing) else 0.5
    wide = spread[:2, :2] + slack**2 * np.eye(2)
    offset = table.positions[:, :2] - middle
    squares = np.einsum("ni,ij,nj->n", offset, np.linalg.inv(wide), offset)
    if yaw is not None and math.isfinite(yaw):
        turn = wrap_angle(table.yaw - yaw)
        squares = squares + np.nan_to_num(turn**2 / (spread[2, 2] + math.radians(10.0) ** 2))
    fits = squares <= _FAR**2  # false where a position is not known
    return np.where(fits, np.exp(-0.5 * np.where(fits, squares, 0.0)), 0.0)


def read_array(state: State, name: str, shape: tuple[int | None, ...]) -> Floats:
    """An array of a state, checked.

    Raises:
        InputError: It is missing, of another shape, or not finite.
    """
    try:
        array = np.asarray(state[name], dtype=np.float64)
    except (KeyError, ValueError) as error:
        raise InputError(f"the state of the filter lacks {name!r}, or it is no number") from error
    fits = array.ndim == len(shape) and all(
        want in (None, size) for want, size in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise InputError(f"the filter's {name!r} has the shape {array.shape}, not {shape}")
    return array
