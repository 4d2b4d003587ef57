"""Score a query pass: one row a frame, and every metric with its protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._types import Protocol
from placememory.datasets import Traverse
from placememory.frames import Pose
from placememory.metrics.correspondence import CorrespondencePrecision
from placememory.metrics.curves import PrecisionRecall
from placememory.metrics.decisions import MatchDecisions
from placememory.metrics.pose_errors import PoseErrors
from placememory.metrics.recall import Recall
from placememory.metrics.truth import GroundTruth
from placememory.pipeline import QueryResult

COLUMNS = (
    "frame", "name", "skipped", "reference", "reference_name", "distance", "score", "accepted",
    "right", "has_match",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class FrameScores:
    """Best matches of M query frames.

    Attributes:
        skipped: Why a frame was not searched; ``""`` where it was.
        reference: (M,) int64 row of the reference traverse; -1 where there is no answer.
        distance: (M,) float64 from there to the true position; NaN where there is no answer.
        score: (M,) float64, lower is better; infinite where there is no answer.
        accepted: (M,) bool.
        right: (M,) bool, the answer is within the radius, accepted or not.
        has_match: (M,) bool, the reference holds a place within the radius.
    """

    skipped: list[str]
    reference: NDArray[np.int64]
    distance: NDArray[np.float64]
    score: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    right: NDArray[np.bool_]
    has_match: NDArray[np.bool_]

    @property
    def searched(self) -> NDArray[np.bool_]:
        """(M,) bool."""
        return np.array([not reason for reason in self.skipped], np.bool_)

    def rows(self, reference: Traverse, query: Traverse) -> list[list[Any]]:
        """A table with :data:`COLUMNS`; what is not known is ``None``."""
        return [
            [
                i,
                query.frames[i].name,
                self.skipped[i] or None,
                int(row) if row >= 0 else None,
                reference.frames[row].name if row >= 0 else None,
                _known(self.distance[i]),
                _known(self.score[i]),
                *(int(flags[i]) for flags in (self.accepted, self.right, self.has_match)),
            ]
            for i, row in enumerate(self.reference.tolist())
        ]


def score_frames(
    results: Sequence[QueryResult],
    reference: Traverse,
    query: Traverse,
    radius: float,
    *,
    ground_truth: str = "frame",
    searchable: NDArray[np.int64] | None = None,
) -> FrameScores:
    """Best match of each frame against the truth.

    Args:
        results: Of all M query frames, in order and counted from zero; paths in rows of the
            reference.
        reference: Traverse of the map.
        query: Traverse of the queries.
        radius: Right is within this, in the traverses' unit, inclusive; a tolerance that the data
            set knows of a frame goes before.
        ground_truth: ``frame``, ``strict`` or ``lax``; see :class:`Settings`.
        searchable: (M,) how many of the first rows may answer each frame; all by default.
    """
    places, true = reference.positions, query.positions
    rows = np.array([-1 if r.matched is None else r.matched for r in results], np.int64)
    apart = np.full(len(rows), math.nan)
    answered = rows >= 0
    apart[answered] = np.linalg.norm(places[rows[answered]] - true[answered], axis=1)
    radii = query.tolerances if query.tolerances is not None else np.full(len(rows), radius)
    limits = np.full(len(rows), len(places)) if searchable is None else searchable
    right = apart <= radii
    if ground_truth != "frame":
        right = _windows_right(results, places, true, radii, strict=ground_truth == "strict")
    return FrameScores(
        skipped=[result.skipped or "" for result in results],
        reference=rows,
        distance=apart,
        score=np.array([result.score for result in results]),
        accepted=np.array([result.accepted for result in results], np.bool_),
        right=right,
        has_match=_nearest(places, true, limits) <= radii,
    )


def metrics_of(
    scores: FrameScores,
    results: Sequence[QueryResult],
    reference: Traverse,
    query: Traverse,
    *,
    radius: float,
    radii: Sequence[float],
    protocol: Protocol,
) -> dict[str, Any]:
    """Results by name: decisions, correspondence, recall, precision_recall, errors (in metres).

    Frames that warm the pipeline up are not scored, and counted in ``decisions`` by no protocol;
    their number is in the table of frames.
    """
    counted = np.array([reason != "warming-up" for reason in scores.skipped], np.bool_)
    searched = scores.searched
    decisions = MatchDecisions(protocol=protocol)
    flags = (scores.accepted, scores.right, scores.has_match)
    decisions.update(*(flag[counted] for flag in flags))
    found: dict[str, Any] = {"decisions": decisions.compute()}
    windows = CorrespondencePrecision(
        unmatched="drop" if protocol == "casevpr" else "count-as-miss"
    )
    paths, frames = _windows(results, scores.accepted)
    if len(paths):
        whole = max(1, int(radius)) if protocol == "casevpr" else radius
        windows.update(paths, frames, _truth(query, reference, whole))
        found["correspondence"] = windows.compute()
    for limit in sorted({radius, *radii}):
        recall = Recall(ks=(1,))
        recall.update(
            scores.reference[searched][:, None],
            _truth(query, reference, limit),
            np.flatnonzero(searched),
        )
        found[f"recall within {limit:g} {query.unit}"] = recall.compute()
    curve = PrecisionRecall(lower_is_better=True)
    curve.update(scores.score[searched], scores.right[searched], flags[2][searched])
    found["precision_recall"] = curve.compute()
    if query.unit == "m":
        found["errors"] = _errors(scores, reference, query)
    return found


def _truth(query: Traverse, reference: Traverse, radius: float) -> GroundTruth:
    return GroundTruth.from_positions(query.positions, reference.positions, radius, unit=query.unit)


def _errors(scores: FrameScores, reference: Traverse, query: Traverse) -> Any:
    errors = PoseErrors()
    for i in np.flatnonzero(scores.searched):
        row = int(scores.reference[i])
        errors.update(_pose(query, int(i)), _pose(reference, row) if row >= 0 else None)
    return errors.compute()


def _pose(traverse: Traverse, row: int) -> Pose:
    pose = traverse.frames[row].pose
    x, y = traverse.positions[row][:2]
    return pose if pose is not None else Pose(float(x), float(y))


def _windows(
    results: Sequence[QueryResult], accepted: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(W, T) matched rows, -1 where rejected, and (W, T) query frames of the searched windows."""
    pairs = [
        (r.path if accepted[i] else np.full(len(r.path), -1), r.window)
        for i, r in enumerate(results)
        if r.match and len(r.window) == len(r.path) and (r.window >= 0).all()
    ]
    if not pairs:
        return np.empty((0, 1), np.int64), np.empty((0, 1), np.int64)
    paths, frames = zip(*pairs, strict=True)
    return np.stack(paths), np.stack(frames)


def _windows_right(
    results: Sequence[QueryResult],
    places: NDArray[np.float64],
    true: NDArray[np.float64],
    radii: NDArray[np.float64],
    *,
    strict: bool,
) -> NDArray[np.bool_]:
    """(M,) whether all, or any, of the matched rows are near some frame of the window."""
    right = np.zeros(len(results), np.bool_)
    for i, result in enumerate(results):
        frames = result.window[result.window >= 0]
        if result.match and len(frames):
            apart = np.linalg.norm(places[result.path][:, None] - true[frames], axis=2)
            near = (apart <= radii[frames]).any(axis=1)
            right[i] = near.all() if strict else near.any()
    return right


def _nearest(
    places: NDArray[np.float64], true: NDArray[np.float64], limits: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(M,) distance to the nearest of the first rows; infinite where there is none."""
    nearest = np.full(len(true), math.inf)
    for i, (position, limit) in enumerate(zip(true, limits.tolist(), strict=True)):
        apart = np.linalg.norm(places[:limit] - position, axis=1)
        nearest[i] = np.nanmin(apart, initial=math.inf)
    return nearest


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
