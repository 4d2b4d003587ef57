"""What is trained on: frames of all traverses, windows of them, and which show one place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placememory.datasets import Dataset, Traverse, open_dataset
from placememory.errors import SettingError
from placememory.evaluation import SequenceWindows, build_windows, sequence_positives
from placememory.evaluation.sequences import Strategy
from placememory.frames import Frame
from placememory.training._config import Data, HeldOut, Source

Rows = NDArray[np.int64]
Positions = NDArray[np.float64]
_APART = 1e9
"""Distance between data sets, which have no map in common."""
_PRIMES = (73856093, 19349663)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """Frames of one or more data sets, with windows that ask and windows that are searched.

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

    def near(self, windows: Rows, radius: float, strategy: Strategy) -> list[Rows]:
        """Rows of ``database`` within a radius of each window (n, L), by a strategy."""
        if not len(windows):
            return []
        asked, inverse = np.unique(windows, return_inverse=True)
        rows = inverse.reshape(windows.shape)
        return sequence_positives(
            SequenceWindows(rows, rows),
            SequenceWindows(self.database, self.database),
            self.positions[asked],
            self.positions,
            radius=radius,
            strategy=strategy,
        )

    def positives(self, windows: Rows, data: Data) -> list[Rows]:
        """Rows of ``database`` that show the place of each window (n, L), in about its direction.

        They are of another session: a place seen twice in one pass teaches nothing.
        """
        found = self.near(windows, data.positive_radius, data.strategy)
        ours, theirs = (self.directions_of(part) for part in (windows, self.database))
        limit = math.radians(data.heading) + 1e-9
        kept = []
        for window, direction, rows in zip(windows, ours, found, strict=True):
            turn = np.abs(np.angle(np.exp(1j * (theirs[rows] - direction))))
            other = self.sessions[self.database[rows, 0]] != self.sessions[window[0]]
            kept.append(rows[other & ~(turn > limit)])  # NaN: not known, not refused
        return kept

    def directions_of(self, windows: Rows) -> NDArray[np.float64]:
        """(n,) direction of windows: that of the camera, else of travel; NaN where not known."""
        seen = np.angle(np.exp(1j * self.directions[windows]).mean(axis=1))
        step = self.positions[windows[:, -1], :2] - self.positions[windows[:, 0], :2]
        travelled = np.arctan2(step[:, 1], step[:, 0])
        travelled[np.linalg.norm(step, axis=1) < 1e-6] = np.nan
        return np.where(np.isnan(seen), travelled, seen)


def training_set(data: Data) -> TrainingSet:
    """All training data sets as one, without held-out places.

    Raises:
        DatasetError: A data set cannot be read.
        SettingError: There is no window, or nothing has a positive.
    """
    parts = [part for source in data.train for part in _read(source)]
    if data.held_out is not None:
        parts = [_outside(part, data.held_out, data.negative_radius) for part in parts]
    return joined(parts, data.length)


def validation_sets(data: Data) -> list[TrainingSet]:
    """Data sets to judge on, one for each query traverse.

    Where a data set does not say what is searched, its first traverse is.

    Raises:
        DatasetError: A data set cannot be read.
        SettingError: There is no window.
    """
    if data.held_out is None:
        parts = [part for source in data.validation for part in _read(source)]
    else:
        parts = [_inside(part, data.held_out) for source in data.train for part in _read(source)]
    found = []
    for part in parts:
        database, queries = part.database, part.query
        if part.same:
            database, queries = part.database[:1], part.query[1:]
        if not queries:
            raise SettingError("a data set to validate on needs two traverses")
        for query in queries:
            found.append(joined([Part(database, (query,), same=False)], data.length))
    return found


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


def joined(parts: Sequence[Part], length: int) -> TrainingSet:
    """One set of several data sets.

    Raises:
        SettingError: No traverse has a window of this length with known positions.
    """
    frames: list[Frame] = []
    positions, directions, sessions = [], [], []
    windows: dict[bool, list[Rows]] = {True: [], False: []}
    count = 0
    for world, part in enumerate(parts):
        sides = (
            [(part.database, False)] if part.same else [(part.database, False), (part.query, True)]
        )
        for traverses, asks in sides:
            for traverse in traverses:
                first = len(frames)
                frames += traverse.frames
                positions.append(_placed(traverse.positions, world))
                directions.append(np.array([_yaw(frame) for frame in traverse.frames]))
                names, numbered = np.unique(traverse.sessions, return_inverse=True)
                sessions.append(numbered + count)
                count += len(names)
                rows = first + _windows(traverse, length)
                windows[asks].append(rows)
                if part.same:
                    windows[True].append(rows)
    queries, database = (
        np.concatenate([np.empty((0, length), np.int64), *windows[asks]]) for asks in (True, False)
    )
    if not len(queries) or not len(database):
        raise SettingError(
            f"no traverse has {length} consecutive frames with known positions; "
            "check data.length and the frame numbers"
        )
    return TrainingSet(
        tuple(frames),
        np.concatenate(positions),
        np.concatenate(directions),
        np.concatenate(sessions).astype(np.int64),
        queries,
        database,
    )


def _read(source: Source) -> list[Part]:
    dataset = open_dataset(source.layout, source.root, **source.options)
    if not source.database:
        every = tuple(dataset.traverse(split) for split in dataset.splits())
        return [Part(every, every, same=True)]
    return [
        Part(_traverses(dataset, source.database), _traverses(dataset, source.query), same=False)
    ]


def _traverses(dataset: Dataset, splits: Iterable[str]) -> tuple[Traverse, ...]:
    return tuple(dataset.traverse(split) for split in splits)


def _windows(traverse: Traverse, length: int) -> Rows:
    found = build_windows(traverse.sessions, traverse.frame_numbers, length).frames
    known = np.asarray(~np.isnan(traverse.positions).any(axis=1))
    return found[np.asarray(known[found]).all(axis=1)]


def _placed(positions: Positions, world: int) -> Positions:
    """(N, 2) or (N, 3) to (N, 4), far from those of other worlds."""
    placed = np.zeros((len(positions), 4))
    placed[:, : positions.shape[1]] = positions
    placed[:, 3] = world * _APART
    return placed


def _yaw(frame: Frame) -> float:
    return math.nan if frame.pose is None else frame.pose.yaw


def _inside(part: Part, held: HeldOut) -> Part:
    """Only the held-out blocks."""
    return _restricted(part, lambda positions: _held(positions, held))


def _outside(part: Part, held: HeldOut, margin: float) -> Part:
    """Without the held-out blocks, and without what is within a margin of a held-out frame."""
    every = np.concatenate([t.positions for t in {*part.database, *part.query}])
    kept = every[_held(every, held)]

    def free(positions: Positions) -> NDArray[np.bool_]:
        far = [(np.linalg.norm(kept - here, axis=1) > margin).all() for here in positions]
        return np.array(far, dtype=np.bool_)

    return _restricted(part, free)


def _restricted(part: Part, chosen: Callable[[Positions], NDArray[np.bool_]]) -> Part:
    def cut(traverse: Traverse) -> Traverse:
        rows = np.flatnonzero(chosen(traverse.positions))
        return Traverse(
            traverse.name,
            tuple(traverse.frames[row] for row in rows),
            traverse.positions[rows],
            traverse.unit,
            traverse.frame_numbers[rows],
        )

    database = tuple(map(cut, part.database))
    query = database if part.same else tuple(map(cut, part.query))
    return Part(database, query, part.same)


def _held(positions: Positions, held: HeldOut) -> NDArray[np.bool_]:
    """Which positions lie in held-out blocks, chosen by a hash of the block."""
    blocks = np.floor(np.nan_to_num(positions[:, :2]) / held.block).astype(np.int64)
    hashed = (blocks * np.array(_PRIMES)).sum(axis=1) % 9973
    chosen: NDArray[np.bool_] = (hashed * 7919 % 9973) / 9973 < held.share
    return chosen
