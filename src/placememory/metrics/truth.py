"""Ground truth: which places answer a query correctly, and whether the map has one at all.

Everything that scores, draws or calibrates asks this module; nothing else compares an answer with
the truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from placememory._checks import check_choice, check_positive
from placememory._types import Bools, Floats, Rows
from placememory.errors import InputError
from placememory.frames import Pose
from placememory.metrics.inputs import check_positions

Unit = Literal["m", "deg", "frames"]
UNITS = ("m", "deg", "frames")
DEFAULT_RADIUS = 2.0
"""Metres within which an answer is correct, where nobody says otherwise; what `located` means."""

EDGE = (0.75, 1.5)
"""Share of the radius up to which a frame is on the map, and from which it is off it, where part of
the map is hidden; what lies between counts in neither."""

_SLACK = 1e-9


class Outcome(Enum):
    """Outcome of an answer, or of its absence; worst first.

    A frame is *answered* where the system gives a place: it is located, its match is accepted, or
    it is asked for the most similar place alone.
    """

    WRONG = "wrong"
    OFF_MAP = "off the map"
    NOT_JUDGED = "not judged"
    MISSED = "missed"
    REJECTED = "rejected"
    CORRECT = "correct"

    @classmethod
    def of(cls, *, answered: bool, correct: bool | None, on_map: bool | None) -> Outcome:
        """The outcome of one frame.

        Args:
            answered: Whether a place or pose was given.
            correct: Whether it is the right one; ``None`` if the truth is not known.
            on_map: Whether the map has a correct place; ``None`` if the truth is not known.

        Example:
            >>> Outcome.of(answered=True, correct=False, on_map=False)
            <Outcome.OFF_MAP: 'off the map'>
        """
        if not answered:
            return cls.REJECTED if on_map is False else cls.MISSED
        if correct:
            return cls.CORRECT
        if correct is None or on_map is None:
            return cls.NOT_JUDGED
        return cls.WRONG if on_map else cls.OFF_MAP

    @property
    def kind(self) -> str:
        """One word for style sheets and filters."""
        return self.name.lower().replace("_", "-")

    @property
    def mark(self) -> str:
        """A sign that shows the outcome without its colour."""
        return _MARKS[self]

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Outcome).index(self)


_MARKS = {
    Outcome.WRONG: "\N{BALLOT X}",
    Outcome.OFF_MAP: "\N{BLACK UP-POINTING TRIANGLE}",
    Outcome.NOT_JUDGED: "?",
    Outcome.MISSED: "\N{EN DASH}",
    Outcome.REJECTED: "\N{WHITE UP-POINTING TRIANGLE}",
    Outcome.CORRECT: "\N{CHECK MARK}",
}


class GroundTruth:
    """The correct places of each of M queries among the N places of a map.

    Made by :meth:`from_poses`, :meth:`from_positions` or :meth:`from_positives`.

    Attributes:
        positives: M arrays of increasing rows of the map; empty where there is none.
        known: (M,) bool, whether the truth of a query is known.
        rule: What makes a place correct, in words.
        unit: Of distances: ``m``, ``deg`` or ``frames``.
        radius: Distance within which an answer is correct; NaN for lists of positives.

    Example:
        >>> truth = GroundTruth.from_positions([[0, 1], [90, 0]], [[0, 0], [5, 0]], radius=2.0)
        >>> truth.correct([[0, 1], [0, 1]]).tolist(), truth.on_map().tolist()
        ([[True, False], [False, False]], [True, False])
    """

    def __init__(
        self,
        positives: Sequence[Rows],
        places: int,
        *,
        rule: str,
        known: Bools | None = None,
        unit: Unit = "m",
        radius: float = math.nan,
        heading: float | None = None,
    ) -> None:
        self.positives = tuple(positives)
        self.known: Bools = np.ones(len(positives), np.bool_) if known is None else known
        self.rule, self.unit, self.radius, self.heading = rule, unit, radius, heading
        self._places = places
        self._true: Floats | None = None
        self._at: Floats | None = None
        self._poses: Sequence[Pose | None] | None = None

    @classmethod
    def from_positives(cls, positives: Iterable[ArrayLike], places: int) -> GroundTruth:
        """Truth that is listed, as data sets and window strategies give it.

        Args:
            positives: M lists of rows of the map.
            places: N, places of the map.

        Raises:
            InputError: A row is not in the map.
        """
        found = [np.unique(np.asarray(rows, np.int64)) for rows in positives]
        for i, rows in enumerate(found):
            if len(rows) and not (rows[0] >= 0 and rows[-1] < places):
                raise InputError(
                    f"positives of query {i} run from {rows[0]} to {rows[-1]}; the map has "
                    f"{places} places"
                )
        return cls(found, places, rule="listed as correct")

    @classmethod
    def from_positions(
        cls,
        queries: ArrayLike,
        places: ArrayLike,
        radius: float,
        *,
        unit: Unit = "m",
        tolerances: ArrayLike | None = None,
    ) -> GroundTruth:
        """Truth by distance.

        Args:
            queries: (M, C) true positions; a NaN row is a query whose truth is not known.
            places: (N, C) positions of the map; a NaN row is correct for no query.
            radius: A place within it, inclusive, is correct.
            unit: ``m`` or ``frames`` (Euclidean distance), or ``deg`` (positions are angles).
            tolerances: (M,) radius of each query where a data set has one of its own.

        Raises:
            SettingError: The radius is not positive, or the unit is unknown.
            InputError: Shapes do not agree, or a position is infinite.
        """
        check_positive(radius=radius)
        check_choice("unit", unit, UNITS)
        true, at = check_positions("queries", queries), check_positions("places", places)
        if len(true) and len(at) and true.shape[1] != at.shape[1]:
            raise InputError(
                f"query positions have {true.shape[1]} coordinates, those of the map {at.shape[1]}"
            )
        radii = np.full(len(true), float(radius))
        if tolerances is not None:
            radii = np.asarray(tolerances, np.float64)
            if radii.shape != (len(true),):
                raise InputError(f"tolerances are ({len(true)},) here, not {radii.shape}")
        rule = f"within {radius:g} {unit}" + (
            "" if tolerances is None else " or the data set's own tolerance"
        )
        known: Bools = np.logical_not(np.isnan(true).any(axis=1))
        truth = cls(
            _within(true, at, radii, unit),
            len(at),
            rule=f"{rule} of the true position",
            known=known,
            unit=unit,
            radius=float(radius),
        )
        truth._true, truth._at = true, at
        return truth

    @classmethod
    def from_poses(
        cls,
        queries: Sequence[Pose | None],
        places: Sequence[Pose | None],
        radius: float,
        *,
        heading: float | None = None,
    ) -> GroundTruth:
        """Truth by distance in metres and, where asked, by the angle between two rotations.

        Args:
            queries: M true poses; ``None`` where not known.
            places: N poses of the map; ``None`` where not known.
            radius: Metres, inclusive.
            heading: Degrees, inclusive; a rotation that is not known on both sides does not count
                against a place.

        Raises:
            SettingError: The radius or the heading is not positive.
        """
        check_positive(radius=radius, **({} if heading is None else {"heading": heading}))
        truth = cls.from_positions(_positions(queries), _positions(places), radius)
        if heading is not None:
            truth.positives = tuple(
                np.array(
                    [
                        row
                        for row in rows.tolist()
                        if is_correct(queries[i], places[row], radius, heading)
                    ],
                    np.int64,
                )
                for i, rows in enumerate(truth.positives)
            )
            truth.rule = f"within {radius:g} m and {heading:g} degrees of the true pose"
            truth.heading = heading
        truth._poses = queries
        return truth

    def __len__(self) -> int:
        """How many queries there are."""
        return len(self.positives)

    def __repr__(self) -> str:
        return f"GroundTruth({len(self)} queries, {self._places} places, {self.rule})"

    @property
    def places(self) -> int:
        """N, places of the map."""
        return self._places

    @cached_property
    def _first(self) -> Rows:
        """(M,) first positive of each query; N where there is none."""
        return np.array([rows[0] if len(rows) else self._places for rows in self.positives])

    def on_map(self, limit: ArrayLike | None = None) -> Bools:
        """(M,) bool: whether the map has a correct place for each query.

        Args:
            limit: (M,) how many of the first places may answer each query; all by default.
        """
        last = self._places if limit is None else np.minimum(np.asarray(limit), self._places)
        found: Bools = np.asarray(self._first < last)
        return found

    def correct(self, rows: ArrayLike, queries: ArrayLike | None = None) -> Bools:
        """Whether places are correct; never where the row is -1, which means no answer.

        Args:
            rows: (Q, K) or (Q,) rows of the map.
            queries: (Q,) or (Q, K), which query each is an answer to; 0 to Q - 1 by default.

        Raises:
            InputError: A row is not in the map, or there is not one row for each query.
        """
        answers, query_rows = self._pairs(rows, queries)
        counts = np.array([len(rows) for rows in self.positives], np.int64)
        keys = np.repeat(np.arange(len(self)), counts) * (self._places + 1)
        known = keys + np.concatenate([np.empty(0, np.int64), *self.positives])
        found: Bools = np.isin(query_rows * (self._places + 1) + answers, known)
        return found & (answers >= 0)

    def distance(self, rows: ArrayLike, queries: ArrayLike | None = None) -> Floats:
        """Distance of places from the truth, in :attr:`unit`; NaN where either is not known.

        Args:
            rows: As for :meth:`correct`.
            queries: As for :meth:`correct`.
        """
        answers, query_rows = self._pairs(rows, queries)
        apart = np.full(answers.shape, math.nan)
        if self._true is None or self._at is None:
            return apart
        given = answers >= 0
        difference = self._at[answers[given]] - self._true[query_rows[given]]
        apart[given] = _length(difference, self.unit)
        return apart

    def nearest(self) -> Floats:
        """(M,) distance of the nearest place; infinite where there is none, NaN where unknown."""
        if self._true is None or self._at is None:
            return np.full(len(self), math.nan)
        known, placed = ~np.isnan(self._true).any(axis=1), ~np.isnan(self._at).any(axis=1)
        found = np.where(known, math.inf, math.nan)
        if placed.any() and known.any():
            if self.unit == "deg":
                turned = _length(self._true[known][:, None] - self._at[placed][None], "deg")
                found[known] = turned.min(axis=1)
            else:
                found[known] = cKDTree(self._at[placed]).query(self._true[known])[0]
        return found

    def error(self, query: int, pose: Pose | None) -> float:
        """Metres from a pose to the true one of a query; NaN where either is not known."""
        true = None if self._poses is None else self._poses[query]
        if true is not None and pose is not None:
            return true.distance_to(pose)
        if pose is None or self._true is None or self.unit != "m":
            return math.nan
        flat = self._true[query]
        return float(np.linalg.norm(np.array(pose.position[: len(flat)]) - flat))

    def is_pose_correct(self, query: int, pose: Pose | None) -> bool | None:
        """Whether a pose is correct for a query; ``None`` where it is not known."""
        if math.isnan(self.radius):
            return None
        true = None if self._poses is None else self._poses[query]
        if true is not None:
            return is_correct(true, pose, self.radius, self.heading)
        error = self.error(query, pose)
        return None if math.isnan(error) else error <= self.radius

    def without(self, hidden: ArrayLike) -> tuple[GroundTruth, Bools]:
        """The truth over a map without some places, and which queries count.

        Queries at the edge of what is hidden count in neither half: those whose nearest place lies
        between :data:`EDGE` times the radius or, for lists, whose positives are hidden in part.

        Args:
            hidden: Rows that are taken out.

        Returns:
            The truth over the places that remain, in their order, and (M,) bool.
        """
        gone = np.zeros(self._places, np.bool_)
        gone[np.asarray(hidden, np.int64)] = True
        number = np.cumsum(~gone) - 1
        remaining = [number[rows[~gone[rows]]] for rows in self.positives]
        truth = GroundTruth(
            remaining,
            int((~gone).sum()),
            rule=self.rule,
            known=self.known,
            unit=self.unit,
            radius=self.radius,
            heading=self.heading,
        )
        truth._poses = self._poses
        if self._true is not None and self._at is not None:
            truth._true, truth._at = self._true, self._at[~gone]
            near = truth.nearest() / self.radius
            return truth, (near <= EDGE[0]) | (near > EDGE[1])
        before = np.array([len(rows) for rows in self.positives])
        after = np.array([len(rows) for rows in remaining])
        return truth, (after == before) | (after == 0)

    def _pairs(self, rows: ArrayLike, queries: ArrayLike | None) -> tuple[Rows, Rows]:
        """Rows and the queries they answer, in one shape."""
        answers = np.asarray(rows)
        if answers.size and answers.dtype.kind not in "iu":
            raise InputError(f"rows of the map are whole numbers, not {answers.dtype}")
        answers = answers.astype(np.int64)
        if answers.size and not (answers.min() >= -1 and answers.max() < self._places):
            raise InputError(
                f"rows run from {answers.min()} to {answers.max()}; the map has {self._places} "
                "places (-1 stands for no answer)"
            )
        query_rows = np.arange(len(self)) if queries is None else np.asarray(queries, np.int64)
        if query_rows.ndim < answers.ndim:
            query_rows = query_rows.reshape(
                query_rows.shape + (1,) * (answers.ndim - query_rows.ndim)
            )
        if query_rows.shape[0] != answers.shape[0]:
            raise InputError(f"{len(answers)} answers for {len(query_rows)} queries")
        return answers, np.broadcast_to(query_rows, answers.shape)


def _positions(poses: Sequence[Pose | None]) -> Floats:
    unknown = (math.nan,) * 3
    found = [unknown if pose is None else pose.position for pose in poses]
    return np.array(found, np.float64).reshape(-1, 3)


def _within(true: Floats, at: Floats, radii: Floats, unit: Unit) -> list[Rows]:
    """Rows within the radius of each query, increasing."""
    empty = np.empty(0, np.int64)
    known, placed = ~np.isnan(true).any(axis=1), np.flatnonzero(~np.isnan(at).any(axis=1))
    found = [empty] * len(true)
    if not len(placed):
        return found
    query_rows = np.flatnonzero(known)
    if unit == "deg":
        near = [np.arange(len(placed))] * len(query_rows)
    else:  # the tree may round at the border, so it looks a little further
        reach = radii[query_rows] * (1.0 + _SLACK) + _SLACK
        near = cKDTree(at[placed]).query_ball_point(true[query_rows], reach)
    for query, rows in zip(query_rows.tolist(), near, strict=True):
        candidates = np.sort(placed[np.asarray(rows, np.int64)])
        apart = _length(at[candidates] - true[query], unit)
        found[query] = candidates[apart <= radii[query]]
    return found


def _length(difference: Floats, unit: Unit) -> Floats:
    """Length along the last axis; of angles, the turn from 0 to 180 degrees."""
    if unit == "deg":
        turned: Floats = np.abs((difference[..., 0] + 180.0) % 360.0 - 180.0)
        return turned
    length: Floats = np.linalg.norm(difference, axis=-1)
    return length


def is_correct(
    true: Pose | None, found: Pose | None, radius: float, heading: float | None = None
) -> bool | None:
    """Whether a pose is within a radius (metres) and a rotation (degrees) of the true one.

    A rotation that is not known on both sides does not count against it.

    Returns:
        ``None`` where a pose is missing.

    Example:
        >>> is_correct(Pose(0, 0), Pose(3, 4), radius=5.0), is_correct(None, Pose(3, 4), 5.0)
        (True, None)
    """
    if true is None or found is None:
        return None
    if true.distance_to(found) > radius:
        return False
    angle = math.nan if heading is None else true.angle_to(found)
    return math.isnan(angle) or heading is None or angle <= heading
