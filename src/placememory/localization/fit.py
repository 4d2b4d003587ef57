"""Fit a calibration: replay a run with known poses, as the localizer answers it.

The run is replayed twice: on the whole map, and with a stretch of the map left out, so that the
frames there are off the map. Scale and offset of the filter's evidence come from right and wrong
places; the probability from which an answer counts as located is the lowest that keeps the
precision asked for over both replays. The covariance is scaled until its 95 % ellipse holds 95 % of
the true positions, and its 95 % interval 95 % of the true yaws.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._types import Floats, Rows
from placememory.errors import InputError, SettingError
from placememory.frames import Frame
from placememory.fusion import Evidence, ObservationModel
from placememory.likeness import Centring
from placememory.localization.calibration import Calibration
from placememory.localization.estimate import Estimate
from placememory.localization.localizer import Localizer, Step
from placememory.localization.run import LocalizedRun
from placememory.memory import PlaceId, PlaceMemory, Where
from placememory.memory.rows import PlaceRows
from placememory.metrics import GroundTruth, LocatedFrames, LocatedResult, pose_error

WRONG_A_FRAME = 200
LEFT_OUT = 0.2
_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 0.99)
_NARROWEST, _WIDEST = 0.04, 25.0


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """A calibration, and how the localizer does without and with it.

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

    @property
    def refusal(self) -> str | None:
        """Why the calibration is not worth storing; ``None`` where it is."""
        before, after = self.before, self.after
        if not self.reached:
            best = after.precision.value
            shown = "nothing is located" if math.isnan(best) else f"{100 * best:.1f} % at best"
            return f"no threshold reaches a precision of {100 * self.precision:.0f} % ({shown})"
        no_better = before.precision.value >= min(after.precision.value, self.precision)
        if no_better and after.recall.value < before.recall.value:
            return (
                f"it locates {100 * after.recall.value:.1f} instead of "
                f"{100 * before.recall.value:.1f} % of the frames at no better precision "
                f"({100 * after.precision.value:.1f} instead of "
                f"{100 * before.precision.value:.1f} %)"
            )
        return None

    def store(self, memory: PlaceMemory) -> None:
        """Store the calibration in a memory.

        Raises:
            InputError: It is not worth storing. What the memory had before stays.
        """
        if self.refusal is not None:
            raise InputError(f"the calibration is not stored: {self.refusal}")
        self.calibration.store(memory)


def calibrate(
    memory: PlaceMemory,
    steps: Iterable[Step],
    *,
    where: Where | None = None,
    radius: float = 2.0,
    precision: float = 0.98,
) -> CalibrationReport:
    """Fit evidence, threshold and covariance of the filter on a run with true poses.

    Args:
        memory: Open memory; its places with poses are the map.
        steps: In order: frames with true poses, where known, odometry, and descriptors. A frame
            without a descriptor is no evidence.
        where: Which places are the map; all by default.
        radius: Metres within which an answer is right.
        precision: Share of located frames that shall be right.

    Returns:
        The report; nothing is stored yet, see :meth:`CalibrationReport.store`.

    Raises:
        InputError: No place has a position, no frame has a true pose and both right and wrong
            places, or the memory holds frames of the run themselves.
        SettingError: The radius or the precision is impossible.
    """
    if not (radius > 0 and 0 < precision <= 1):
        raise SettingError(f"radius {radius} and precision {precision} must be positive, below 1")
    run = [replace(step, frame=replace(step.frame, read=None)) for step in steps]
    rows = memory.rows
    if where is not None:
        rows = rows.select(where)
    if not len(rows) or np.isnan(rows.positions).all():
        raise InputError("no place of the memory has a position; calibration needs poses")
    truth = _true_positions(run)
    if np.isnan(truth).all():
        raise InputError("no frame of the run has a true pose; there is nothing to calibrate on")
    replays = [
        _Replay(memory, run, truth, where, radius),
        _Replay(memory, run, truth, _leave_out(rows, truth, where), radius),
    ]
    default = [replay.answer({"radius": radius}) for replay in replays]
    _refuse_own_frames(memory, default[0])
    before = _score(replays, default)
    best: tuple[tuple[bool, float], Calibration, LocatedResult] | None = None
    for model in _models(run, rows, truth, radius):
        settings = {"observation": model, "radius": radius, "confident": _THRESHOLDS[0]}
        answers = [replay.answer(settings) for replay in replays]
        for threshold in _THRESHOLDS:
            found = _score(replays, answers, threshold)
            reached = found.precision.value >= precision
            # first the precision; then as many located frames as possible
            value = found.recall.value if reached else found.precision.value
            key = (reached, value if math.isfinite(value) else -1.0)
            if best is None or key > best[0]:
                made = Calibration(
                    radius=radius,
                    scale=model.scale,
                    offset=model.offset,
                    confident=threshold,
                    frames=int((~np.isnan(truth[:, 0])).sum()),
                )
                best = key, made, found
    assert best is not None
    (reached, _), calibration, after = best
    scaled = replace(
        calibration,
        covariance_scale=_scale(after.coverage.scale_95),
        yaw_scale=_scale(after.coverage.yaw_scale_95),
    )
    return CalibrationReport(scaled, before, after, precision, reached)


def calibrate_on_run(
    memory: PlaceMemory,
    run: LocalizedRun | Iterable[Estimate],
    *,
    where: Where | None = None,
    radius: float = 2.0,
    precision: float = 0.98,
) -> CalibrationReport:
    """Calibrate on a localised run with true poses; its descriptors and odometry are used.

    Raises:
        InputError: See :func:`calibrate`.
    """
    steps = [Step(e.frame, e.odometry, descriptor=e.descriptor) for e in run]
    return calibrate(memory, steps, where=where, radius=radius, precision=precision)


def calibrate_on_session(
    memory: PlaceMemory, session: str, *, radius: float = 2.0, precision: float = 0.98
) -> CalibrationReport:
    """Calibrate on one session of the memory as queries against the others.

    Raises:
        InputError: There is no such session, no other one, or no poses.
    """
    rows = memory.rows
    chosen = [i for i, place in enumerate(rows.places) if place.session == session]
    if not chosen or len(chosen) == len(rows):
        raise InputError(f"leaving out {session!r} needs that session and another one")
    steps = [
        Step(
            Frame(place.name, place.session, place.index, stamp=place.stamp, pose=place.pose),
            descriptor=rows.descriptors[row],
        )
        for row, place in ((row, rows.places[row]) for row in chosen)
    ]
    where = Where(exclude_sessions=session)
    return calibrate(memory, steps, where=where, radius=radius, precision=precision)


def _models(
    run: Sequence[Step], rows: PlaceRows, truth: Floats, radius: float
) -> list[ObservationModel]:
    """The evidence to try: the default, and what is fitted to right and wrong places."""
    used = [i for i, step in enumerate(run) if step.descriptor is not None]
    if not used:
        raise InputError("no frame of the run has a descriptor; calibration needs images")
    described = np.stack([np.asarray(run[i].descriptor, np.float32) for i in used])
    columns = Centring(rows.descriptors).apply_to_run(described)
    right, wrong = _right_and_wrong(columns, truth[used], rows, radius)
    if not (len(right) and len(wrong)):
        raise InputError(
            f"{len(right)} of {len(used)} frames were taken within {radius:g} m of a place, and "
            f"{len(wrong)} pairs of a frame and a place are far apart; both kinds are needed"
        )
    return [ObservationModel(), ObservationModel().fit(right, wrong)]


@dataclass(frozen=True, slots=True)
class _WithoutPlaces(Where):
    """A filter that leaves some places out as well."""

    gone: frozenset[PlaceId] = frozenset()

    def rows(self, rows: PlaceRows) -> Rows:
        """See :class:`Where`."""
        allowed = Where.rows(self, rows)
        kept = [row for row in allowed.tolist() if rows.places[row].id not in self.gone]
        return np.array(kept, np.int64)


class _Replay:
    """A run against a map, answered by the localizer as a robot's would be."""

    def __init__(
        self,
        memory: PlaceMemory,
        run: Sequence[Step],
        truth: Floats,
        where: Where | None,
        radius: float,
    ) -> None:
        self._memory, self._run, self._where = memory, run, where
        rows = memory.rows if where is None else memory.rows.select(where)
        self.truth = GroundTruth.from_positions(truth, rows.positions, radius)
        self.on_map = self.truth.on_map()

    def answer(self, settings: dict[str, Any]) -> list[Estimate]:
        """The estimates with some settings of the filter, whatever is stored in the memory."""
        localizer = Localizer(
            self._memory,
            where=self._where,
            settings=settings,
            calibrated=False,
            refresh_every=0,
        )
        return list(localizer.run(self._run))


def _score(
    replays: Sequence[_Replay],
    answers: Sequence[Sequence[Estimate]],
    threshold: float | None = None,
) -> LocatedResult:
    """Verdicts of all replays against the truth."""
    metric = LocatedFrames(replays[0].truth.rule)
    for replay, estimates in zip(replays, answers, strict=True):
        for i, belief in enumerate(estimate.belief for estimate in estimates):
            if belief is None or not replay.truth.known[i]:
                continue
            pose = belief.pose()
            metric.update(
                located=belief.verdict == "located"
                and (threshold is None or (belief.probability or 0.0) >= threshold),
                probability=belief.probability,
                correct=bool(replay.truth.is_pose_correct(i, pose)),
                on_map=bool(replay.on_map[i]),
                error=replay.truth.error(i, pose),
                pose_error=pose_error(estimates[i].frame.pose, pose),
                covariance=belief.covariance,
            )
    return metric.compute()


def _scale(measured: float) -> float:
    """A factor of the covariance, within reason; 1 where nothing was measured."""
    return min(max(measured, _NARROWEST), _WIDEST) if math.isfinite(measured) else 1.0


def _refuse_own_frames(memory: PlaceMemory, estimates: Sequence[Estimate]) -> None:
    own = [e.in_memory.session for e in estimates if e.in_memory is not None]
    if own:
        sessions = " ".join(f"--exclude-session {name}" for name in dict.fromkeys(own))
        raise InputError(
            f"{len(own)} of {len(estimates)} frames are in {memory.uri} itself; calibrated on "
            f"them, it would trust every image. Leave them out with {sessions}, or calibrate on "
            "another run"
        )


def _true_positions(run: Sequence[Step]) -> Floats:
    """(F, 3) metres; NaN where unknown."""
    nowhere = np.full(3, np.nan)
    poses = [step.frame.pose for step in run]
    return np.array([nowhere if pose is None else pose.position for pose in poses]).reshape(-1, 3)


def _leave_out(rows: PlaceRows, truth: Floats, where: Where | None) -> Where:
    """The map without a stretch around the middle of the run."""
    posed = np.flatnonzero(~np.isnan(truth).any(axis=1))
    centre = truth[posed[len(posed) // 2]]
    away = np.linalg.norm(rows.positions - centre, axis=1)
    gone = np.argsort(np.where(np.isnan(away), np.inf, away))[: int(LEFT_OUT * len(rows))]
    ids = frozenset(rows.places[int(row)].id for row in gone)
    base = where or Where()
    conditions = {field.name: getattr(base, field.name) for field in fields(Where)}
    return _WithoutPlaces(**conditions, gone=ids)


def _right_and_wrong(
    columns: Floats, truth: Floats, rows: PlaceRows, radius: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Normalised similarities of the best right place of each frame, and of wrong places."""
    right: list[float] = []
    wrong: list[float] = []
    for column, true in zip(columns, truth, strict=True):
        away = np.linalg.norm(rows.positions - true, axis=1)
        z = Evidence.from_column(column).normalise(column)
        near = away <= radius
        if near.any():
            right.append(float(z[near].max()))
        others = z[away > 2 * radius]
        wrong += others[:: max(1, len(others) // WRONG_A_FRAME)].tolist()
    return np.array(right), np.array(wrong)
