"""Shared by the window methods: the last frames' votes, moved to where the robot is now."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from placememory._types import Bools, Floats, Rows
from placememory.fusion._belief import Belief, Hypothesis, Verdict
from placememory.fusion._evidence import Evidence, Odometry
from placememory.fusion._motion import Clock, move_poses
from placememory.fusion._places import PlaceTable


@dataclass(frozen=True, slots=True)
class Votes:
    """Candidates of one frame, heaviest first, ties by session and order.

    Attributes:
        rows: (K,) rows of the table.
        weights: (K,) normalised similarities, at least 0.
        positions: (K, 2 or 3) where the robot would be now, NaN where unknown.
        yaw: (K,) the same for the heading.
        trust: (K,) halved with each later frame that came without odometry: where the robot would
            be now is less and less known. It weighs positions, never votes.
    """

    rows: Rows
    weights: Floats
    positions: Floats
    yaw: Floats
    trust: Floats

    def take(self, use: NDArray[np.bool_]) -> Votes:
        """Some of the votes."""
        return Votes(
            self.rows[use],
            self.weights[use],
            self.positions[use],
            self.yaw[use],
            self.trust[use],
        )


class VoteWindow:
    """The votes of the last frames. An empty frame counts as a frame without votes.

    Args:
        places: The map.
        window: Frames to keep.
        candidates: Votes to keep of a frame.
    """

    def __init__(self, places: PlaceTable, window: int, candidates: int) -> None:
        self.places = places
        self.window, self.candidates = window, candidates
        self._rank = np.argsort(places.chain())
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self.frames: deque[Votes] = deque(maxlen=self.window)
        self._clock = Clock()

    def push(self, evidence: Evidence, odometry: Odometry | None) -> None:
        """Move the older votes and add the newest; where the clock restarted, start again.

        Raises:
            InputError: Rows are not of this map, or the stamp is late; nothing changed.
        """
        evidence.check_rows(len(self.places))
        self._clock.check(evidence.stamp)
        if self._clock.restarts(evidence.stamp):
            self.reset()
        still = self._clock.tick(evidence.stamp) == 0
        for i, votes in enumerate(self.frames):
            if odometry is not None:
                there, yaw = move_poses(votes.positions, votes.yaw, odometry)
                self.frames[i] = replace(votes, positions=there, yaw=yaw)
            elif not still:
                self.frames[i] = replace(votes, trust=0.5 * votes.trust)
        self.frames.append(self._votes(evidence))

    def _votes(self, evidence: Evidence) -> Votes:
        weights = evidence.weights()
        best = np.lexsort((self._rank[evidence.rows], -weights))
        _, first = np.unique(evidence.rows[best], return_index=True)  # a row votes once
        best = best[np.sort(first)][: self.candidates]
        rows = evidence.rows[best]
        place, yaw = self.places.positions[rows], self.places.yaw[rows]
        return Votes(rows, weights[best], place, yaw, np.ones(len(rows)))

    @property
    def voting_frames(self) -> int:
        """How many frames of the window have votes."""
        return sum(1 for votes in self.frames if len(votes.rows))

    def flat(self) -> tuple[Votes, Rows]:
        """All votes of the window as one, and the number of the frame of each."""
        dim = self.places.positions.shape[1]
        empty = Votes(
            np.zeros(0, np.int64), np.zeros(0), np.zeros((0, dim)), np.zeros(0), np.zeros(0)
        )
        frames = [*self.frames, empty]
        frame = np.repeat(np.arange(len(frames)), [len(votes.rows) for votes in frames])
        return Votes(
            np.concatenate([votes.rows for votes in frames]),
            np.concatenate([votes.weights for votes in frames]),
            np.concatenate([votes.positions for votes in frames]),
            np.concatenate([votes.yaw for votes in frames]),
            np.concatenate([votes.trust for votes in frames]),
        ), frame


@dataclass(frozen=True, slots=True)
class Rule:
    """When the best hypothesis of a window is trusted.

    Attributes:
        warm_up: Frames before there is an answer.
        support: Share of the frames that must vote for it, and one frame more.
        ratio: The second score over the first must not be above.
        level: Normalised similarity, mean over the frames, that the hypothesis must reach.
    """

    warm_up: int
    support: float
    ratio: float
    level: float

    def verdict(
        self, frames: int, support: int, score: float, ambiguity: float
    ) -> tuple[Verdict, str]:
        """The verdict on the best hypothesis, and its reason; ``score`` is its sum of weights."""
        if frames < self.warm_up:
            return "warming-up", ""
        if support < min(frames, math.ceil(self.support * frames) + 1):
            return "unknown", f"only {support} of {frames} frames agree"
        if score < self.level * frames:
            return "unknown", ""
        return "ambiguous" if ambiguity > self.ratio else "located", ""


def believe(
    rule: Rule,
    window: VoteWindow,
    hypotheses: list[Hypothesis],
    scores: list[float],
    supports: list[int],
    covariance: Floats | None = None,
    **extra: float | None,
) -> Belief:
    """The belief of a window method; hypotheses best first with their scores and supports."""
    frames = window.voting_frames
    if not hypotheses or scores[0] <= 0:
        early: Verdict = "warming-up" if len(window.frames) < rule.warm_up else "unknown"
        return Belief(early, (), None, 0.0, None, frames)
    second = scores[1] if len(scores) > 1 else 0.0
    ambiguity = min(1.0, second / scores[0])
    verdict, reason = rule.verdict(len(window.frames), supports[0], scores[0], ambiguity)
    return Belief(
        verdict,
        tuple(hypotheses),
        None,
        ambiguity,
        None,
        frames,
        covariance,
        **extra,
        reason=reason,
    )


class Cluster(NamedTuple):
    """Votes that say the same.

    Attributes:
        centre: Number of the vote it is built round.
        score: Sum over the frames of the heaviest vote of each.
        support: Frames that vote for it.
        members: (V,) weight of each vote that counts, 0 elsewhere.
    """

    centre: int
    score: float
    support: int
    members: Floats


def find_clusters(
    near: Bools,
    alike: Bools,
    weights: Floats,
    frame: Rows,
    *,
    by_support: bool,
    tie: Rows,
    most: int = 5,
) -> list[Cluster]:
    """Take the vote whose neighbourhood has the highest score, drop the votes near it, repeat.

    Args:
        near: (V, V) bool: whether the vote of a column counts for that of a row.
        alike: (V, V) bool: whether two votes are no distinct hypotheses.
        weights: (V,) at least 0.
        frame: (V,) number of the frame of each vote, increasing.
        by_support: Whether frames count before their weights.
        tie: (V,) decides where all else is equal, lowest first.
        most: Clusters to find.

    Example:
        >>> same = np.eye(3, dtype=bool) | np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=bool)
        >>> found = find_clusters(same, same, np.array([1.0, 2.0, 2.5]), np.array([0, 1, 1]),
        ...                  by_support=False, tie=np.arange(3))
        >>> [(c.score, c.support) for c in found]
        [(3.0, 2), (2.5, 1)]
    """
    found: list[Cluster] = []
    alive = weights > 0
    starts = np.flatnonzero(np.diff(frame, prepend=-1))
    while alive.any() and len(found) < most:
        counted = np.where(near & alive, weights, 0.0)
        by_frame = np.maximum.reduceat(counted, starts, axis=1)
        score = np.where(alive, by_frame.sum(axis=1), -1.0).round(9)  # sums in any order agree
        support = np.where(alive, (by_frame > 0).sum(axis=1), -1)
        first = support if by_support else score
        best = int(np.lexsort((tie, -weights, -score, -first))[0])
        ends = np.append(starts[1:], len(weights))
        heaviest = np.repeat(by_frame[best], ends - starts)
        members = np.where((counted[best] > 0) & (counted[best] == heaviest), counted[best], 0.0)
        found.append(Cluster(best, float(by_frame[best].sum()), int(support[best]), members))
        alive &= ~alike[best]
    return found
