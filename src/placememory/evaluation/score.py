"""Score the answers of a system: one row a frame, and every metric with its protocol."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from placememory._types import Bools, Floats
from placememory.evaluation.config import DatasetConfig
from placememory.evaluation.online import Answers
from placememory.evaluation.plan import Question, truth_of
from placememory.frames import Pose
from placememory.metrics import (
    CorrespondencePrecision,
    GroundTruth,
    LocatedFrames,
    MatchDecisions,
    Outcome,
    PoseErrors,
    PrecisionRecall,
    Recall,
    block_bootstrap,
    pose_error,
)

COLUMNS = (
    "frame", "name", "skipped", "reference", "reference_name", "distance", "score", "answered",
    "correct", "on_map", "counted", "outcome", "verdict", "probability", "rank",
)  # fmt: skip
KS = (1, 5, 10)


class Scores:
    """Answers beside the truth.

    Args:
        answers: Of M query frames, or of the first M where the published code stops early.
        question: Map, queries and truth.
        ground_truth: ``frame``, ``strict`` or ``lax``; see :class:`Settings`.

    Attributes:
        correct: (M,) bool, whether the answer, given or held back, is correct.
        on_map: (M,) bool, whether the map has a correct place.
        distance: (M,) float64 from the answer to the truth; NaN where there is none.
        searched: (M,) bool.
        counted: (M,) bool: searched, with a known truth, not at the edge of a hidden stretch.
    """

    def __init__(self, answers: Answers, question: Question, ground_truth: str = "frame") -> None:
        self.answers, self.question = answers, question
        truth, count = question.truth, len(answers)
        frames = np.arange(count)
        self.on_map: Bools = truth.on_map(_limits(answers, truth))[:count]
        self.distance: Floats = truth.distance(answers.rows, frames)
        self.correct: Bools = truth.correct(answers.rows, frames)
        if answers.beliefs is not None:
            for i, pose in enumerate(answers.poses):
                known = truth.is_pose_correct(i, pose)
                if known is not None:
                    self.correct[i] = known and self.on_map[i]
                    self.distance[i] = truth.error(i, pose)
        if ground_truth != "frame":
            self.correct = _windows_correct(answers, truth, strict=ground_truth == "strict")
        self.searched: Bools = np.array([not reason for reason in answers.skipped], np.bool_)
        self.counted: Bools = self.searched & question.counted[:count] & truth.known[:count]

    def rows(self) -> list[list[Any]]:
        """A table with :data:`COLUMNS`; what is not known is ``None``."""
        answers, question = self.answers, self.question
        ranks = self._ranks()
        names = [question.reference.frames[row].name for row in question.rows.tolist()]
        return [
            [
                i,
                question.query.frames[i].name,
                answers.skipped[i] or None,
                int(question.rows[row]) if row >= 0 else None,
                names[row] if row >= 0 else None,
                _finite(self.distance[i]),
                _finite(answers.scores[i]),
                int(answers.answered[i]),
                int(self.correct[i]),
                int(self.on_map[i]),
                int(self.counted[i]),
                self.outcome(i).value,
                *_belief_cells(answers, i),
                ranks[i],
            ]
            for i, row in enumerate(answers.rows.tolist())
        ]

    def _ranks(self) -> list[int | None]:
        """Rank of the first correct candidate, from 1; ``None`` where there is none.

        In a single session, whose map grows, none is given.
        """
        answers = self.answers
        if answers.limits is not None or not answers.candidates.shape[1]:
            return [None] * len(answers)
        correct = self.question.truth.correct(answers.candidates, np.arange(len(answers)))
        first = np.where(correct.any(axis=1), correct.argmax(axis=1) + 1, 0)
        return [rank or None for rank in first.tolist()]

    def outcome(self, i: int) -> Outcome:
        """Of one frame."""
        known = bool(self.question.truth.known[i])
        return Outcome.of(
            answered=bool(self.answers.answered[i]),
            correct=bool(self.correct[i]) if known else None,
            on_map=bool(self.on_map[i]) if known else None,
        )

    def metrics(self, dataset: DatasetConfig, protocol: str = "default") -> dict[str, Any]:
        """Results by name, each with its protocol.

        Frames that warm the matcher up are not scored; their number is in the table of frames.
        """
        answers, question, used = self.answers, self.question, self.counted
        truth, frames = question.truth, np.flatnonzero(self.counted)
        warm = np.array([reason != "warming-up" for reason in answers.skipped], np.bool_)
        judged = warm & question.counted[: len(answers)]
        decisions = MatchDecisions(protocol="casevpr" if protocol == "casevpr" else "default")
        correct = self.correct if protocol == "casevpr" else self.correct & self.on_map
        decisions.update(answers.answered[judged], correct[judged], self.on_map[judged])
        found: dict[str, Any] = {"decisions": decisions.compute()}
        for limit in _radii(dataset, truth):
            at = truth if limit == truth.radius else self._truth_at(dataset, limit)
            recall = Recall(KS)
            if answers.limits is None:
                recall.update(_deep(answers.candidates[frames], truth.places), at, frames)
                label = "candidates" if limit is None else f"candidates within {limit:g} {at.unit}"
                found[label] = recall.compute()
        curve = PrecisionRecall(lower_is_better=True)
        curve.update(answers.scores[used], correct[used] & self.on_map[used], self.on_map[used])
        found["precision_recall"] = curve.compute()
        if answers.paths:
            windows = CorrespondencePrecision(
                unmatched="drop" if protocol == "casevpr" else "count-as-miss"
            )
            windows.update(*self._windows(), truth)
            found["correspondence"] = windows.compute()
        if answers.beliefs is not None:
            found["located"] = self._score_located()
        placed = [i for i in frames.tolist() if question.query.pose_of(i) is not None]
        if question.query.unit == "m" and placed:
            found["errors"] = self._errors(placed)
        return found

    def recall_at_1(self) -> dict[str, Any]:
        """Share of the counted frames on the map whose answer, given or held back, is correct."""
        counted = self.counted & self.on_map
        found = block_bootstrap(self.correct[counted].astype(np.float64))
        return {"counted": int(counted.sum()), **found.to_dict()}

    def _truth_at(self, dataset: DatasetConfig, radius: float | None) -> GroundTruth:
        question = self.question
        whole = truth_of(dataset, question.query, question.reference, radius)
        hidden = np.setdiff1d(np.arange(len(question.reference)), question.rows)
        return whole.without(hidden)[0] if len(hidden) else whole

    def _windows(self) -> tuple[Any, Any]:
        """(W, T) matched rows, -1 where rejected, and (W, T) query frames of the windows."""
        answered = self.answers.answered
        used = [
            (path if answered[i] else np.full(len(path), -1), frames)
            for i, path, frames in self.answers.paths
            if self.question.counted[i] and (frames >= 0).all()
        ]
        if not used:
            return np.empty((0, 1), np.int64), np.empty((0, 1), np.int64)
        paths, windows = zip(*used, strict=True)
        return np.stack(paths), np.stack(windows)

    def _score_located(self) -> Any:
        answers, metric = self.answers, LocatedFrames(self.question.truth.rule)
        for i, estimate in enumerate(answers.estimates):
            belief = estimate.belief
            if belief and self.question.counted[i] and self.question.truth.known[i]:
                metric.update(
                    located=belief.verdict == "located",
                    probability=belief.probability,
                    correct=bool(self.correct[i]),
                    on_map=bool(self.on_map[i]),
                    error=float(self.distance[i]),
                    pose_error=pose_error(self._true_pose(i), estimate.hypothesis),
                    covariance=estimate.covariance,
                )
        return metric.compute()

    def _true_pose(self, i: int) -> Pose | None:
        return self.question.query.pose_of(i) if self.question.query.unit == "m" else None

    def _errors(self, frames: list[int]) -> Any:
        """Of the answers that were given; frames without one count as not answered."""
        errors, question = PoseErrors(), self.question
        for i in frames:
            true = question.query.pose_of(i)
            assert true is not None
            row = int(self.answers.rows[i])
            found = self.answers.poses[i] if self.answers.beliefs is not None else None
            if found is None and row >= 0:
                found = question.reference.pose_of(int(question.rows[row]))
            errors.update(true, found if self.answers.answered[i] else None)
        return errors.compute()


def _limits(answers: Answers, truth: GroundTruth) -> Any:
    """(M,) how many of the first places may answer each query of the truth."""
    if answers.limits is None:
        return None
    missing = len(truth) - len(answers.limits)
    return np.concatenate([answers.limits, np.zeros(missing, np.int64)])


def _windows_correct(answers: Answers, truth: GroundTruth, *, strict: bool) -> Bools:
    """(M,) whether all, or any, of the matched rows are correct for some frame of the window."""
    correct = np.zeros(len(answers), np.bool_)
    for i, path, frames in answers.paths:
        valid = frames[frames >= 0]
        if len(valid):
            pairs = np.broadcast_to(path, (len(valid), len(path)))
            near = truth.correct(pairs, valid).any(axis=0)
            correct[i] = near.all() if strict else near.any()
    return correct


def _radii(dataset: DatasetConfig, truth: GroundTruth) -> list[float | None]:
    if math.isnan(truth.radius):
        return [None]
    return sorted({dataset.radius, *dataset.radii})  # type: ignore[return-value]


def _deep(candidates: Any, places: int) -> Any:
    """Candidates with enough columns for the largest k."""
    wanted = min(KS[-1], places) - candidates.shape[1]
    if wanted <= 0:
        return candidates
    return np.pad(candidates, ((0, 0), (0, wanted)), constant_values=-1)


def _belief_cells(answers: Answers, i: int) -> list[Any]:
    belief = None if answers.beliefs is None else answers.beliefs[i]
    return [None, None] if belief is None else [belief.verdict, _rounded(belief.probability)]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
