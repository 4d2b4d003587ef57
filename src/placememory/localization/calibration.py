"""Calibrate a memory: fit the filter's evidence and threshold to its encoder and its map.

A run with known poses is replayed twice: on the whole map, and with a stretch of the map left out,
so that the frames there are off the map. Scale and offset of the filter's evidence come from right
and wrong places; the probability from which an answer counts as located is the lowest that keeps
the precision asked for over both replays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._types import Floats
from placememory.errors import InputError, SettingError
from placememory.fusion import Belief, Evidence, ObservationModel, PlaceTable
from placememory.fusion.bayes import Bayes
from placememory.localization.estimate import Estimate
from placememory.memory import PlaceMemory
from placememory.metrics import GroundTruth, LocatedFrames, LocatedResult

WRONG_A_FRAME = 200
LEFT_OUT = 0.2
_LEVELS = (0.0, 0.5, 1.0, 1.5, 2.0)
_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 0.99)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A calibration, as stored in a memory.

    Attributes:
        radius: Metres within which an answer counts as right.
        scale: Of :class:`placememory.fusion.ObservationModel`.
        offset: Of the same.
        off_map_level: Of the same.
        confident: Probability from which an answer is located.
        frames: Frames it was fitted on.
    """

    radius: float
    scale: float
    offset: float
    off_map_level: float
    confident: float
    frames: int

    @classmethod
    def of(cls, memory: PlaceMemory) -> Calibration | None:
        """Read the calibration of a memory; ``None`` if it has none."""
        stored = memory.manifest.calibration
        if stored is None:
            return None
        values: dict[str, Any] = {**stored, "frames": int(stored["frames"])}
        return cls(**values)

    def settings(self) -> dict[str, Any]:
        """Settings of the filter."""
        model = ObservationModel(
            scale=self.scale, offset=self.offset, off_map_level=self.off_map_level
        )
        return {"observation": model, "radius": self.radius, "confident": self.confident}

    def store(self, memory: PlaceMemory) -> None:
        """Store the calibration in a memory."""
        memory.set_calibration({name: float(value) for name, value in asdict(self).items()})


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """A calibration, and how the filter does without and with it.

    Attributes:
        calibration: What was fitted.
        before: With the default settings, whole map and map with a stretch left out together.
        after: With the calibration, on the same frames it was fitted on.
        precision: That was asked for.
        reached: Whether a threshold reached it.
    """

    calibration: Calibration
    before: LocatedResult
    after: LocatedResult
    precision: float
    reached: bool


def calibrate(
    places: PlaceTable,
    columns: Floats,
    truth: NDArray[np.float64],
    *,
    radius: float = 2.0,
    precision: float = 0.98,
    stamps: NDArray[np.float64] | None = None,
) -> CalibrationReport:
    """Fit the filter's evidence and threshold on a run.

    Args:
        places: The map, with positions.
        columns: (F, N) similarity of each frame, in order, to every place.
        truth: (F, 2 or 3) true positions, metres.
        radius: Metres within which an answer is right.
        precision: Share of located frames that shall be right.
        stamps: (F,) seconds, where known.

    Raises:
        InputError: No place has a position, or no frame has both right and wrong places.
        SettingError: The radius or the precision is impossible.
    """
    if not (radius > 0 and 0 < precision <= 1):
        raise SettingError(f"radius {radius} and precision {precision} must be positive, below 1")
    distances = _distances(places, truth)
    if not np.isfinite(distances).any():
        raise InputError("no place of the memory has a position; calibration needs poses")
    fitted = ObservationModel().fit(*_right_and_wrong(columns, distances, radius))
    runs = [_Replay(places, columns, truth, stamps), _with_hole(places, columns, truth, stamps)]
    before = _score([(run, run.beliefs({"radius": radius})) for run in runs], radius)
    best: tuple[tuple[bool, float], Calibration, LocatedResult] | None = None
    for level in _LEVELS:
        model = {"scale": fitted.scale, "offset": fitted.offset, "off_map_level": level}
        settings = {"observation": ObservationModel(**model), "radius": radius}
        replays = [(run, run.beliefs({**settings, "confident": _THRESHOLDS[0]})) for run in runs]
        for threshold in _THRESHOLDS:
            found = _score(replays, radius, threshold)
            reached = found.precision.value >= precision
            # first the precision; then as many located frames as possible
            value = found.recall.value if reached else found.precision.value
            key = (reached, value if math.isfinite(value) else -1.0)
            if best is None or key > best[0]:
                made = Calibration(radius, **model, confident=threshold, frames=len(columns))
                best = (key, made, found)
    assert best is not None
    return CalibrationReport(best[1], before, best[2], precision, reached=best[0][0])


def calibrate_on_run(
    memory: PlaceMemory,
    estimates: Iterable[Estimate],
    *,
    radius: float = 2.0,
    precision: float = 0.98,
) -> CalibrationReport:
    """Calibrate on a localised run with true poses; only its descriptors are used.

    Args:
        memory: The memory that the run was localised in.
        estimates: In the order of the frames; those without descriptor or true pose are left out.
        radius: Metres within which an answer is correct.
        precision: Share of located frames that shall be correct.

    Raises:
        InputError: No frame has both a descriptor and a true pose, or no place has a pose.
    """
    used = [(e.descriptor, e.frame.pose, e.frame.stamp) for e in estimates]
    known = [
        (row, pose, stamp) for row, pose, stamp in used if row is not None and pose is not None
    ]
    if not known:
        raise InputError("no frame of the run has a true pose; there is nothing to calibrate on")
    rows, poses, stamps = zip(*known, strict=True)
    return calibrate(
        PlaceTable.from_places(memory.places),
        np.stack(rows).astype(np.float64) @ memory.descriptors.T,
        np.array([pose.position for pose in poses]),
        radius=radius,
        precision=precision,
        stamps=None if None in stamps else np.array(stamps, np.float64) * 1e-9,
    )


def calibrate_on_session(
    memory: PlaceMemory, session: str, *, radius: float = 2.0, precision: float = 0.98
) -> CalibrationReport:
    """Calibrate on one session of the memory as queries against the others.

    Raises:
        InputError: There is no such session, no other one, or no poses.
    """
    names = np.array([place.session for place in memory.places])
    query_rows, map_rows = np.flatnonzero(names == session), np.flatnonzero(names != session)
    if not len(query_rows) or not len(map_rows):
        raise InputError(f"leaving out {session!r} needs that session and another one")
    places = PlaceTable.from_places([memory.places[int(row)] for row in map_rows])
    columns = memory.descriptors[query_rows].astype(np.float64) @ memory.descriptors[map_rows].T
    truth = memory.rows.positions[query_rows]
    posed = ~np.isnan(truth[:, 0])
    return calibrate(places, columns[posed], truth[posed], radius=radius, precision=precision)


@dataclass(frozen=True, slots=True, eq=False)
class _Replay:
    """A run against a map."""

    places: PlaceTable
    columns: Floats
    truth: NDArray[np.float64]
    stamps: NDArray[np.float64] | None

    def beliefs(self, settings: dict[str, Any]) -> list[Belief]:
        """The filter's belief after each frame."""
        fusion = Bayes(self.places, **settings)
        stamps = [None] * len(self.columns) if self.stamps is None else self.stamps.tolist()
        return [
            fusion.update(Evidence.from_column(column, stamp=stamp))
            for column, stamp in zip(self.columns, stamps, strict=True)
        ]


def _with_hole(
    places: PlaceTable,
    columns: Floats,
    truth: NDArray[np.float64],
    stamps: NDArray[np.float64] | None,
) -> _Replay:
    """The run against the map without a stretch around the middle of the run."""
    posed = np.flatnonzero(~np.isnan(truth).any(axis=1))
    centre = truth[posed[len(posed) // 2]]
    away = _distances(places, centre[None])[0]
    gone = np.argsort(np.where(np.isnan(away), np.inf, away))[: int(LEFT_OUT * len(places))]
    remaining = np.setdiff1d(np.arange(len(places)), gone)
    return _Replay(places.take(remaining), columns[:, remaining], truth, stamps)


def _score(
    replays: list[tuple[_Replay, list[Belief]]], radius: float, threshold: float | None = None
) -> LocatedResult:
    """Verdicts of all replays against the truth."""
    metric = LocatedFrames(f"within {radius:g} m of the true position")
    for run, beliefs in replays:
        truth = GroundTruth.from_positions(*_flat(run.truth, run.places.positions), radius)
        on_map = truth.on_map()
        for i, belief in enumerate(beliefs):
            located = belief.verdict == "located"
            if threshold is not None:
                located = located and (belief.probability or 0.0) >= threshold
            pose = belief.pose()
            metric.update(
                located=located,
                probability=belief.probability,
                correct=bool(truth.is_pose_correct(i, pose)),
                on_map=bool(on_map[i]),
                error=truth.error(i, pose),
            )
    return metric.compute()


def _right_and_wrong(
    columns: Floats, distances: NDArray[np.float64], radius: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Normalised similarities of the best right place of each frame, and of wrong places."""
    right: list[float] = []
    wrong: list[float] = []
    for column, row in zip(columns, distances, strict=True):
        z = Evidence.from_column(column).normalise(column)
        near = row <= radius
        if near.any():
            right.append(float(z[near].max()))
        others = z[row > 2 * radius]
        wrong += others[:: max(1, len(others) // WRONG_A_FRAME)].tolist()
    return np.array(right), np.array(wrong)


def _distances(places: PlaceTable, truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(F, N) metres; NaN where a position is unknown."""
    true, at = _flat(truth, places.positions)
    distances: Floats = np.linalg.norm(true[:, None] - at[None], axis=2)
    return distances


def _flat(truth: Floats, positions: Floats) -> tuple[Floats, Floats]:
    """Both in as many coordinates as both have."""
    axes = min(truth.shape[1], positions.shape[1])
    return truth[:, :axes], positions[:, :axes]
