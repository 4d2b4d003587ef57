"""A made-up world: a figure of eight where places look alike, and a robot that leaves it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from placememory.fusion import Belief, Evidence, Fusion, MapProfile, Odometry, PlaceTable
from placememory.likeness import Background

Floats = NDArray[np.float64]
RADIUS = 2.0
DIM = 48


@dataclass(frozen=True)
class Run:
    """A robot's run.

    Attributes:
        poses: (T, 3) true x, y, yaw.
        columns: (T, N) similarities.
        views: (T, DIM) descriptors.
        on_map: (T,) whether a place lies within the radius.
        odometry: T motions, the first of them none.
    """

    poses: Floats
    columns: Floats
    views: Floats
    on_map: NDArray[np.bool_]
    odometry: list[Odometry | None]


class World:
    """Places every 0.5 m along a figure of eight; two stretches of it look alike."""

    def __init__(self, seed: int = 0, size: float = 20.0, spacing: float = 0.5) -> None:
        self.rng = np.random.default_rng(seed)
        angle = np.linspace(0, 2 * math.pi, 20_000)
        curve = np.column_stack((size * np.sin(angle), size * np.sin(angle) * np.cos(angle)))
        length = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))))
        self.length = float(length[-1])
        self._at = lambda s: np.column_stack(
            [np.interp(np.mod(s, self.length), length, curve[:, i]) for i in (0, 1)]
        )
        knots = np.arange(0, self.length + 3.0, 3.0)  # what is seen changes over three metres
        looks = self.rng.normal(size=(len(knots), DIM))
        looks[-1] = looks[0]
        third = len(knots) // 3
        looks[2 * third : 2 * third + 6] = looks[third : third + 6] + 0.35 * self.rng.normal(
            size=(6, DIM)
        )
        self._looks, self._knots = looks, knots
        s = np.arange(0, self.length, spacing)
        self.s = s
        self.descriptors = self.look(s, 0.3)
        self.table = PlaceTable.from_arrays(self.position(s), yaw=self.yaw(s))
        rows = self.descriptors.astype(np.float32)
        elsewhere = np.random.default_rng(seed + 1).normal(size=(41, DIM))
        law = Background.measure(rows, self._unit(elsewhere))
        self.profile = MapProfile(rows, self.table, law)

    def position(self, s: Floats) -> Floats:
        return self._at(s)

    def yaw(self, s: Floats) -> Floats:
        step = self._at(s + 0.05) - self._at(s - 0.05)
        return np.arctan2(step[:, 1], step[:, 0])

    def look(self, s: Floats, noise: float) -> Floats:
        s = np.mod(s, self.length)
        smooth = np.column_stack([np.interp(s, self._knots, c) for c in self._looks.T])
        return self._unit(smooth + noise * self.rng.normal(size=smooth.shape))

    def strange(self, count: int) -> Floats:
        """What is seen off the map: it changes slowly, too."""
        knots = self.rng.normal(size=(count // 4 + 2, DIM))
        at = np.arange(count) / 4
        smooth = np.column_stack([np.interp(at, np.arange(len(knots)), c) for c in knots.T])
        return self._unit(smooth + 0.3 * self.rng.normal(size=smooth.shape))

    def run(self, s: Floats, noise: float = 1.0, detour: tuple[int, int] = (0, 0)) -> Run:
        """Frames at lengths ``s`` along the curve; frames of the detour are far off to the side."""
        poses = np.column_stack((self.position(s), self.yaw(s)))
        looks = self.look(s, noise)
        first, last = detour
        if last > first:
            away = np.arange(1, last - first + 1)
            bend = np.minimum(away, away[::-1]) * 1.5
            poses[first:last, 1] += 3.0 + bend + 12.0
            looks[first:last] = self.strange(last - first)
        apart = np.linalg.norm(self.table.positions[:, None] - poses[:, :2], axis=2).min(axis=0)
        odometry: list[Odometry | None] = [None]
        for one, two in itertools.pairwise(poses.tolist()):
            true = Odometry.between(tuple(one), tuple(two))
            slip = self.rng.normal(size=3) * (0.04, 0.03, 0.02)
            odometry.append(
                Odometry(true.dx + slip[0], true.dy + slip[1], true.dyaw + slip[2], 0.06, 0.03)
            )
        return Run(poses, looks @ self.descriptors.T, looks, apart <= RADIUS, odometry)

    @staticmethod
    def _unit(rows: Floats) -> Floats:
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def beliefs(fusion: Fusion, run: Run, odometry: bool) -> Iterator[Belief]:
    """What a method says frame by frame."""
    for column, view, motion in zip(run.columns, run.views, run.odometry, strict=True):
        evidence = replace(Evidence.from_column(column), descriptor=view)
        yield fusion.update(evidence, motion if odometry else None)


@dataclass(frozen=True)
class Score:
    located: float  # of the frames on the map
    precision: float  # of "located"
    right: float  # best hypothesis, of the frames on the map
    error: float  # calibration
    metres: float  # median of located frames


def score(make: Callable[[PlaceTable], Fusion], world: World, run: Run, odometry: bool) -> Score:
    """How right a method is on a run."""
    located, right, probability, metres = [], [], [], []
    for belief, pose in zip(beliefs(make(world.table), run, odometry), run.poses, strict=True):
        there = belief.position
        far = math.dist(there, pose[:2]) if there else math.inf
        located.append(belief.verdict == "located")
        right.append(far <= RADIUS)
        metres.append(far)
        probability.append(math.nan if belief.probability is None else belief.probability)
    yes, good, on = np.array(located), np.array(right) & run.on_map, run.on_map
    return Score(
        float((yes & on).sum() / on.sum()),
        float((yes & good).sum() / max(1, yes.sum())),
        float(good.sum() / on.sum()),
        calibration_error(np.array(probability), good),
        float(np.median(np.array(metres)[yes])) if yes.any() else math.inf,
    )


def calibration_error(probability: Floats, right: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error."""
    sure = np.isfinite(probability)
    probability, right = probability[sure], right[sure]
    which = np.minimum((probability * bins).astype(int), bins - 1)
    total = 0.0
    for number in range(bins):
        use = which == number
        if use.any():
            total += use.mean() * abs(probability[use].mean() - right[use].mean())
    return float(total)
