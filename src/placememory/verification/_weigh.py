"""How a check becomes evidence for the fusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from placememory.errors import InputError
from placememory.fusion import Evidence
from placememory.verification._verified import FLOOR, Verified

GAIN = 0.5
"""Spreads of similarity that half the inliers of the best cost."""

MOST = 2.0
"""Spreads of similarity that a check costs a candidate at most."""


def weigh(
    evidence: Evidence,
    verified: Sequence[Verified],
    *,
    floor: int = FLOOR,
    gain: float = GAIN,
    most: float = MOST,
) -> Evidence:
    """The evidence of a frame, its look-alikes made weaker by geometry.

    Where the best pair has at least ``floor`` inliers, every other candidate that was checked loses
    ``gain`` log2(best / its inliers) spreads of similarity, at most ``most``. Nothing gains: so
    chance inliers make no place likely that does not look like the frame, and off the map nothing
    is added. What was not checked keeps its similarity.

    Args:
        evidence: Of the frame, with the rows of the candidates by their rank.
        verified: The candidates, in any order.
        floor: Inliers below which a pair says nothing.
        gain: Spreads for each halving of inliers.
        most: Spreads at most.

    Raises:
        InputError: A candidate's rank is not among the rows of the evidence.

    Example:
        >>> import numpy as np
        >>> from placememory.memory import Candidate, Place
        >>> rows = [Verified(Candidate(Place("run", i, ""), 0.5, i + 1), 99, n)
        ...         for i, n in enumerate((20, 80))]
        >>> frame = Evidence(np.array([4, 7]), np.array([0.5, 0.5]), level=(0.1, 0.1))
        >>> weigh(frame, rows).similarities.round(2).tolist()
        [0.4, 0.5]
    """
    checked = [row for row in verified if row.checked]
    best = max((row.inliers for row in checked), default=0)
    if best < floor:
        return evidence
    if max(row.candidate.rank for row in checked) > len(evidence.rows):
        raise InputError("the candidates have ranks that the rows of the evidence have not")
    spread = evidence.usual()[1]
    similarities = evidence.similarities.copy()
    column = None if evidence.column is None else evidence.column.copy()
    for row in checked:
        at = row.candidate.rank - 1
        cost = spread * min(most, gain * math.log2(best / max(1, row.inliers)))
        similarities[at] -= cost
        if column is not None:
            column[evidence.rows[at]] -= cost
    level = evidence.level if evidence.column is None else evidence.usual()
    return replace(evidence, similarities=similarities, column=column, level=level)
