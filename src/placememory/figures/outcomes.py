"""Outcomes of the answers of a run, as figures and pages colour and count them."""

from __future__ import annotations

from collections.abc import Sequence

from placememory import localization
from placememory.frames import Pose
from placememory.localization.estimate import Estimate
from placememory.memory import Place
from placememory.metrics import GroundTruth, Outcome

FUSED_WORDS = {
    Outcome.WRONG: "located wrongly",
    Outcome.OFF_MAP: "located off the map",
    Outcome.NOT_JUDGED: "located, not judged",
    Outcome.MISSED: "not located",
    Outcome.REJECTED: "not located, off the map",
    Outcome.CORRECT: "located correctly",
}
"""Outcomes of verdicts, in words."""
ALONE_WORDS = {outcome: outcome.value for outcome in Outcome}
"""Outcomes of first candidates, in words."""


def judge(
    estimates: Sequence[Estimate],
    places: Sequence[Place],
    radius: float | None,
    heading: float | None = None,
    *,
    alone: bool = False,
) -> list[Outcome]:
    """Outcome of each estimate: of its verdict or, where it has none, of its first candidate.

    Args:
        estimates: With the true pose in ``frame.pose``, where known.
        places: All places of the memory, to decide whether a frame is on the map; where none has
            a pose, every frame counts as on it.
        radius: Metres within which an answer is correct; ``None`` judges nothing.
        heading: Degrees within which its rotation must be, too.
        alone: Judge the first candidate of every estimate.

    Example:
        >>> from placememory.frames import Frame
        >>> from placememory.memory import Candidate
        >>> place = Place("run1", 0, "a.png", pose=Pose(0.0, 0.0))
        >>> far = Estimate(Frame("q.png", "run2", 0, pose=Pose(9, 0)), (Candidate(place, 0.9, 1),))
        >>> judge([far], [place], 2.0), judge([far], [], 2.0)
        ([<Outcome.OFF_MAP: 'off the map'>], [<Outcome.WRONG: 'wrong'>])
    """
    known = [place.pose for place in places if place.pose is not None]
    true = [None if radius is None else estimate.frame.pose for estimate in estimates]
    truth = GroundTruth.from_poses(true, known, 1.0 if radius is None else radius, heading=heading)
    return localization.judge(estimates, truth, alone=alone)


def judge_candidates(
    estimate: Estimate, radius: float | None, heading: float | None = None
) -> list[bool | None]:
    """Whether each candidate is correct; ``None`` where a pose or the radius is missing."""
    return (
        [None] * len(estimate.candidates)
        if radius is None
        else estimate.judge_candidates(radius, heading)
    )


def error(true: Pose | None, found: Pose | None) -> float | None:
    """Metres between two poses; ``None`` where one is missing."""
    return None if true is None or found is None else true.distance_to(found)


def metres(distance: float | None) -> str:
    """A distance as text, with as many digits as matter; empty for ``None``.

    Example:
        >>> metres(0.417), metres(25.04), metres(1234.5), metres(None)
        ('0.42 m', '25.0 m', '1234 m', '')
    """
    if distance is None:
        return ""
    return f"{distance:.{2 if distance < 10 else 1 if distance < 100 else 0}f} m"
