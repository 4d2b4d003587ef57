"""Data sets as training and validation sets: which traverses ask, and which places are left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placememory._types import Rows
from placememory.datasets import Traverse, open_dataset
from placememory.errors import SettingError
from placememory.evaluation import build_windows
from placememory.frames import Frame
from placememory.training._config import Data, HeldOut, Source
from placememory.training._data import Positions, TrainingSet

_APART = 1e9
"""Distance between data sets, which have no map in common."""
_PRIMES = (73856093, 19349663)


def training_set(data: Data) -> TrainingSet:
    """All training data sets as one, without held-out places.

    Raises:
        DatasetError: A data set cannot be read.
        SettingError: There is no window, or nothing has a positive.
    """
    parts = [part for source in data.train for part in _read(source)]
    if data.held_out is not None:
        parts = [_outside(part, data.held_out, data.negative_radius) for part in parts]
    return joined(parts, data)


def validation_sets(data: Data) -> list[TrainingSet]:
    """Data sets to judge on, see :func:`judged_sets`; or the held-out places of the training."""
    if data.held_out is None:
        return judged_sets(data.validation, data)
    parts = [_inside(part, data.held_out) for source in data.train for part in _read(source)]
    return _one_by_one(parts, data)


def judged_sets(sources: Sequence[Source], data: Data) -> list[TrainingSet]:
    """Data sets to judge on, one for each query traverse.

    Where a data set does not say what is searched, its first traverse is.

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
            found.append(joined([Part(database, (query,), same=False)], data))
    return found


def check_apart(training: TrainingSet, judged: Sequence[TrainingSet]) -> None:
    """Refuse to judge on images that are trained on.

    Raises:
        SettingError: An image is in a window of both.
    """
    known = training.files()
    for part in judged:
        for path in part.files() & known:
            raise SettingError(
                f"{path} is trained on and judged on; choose splits that share no image"
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


def joined(parts: Sequence[Part], data: Data) -> TrainingSet:
    """One set of several data sets.

    Raises:
        SettingError: No traverse has a window of this length with known positions.
    """
    whole = _Joined(data)
    for world, part in enumerate(parts):
        for traverse in part.database:
            whole.add(traverse, world, asks=part.same, searched=True)
        for traverse in () if part.same else part.query:
            whole.add(traverse, world, asks=True, searched=False)
    return whole.done()


class _Joined:
    """Collects the frames and windows of traverses."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._frames: list[Frame] = []
        self._positions: list[Positions] = [np.empty((0, 4))]
        self._sessions: list[Rows] = [np.empty(0, np.int64)]
        self._queries: list[Rows] = [np.empty((0, data.length), np.int64)]
        self._database: list[Rows] = [np.empty((0, data.length), np.int64)]
        self._session_count = 0

    def add(self, traverse: Traverse, world: int, *, asks: bool, searched: bool) -> None:
        """Add a traverse of a world; its windows ask, are searched, or both."""
        windows = len(self._frames) + _windows(traverse, self._data)
        names, numbered = np.unique(traverse.sessions, return_inverse=True)
        self._frames += traverse.frames
        self._positions.append(_placed(traverse.positions, world))
        self._sessions.append(numbered.astype(np.int64) + self._session_count)
        self._session_count += len(names)
        if asks:
            self._queries.append(windows)
        if searched:
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
        return tuple(_named(dataset.traverse(split), source.only) for split in splits)

    if not source.database:
        every = traverses(dataset.splits())
        return [Part(every, every, same=True)]
    return [Part(traverses(source.database), traverses(source.query), same=False)]


def _named(traverse: Traverse, word: str | None) -> Traverse:
    """Only frames whose name holds a word."""
    if word is None:
        return traverse
    return _cut(traverse, np.array([word in frame.name for frame in traverse.frames]))


def _windows(traverse: Traverse, data: Data) -> Rows:
    found = build_windows(
        traverse.sessions,
        traverse.frame_numbers,
        data.length,
        cut_last_frame=data.cut_last_frame,
    ).frames
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
    every = every[~np.isnan(every).any(axis=1)]
    kept = every[_held(every, held)]

    def free(positions: Positions) -> NDArray[np.bool_]:
        far = [(np.linalg.norm(kept - here, axis=1) > margin).all() for here in positions]
        return np.array(far, dtype=np.bool_)

    return _restricted(part, free)


def _restricted(part: Part, chosen: Callable[[Positions], NDArray[np.bool_]]) -> Part:
    database = tuple(_cut(traverse, chosen(traverse.positions)) for traverse in part.database)
    if part.same:
        return Part(database, database, same=True)
    query = tuple(_cut(traverse, chosen(traverse.positions)) for traverse in part.query)
    return Part(database, query, same=False)


def _cut(traverse: Traverse, kept: NDArray[np.bool_]) -> Traverse:
    """A traverse of some of its frames."""
    rows = np.flatnonzero(kept)
    return Traverse(
        traverse.name,
        tuple(traverse.frames[row] for row in rows),
        traverse.positions[rows],
        traverse.unit,
        traverse.frame_numbers[rows],
    )


def _held(positions: Positions, held: HeldOut) -> NDArray[np.bool_]:
    """Which positions lie in held-out blocks, chosen by a hash of the block."""
    blocks = np.floor(np.nan_to_num(positions[:, :2]) / held.block).astype(np.int64)
    hashed = (blocks * np.array(_PRIMES)).sum(axis=1) % 9973
    chosen: NDArray[np.bool_] = (hashed * 7919 % 9973) / 9973 < held.share
    return chosen
