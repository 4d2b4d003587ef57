"""Greedy clusters of votes: one vote per frame and hypothesis."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from placememory._types import Bools, Floats, Rows


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


def clusters(
    near: Bools,
    alike: Bools,
    weights: Floats,
    frame: Rows,
    *,
    by_support: bool,
    tie: Rows,
    most: int = 5,
) -> list[Cluster]:
    """Take the vote whose neighbourhood has the highest score, drop what is alike, repeat.

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
        >>> found = clusters(same, same, np.array([1.0, 2.0, 2.5]), np.array([0, 1, 1]),
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
