"""The sets that the localizer is measured on, whole and with a stretch of the map left out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from _real import Sequence, tower
from numpy.typing import NDArray

from placememory.frames import Frame, Pose, list_frames, read_poses
from placememory.fusion import Odometry
from placememory.samples import render_building

RADIUS = 2.0
_EDGE = (1.5, 3.0)  # metres to the nearest place between which a frame is not counted
_FIFTH = (0.4, 0.6)
_STRETCH = (0.3, 0.45)
_FLOORS = ("basement3", "floor4", "floor9", "floor14", "floor19")

Judge = Callable[[int, int, tuple[float, ...] | None], tuple[float, bool]]


@dataclass(frozen=True, eq=False)
class Scene:
    """A map, a run over it, and the truth.

    Attributes:
        name: Of the set.
        mapping: Frames of the map.
        query: Frames of the run, in order.
        good: (Q, M) whether a place is right for a query.
        counted: (Q,) whether a query counts; those at the edge of what is left out do not.
        judge: Error and rightness of an answer, from the number of the query, the row of the best
            place and the position.
        walks: Name of the walk of each query; the localizer starts anew with each.
        odometry: Of each query.
        placed: Whether places have positions, or an order that can stand for them.
        line: Whether a place's index is given as its position in ``spatial`` and ``heatmap``.
        unit: Of errors.
    """

    name: str
    mapping: list[Frame]
    query: list[Frame]
    good: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    judge: Judge
    walks: list[str]
    odometry: list[Odometry | None]
    placed: bool = True
    line: bool = False
    unit: str = "frames"

    @property
    def radius(self) -> float:
        """Metres within which an answer is right."""
        return RADIUS

    @property
    def digits(self) -> int:
        """Decimals of errors."""
        return 2 if self.unit == "m" else 0

    def words(self) -> str:
        """The counts."""
        on = self.good.any(axis=1) & self.counted
        off = ~self.good.any(axis=1) & self.counted
        edge = f", {int((~self.counted).sum())} at the edge not counted" * bool(
            (~self.counted).any()
        )
        return (
            f"{len(self.mapping)} places, {len(self.query)} frames: {int(on.sum())} on the map, "
            f"{int(off.sum())} off it{edge}"
        )


def listed(sequence: Sequence) -> Iterator[Scene]:
    """A sequence with lists of right places, whole and without a fifth of its map."""
    whole = _right(sequence)
    count = len(sequence.reference)
    for title, kept in (("", np.arange(count)), (", a fifth left out", _outside(count, *_FIFTH))):
        good = whole[:, kept]
        some = good.sum(axis=1)
        yield Scene(
            sequence.name + title,
            [sequence.reference[row] for row in kept],
            sequence.query,
            good,
            (some == whole.sum(axis=1)) | (some == 0),
            _by_list(whole, kept),
            [""] * len(whole),
            [None] * len(whole),
            line=True,
        )


def tower_walks() -> Iterator[Scene]:
    """The tower as walks of a few frames, whole and without five of its 25 floors."""
    sequence = tower(every=1)
    mapping = [_in_walk(frame) for frame in sequence.reference]
    query = [_in_walk(frame) for frame in sequence.query]
    whole = _right(sequence)
    some = [not any(f"/{floor}/" in frame.name for floor in _FLOORS) for frame in mapping]
    for title, kept in (
        ("", np.arange(len(mapping))),
        (", a fifth left out", np.flatnonzero(some)),
    ):
        good = whole[:, kept]
        yield Scene(
            sequence.name.split()[0] + title,
            [mapping[row] for row in kept],
            query,
            good,
            np.ones(len(query), np.bool_),
            lambda at, row, _, good=good: (math.nan, row >= 0 and bool(good[at, row])),
            [frame.session for frame in query],
            [None] * len(query),
            placed=False,
        )


def building(folder: Path) -> Iterator[Scene]:
    """The sample building, without and with odometry, whole and without a stretch."""
    made = render_building(folder)
    mapping = _posed(made.mapping, made.mapping_vertices)
    query = _posed(made.query, made.query_vertices)
    truth = np.array([_pose(frame).position[:2] for frame in query])
    places = np.array([_pose(frame).position[:2] for frame in mapping])
    slipping = _slipping(query)
    count = len(mapping)
    for title, kept in (
        ("", np.arange(count)),
        (", a stretch left out", _outside(count, *_STRETCH)),
    ):
        apart = np.linalg.norm(places[None, kept] - truth[:, None], axis=2)
        near = apart.min(axis=1)
        scene = Scene(
            f"building{title}",
            [mapping[row] for row in kept],
            query,
            apart <= RADIUS,
            (near <= _EDGE[0]) | (near > _EDGE[1]),
            _by_distance(truth),
            [""] * len(query),
            [None] * len(query),
            unit="m",
        )
        yield scene
        yield replace(scene, name=f"{scene.name}, odometry", odometry=slipping)


def _right(sequence: Sequence) -> NDArray[np.bool_]:
    return np.array(
        [[sequence.right(q.name, r.name) for r in sequence.reference] for q in sequence.query]
    )


def _by_list(whole: NDArray[np.bool_], kept: NDArray[np.int64]) -> Judge:
    """Right is listed; the error is that to the middle of the list, in frames of the map."""

    def judge(at: int, row: int, position: tuple[float, ...] | None) -> tuple[float, bool]:
        if position is not None:
            row = int(np.argmin(np.abs(kept - position[0])))
        right = row >= 0 and bool(whole[at, kept[row]])
        true = np.flatnonzero(whole[at])
        if row < 0 or not len(true):
            return math.nan, right
        return float(abs(kept[row] - np.median(true))), right

    return judge


def _by_distance(truth: NDArray[np.float64]) -> Judge:
    def judge(at: int, _: int, position: tuple[float, ...] | None) -> tuple[float, bool]:
        if position is None:
            return math.nan, False
        error = math.dist(position[:2], truth[at])
        return error, error <= RADIUS

    return judge


def _outside(count: int, low: float, high: float) -> NDArray[np.int64]:
    """Rows but for a stretch."""
    rows = np.arange(count)
    return rows[(rows < int(low * count)) | (rows >= int(high * count))]


def _in_walk(frame: Frame) -> Frame:
    """A frame of the tower with its walk as session and its number there as index."""
    walk, _, number = frame.name.rpartition("_frame_")
    digits = re.match(r"\d+", number)
    assert digits is not None
    return replace(frame, session=walk.replace("/", "-"), index=int(digits[0]))


def _posed(images: Path, vertices: Path) -> list[Frame]:
    return read_poses(vertices).join(list_frames(images))[0]


def _pose(frame: Frame) -> Pose:
    assert frame.pose is not None
    return frame.pose


def _slipping(query: list[Frame]) -> list[Odometry | None]:
    """Odometry of a wheeled robot: 3 % too long, noise, a drifting heading."""
    draw = np.random.default_rng(0).normal
    poses = [(p.x, p.y, p.yaw) for p in (_pose(frame) for frame in query)]
    result: list[Odometry | None] = [None]
    for one, two in pairwise(poses):
        o = Odometry.between(one, two)
        along, across, turn = draw(0, 0.04), draw(0, 0.03), draw(0.003, 0.015)
        result.append(Odometry(1.03 * o.dx + along, o.dy + across, o.dyaw + turn, 0.08, 0.03))
    return result
