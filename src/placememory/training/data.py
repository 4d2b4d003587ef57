"""Training data: frames of all traverses, windows of them, and which show one place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from placememory._types import Rows
from placememory.datasets import Traverse, open_dataset
from placememory.errors import SettingError
from placememory.frames import Frame
from placememory.metrics.sequences import SequenceWindows, Strategy, build_windows, sequence_truth
from placememory.training.config import Data, HeldOut, Source

Positions = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """Frames of one or more data sets, with windows of queries and windows of the database.

    Attributes:
        frames: N frames.
        positions: (N, 4) float64: x, y, z in the unit of the data, and a coordinate that keeps
            data sets apart.
        directions: (N,) float64 radians, counter-clockwise from x; NaN where not known.
        sessions: (N,) int64, which traverse and folder a frame is of.
        queries: (Q, L) int64 rows of frames, oldest first.
        database: (W, L) likewise.
    """

    frames: tuple[Frame, ...]
    positions: Positions
    directions: NDArray[np.float64]
    sessions: Rows
    queries: Rows
    database: Rows

    @property
    def length(self) -> int:
        """Frames of a window."""
        return int(self.queries.shape[1])

    def files(self) -> set[Path]:
        """Images of all windows, where they are files."""
        rows = np.unique(np.concatenate([self.queries.ravel(), self.database.ravel()]))
        paths = (self.frames[row].path for row in rows)
        return {path.resolve() for path in paths if path is not None}

    def find_near(self, windows: Rows, radius: float, strategy: Strategy) -> list[Rows]:
        """Rows of ``database`` within a radius of each window (n, L), by a strategy."""
        if not len(windows):
            return []
        unique_rows, inverse = np.unique(windows, return_inverse=True)
        rows = inverse.reshape(windows.shape)
        truth = sequence_truth(
            SequenceWindows(rows, rows),
            SequenceWindows(self.database, self.database),
            self.positions[unique_rows],
            self.positions,
            radius=radius,
            strategy=strategy,
        )
        return list(truth.positives)

    def positives(self, windows: Rows, data: Data) -> list[Rows]:
        """Rows of ``database`` that show the place of each window (n, L), in about its direction.

        They are of another session: a place seen twice in one pass teaches nothing.
        """
        found = self.find_near(windows, data.positive_radius, data.strategy)
        ours, theirs = (self.directions_of(part) for part in (windows, self.database))
        limit = math.radians(data.heading) + 1e-9
        positives = []
        for window, direction, rows in zip(windows, ours, found, strict=True):
            turn = np.abs(np.angle(np.exp(1j * (theirs[rows] - direction))))
            other = self.sessions[self.database[rows, 0]] != self.sessions[window[0]]
            positives.append(rows[other & ~(turn > limit)])  # NaN: not known, not refused
        return positives

    def directions_of(self, windows: Rows) -> NDArray[np.float64]:
        """(n,) direction of windows: that of the camera, else of travel; NaN where not known."""
        seen = np.angle(np.exp(1j * self.directions[windows]).mean(axis=1))
        step = self.positions[windows[:, -1], :2] - self.positions[windows[:, 0], :2]
        travelled = np.arctan2(step[:, 1], step[:, 0])
        travelled[np.linalg.norm(step, axis=1) < 1e-6] = np.nan
        return np.where(np.isnan(seen), travelled, seen)


_APART = 1e9
"""Distance between data sets, which have no map in common."""
_PRIMES = (73856093, 19349663)


def read_training_set(data: Data) -> TrainingSet:
    """All training data sets as one, without held-out places.

    Raises:
        DatasetError: A data set cannot be read.
        SettingError: There is no window, or nothing has a positive.
    """
    parts = [part for source in data.train for part in _read(source)]
    if data.held_out is not None:
        parts = [leave_held_out(part, data.held_out, data.negative_radius) for part in parts]
    return join_parts(parts, data)


def read_validation_sets(data: Data) -> list[TrainingSet]:
    """Data sets to validate on (:func:`read_evaluation_sets`), or the held-out places."""
    if data.held_out is None:
        return read_evaluation_sets(data.validation, data)
    parts = [keep_held_out(part, data.held_out) for source in data.train for part in _read(source)]
    return _one_by_one(parts, data)


def read_evaluation_sets(sources: Sequence[Source], data: Data) -> list[TrainingSet]:
    """Data sets to validate or test on, one for each query traverse.

    Where a data set names no database, its first traverse is searched.

    Raises:
        DatasetError: A data set cannot be read.
        SettingError: There is no window.
    """
    return _one_by_one([part for source in sources for part in _read(source)], data)


def _one_by_one(parts: Sequence[Part], data: Data) -> list[TrainingSet]:
    found = []
    for part in parts:
        database, queries = part.database, part.query
        if part.same:
            database, queries = part.database[:1], part.query[1:]
        if not queries:
            raise SettingError("a data set to validate on needs two traverses")
        for query in queries:
            found.append(join_parts([Part(database, (query,), same=False)], data))
    return found


def check_disjoint(training: TrainingSet, others: Sequence[TrainingSet]) -> None:
    """Refuse to validate or test on images that are trained on.

    Raises:
        SettingError: An image is in a window of both.
    """
    known = training.files()
    for part in others:
        for path in part.files() & known:
            raise SettingError(
                f"{path} is trained on and validated or tested on; choose splits without "
                "common images"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Traverses of one data set that have a map in common.

    Attributes:
        database: Traverses that are searched.
        query: Traverses that ask.
        same: Whether the two are the same.
    """

    database: tuple[Traverse, ...]
    query: tuple[Traverse, ...]
    same: bool


def join_parts(parts: Sequence[Part], data: Data) -> TrainingSet:
    """One set of several data sets.

    Raises:
        SettingError: No traverse has a window of this length with known positions.
    """
    whole = _Joining(data)
    for world, part in enumerate(parts):
        for traverse in part.database:
            whole.add(traverse, world, is_query=part.same, is_database=True)
        for traverse in () if part.same else part.query:
            whole.add(traverse, world, is_query=True, is_database=False)
    return whole.done()


class _Joining:
    """Collects the frames and windows of traverses."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._frames: list[Frame] = []
        self._positions: list[Positions] = [np.empty((0, 4))]
        self._sessions: list[Rows] = [np.empty(0, np.int64)]
        self._queries: list[Rows] = [np.empty((0, data.length), np.int64)]
        self._database: list[Rows] = [np.empty((0, data.length), np.int64)]
        self._session_count = 0

    def add(self, traverse: Traverse, world: int, *, is_query: bool, is_database: bool) -> None:
        """Add a traverse of a world; its windows are queries, database, or both."""
        windows = len(self._frames) + _windows(traverse, self._data)
        names, numbered = np.unique(traverse.sessions, return_inverse=True)
        self._frames += traverse.frames
        self._positions.append(_place(traverse.positions, world))
        self._sessions.append(numbered.astype(np.int64) + self._session_count)
        self._session_count += len(names)
        if is_query:
            self._queries.append(windows)
        if is_database:
            self._database.append(windows)

    def done(self) -> TrainingSet:
        """All of them."""
        queries, database = np.concatenate(self._queries), np.concatenate(self._database)
        if not len(queries) or not len(database):
            raise SettingError(
                f"no traverse has {self._data.length} consecutive frames with known positions; "
                "check data.length, the frame numbers, and what data.held_out leaves"
            )
        return TrainingSet(
            tuple(self._frames),
            np.concatenate(self._positions),
            np.array([_yaw(frame) for frame in self._frames]),
            np.concatenate(self._sessions),
            queries,
            database,
        )


def _read(source: Source) -> list[Part]:
    dataset = open_dataset(source.layout, source.root, **source.options)

    def traverses(splits: Iterable[str]) -> tuple[Traverse, ...]:
        return tuple(_filter_names(dataset.traverse(split), source.only) for split in splits)

    if not source.database:
        every = traverses(dataset.splits())
        return [Part(every, every, same=True)]
    return [Part(traverses(source.database), traverses(source.query), same=False)]


def _filter_names(traverse: Traverse, words: tuple[str, ...] | None) -> Traverse:
    """Only frames whose name holds one of the words."""
    if words is None:
        return traverse
    held = [any(word in frame.name for word in words) for frame in traverse.frames]
    return _select_frames(traverse, np.array(held))


def _windows(traverse: Traverse, data: Data) -> Rows:
    found = build_windows(
        traverse.sessions,
        traverse.frame_numbers,
        data.length,
        cut_last_frame=data.cut_last_frame,
    ).frames
    known = np.asarray(~np.isnan(traverse.positions).any(axis=1))
    return found[np.asarray(known[found]).all(axis=1)]


def _place(positions: Positions, world: int) -> Positions:
    """(N, 2) or (N, 3) to (N, 4), far from those of other worlds."""
    placed = np.zeros((len(positions), 4))
    placed[:, : positions.shape[1]] = positions
    placed[:, 3] = world * _APART
    return placed


def _yaw(frame: Frame) -> float:
    return math.nan if frame.pose is None else frame.pose.yaw


def keep_held_out(part: Part, held: HeldOut) -> Part:
    """Only the held-out blocks."""
    return _restrict(part, lambda positions: is_held_out(positions, held))


def leave_held_out(part: Part, held: HeldOut, margin: float) -> Part:
    """Leave out the held-out blocks, and frames within a margin of a held-out frame."""
    every = np.concatenate([t.positions for t in {*part.database, *part.query}])
    every = every[~np.isnan(every).any(axis=1)]
    held_out = every[is_held_out(every, held)]

    def free(positions: Positions) -> NDArray[np.bool_]:
        far = [(np.linalg.norm(held_out - here, axis=1) > margin).all() for here in positions]
        return np.array(far, dtype=np.bool_)

    return _restrict(part, free)


def _restrict(part: Part, select: Callable[[Positions], NDArray[np.bool_]]) -> Part:
    database = tuple(
        _select_frames(traverse, select(traverse.positions)) for traverse in part.database
    )
    if part.same:
        return Part(database, database, same=True)
    query = tuple(_select_frames(traverse, select(traverse.positions)) for traverse in part.query)
    return Part(database, query, same=False)


def _select_frames(traverse: Traverse, mask: NDArray[np.bool_]) -> Traverse:
    """A traverse of some of its frames."""
    rows = np.flatnonzero(mask)
    return Traverse(
        traverse.name,
        tuple(traverse.frames[row] for row in rows),
        traverse.positions[rows],
        traverse.unit,
        traverse.frame_numbers[rows],
    )


def is_held_out(positions: Positions, held: HeldOut) -> NDArray[np.bool_]:
    """Which positions lie in held-out blocks, chosen by a hash of the block."""
    blocks = np.floor(np.nan_to_num(positions[:, :2]) / held.block).astype(np.int64)
    hashed = (blocks * np.array(_PRIMES)).sum(axis=1) % 9973
    chosen: NDArray[np.bool_] = (hashed * 7919 % 9973) / 9973 < held.share
    return chosen
