"""Whether what an online run said of a frame is right, in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from placememory.localization.estimate import Estimate
from placememory.memory import Place


class Outcome(Enum):
    """What came of a frame's verdict; worst first."""

    WRONG = "located, but wrong"
    OFF_MAP = "located, but off the map"
    UNKNOWN = "located, not judged"
    SILENT = "not located"
    REFUSED = "off the map, not located"
    RIGHT = "located and right"

    @property
    def kind(self) -> str:
        """The word that stands for it in a page's style and filters."""
        return _KINDS[self]

    @property
    def mark(self) -> str:
        """A sign that tells the outcome without its colour."""
        return _MARKS[self]

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Outcome).index(self)


_KINDS = {
    Outcome.WRONG: "wrong",
    Outcome.OFF_MAP: "off",
    Outcome.UNKNOWN: "unknown",
    Outcome.SILENT: "silent",
    Outcome.REFUSED: "refused",
    Outcome.RIGHT: "right",
}
_MARKS = {
    Outcome.WRONG: "\N{BALLOT X}",
    Outcome.OFF_MAP: "\N{BLACK UP-POINTING TRIANGLE}",
    Outcome.UNKNOWN: "?",
    Outcome.SILENT: "\N{EN DASH}",
    Outcome.REFUSED: "\N{WHITE UP-POINTING TRIANGLE}",
    Outcome.RIGHT: "\N{CHECK MARK}",
}


def outcomes(
    estimates: Sequence[Estimate], places: Sequence[Place], radius: float | None
) -> list[Outcome]:
    """Judge the verdict of each estimate.

    Args:
        estimates: With the true pose in ``frame.pose``, where known.
        places: All places of the memory; a frame with none within the radius is off the map.
        radius: Metres within which an answer is right; ``None`` judges nothing.

    Returns:
        One outcome an estimate.

    Example:
        >>> from placememory.frames import Frame
        >>> outcomes([Estimate(Frame("q.png", "run2", 0), ())], [], 2.0)
        [<Outcome.SILENT: 'not located'>]
    """
    known = [place.pose.position for place in places if place.pose is not None]
    positions = np.array(known).reshape(-1, 3)
    return [_outcome(estimate, positions, radius) for estimate in estimates]


def _outcome(estimate: Estimate, positions: NDArray[np.float64], radius: float | None) -> Outcome:
    true, found = estimate.frame.pose, estimate.likely_pose
    off = False
    if radius is not None and true is not None and len(positions):
        off = bool((np.linalg.norm(positions - true.position, axis=1) > radius).all())
    if estimate.verdict != "located":
        return Outcome.REFUSED if off else Outcome.SILENT
    if radius is None or true is None or found is None:
        return Outcome.UNKNOWN
    if off:
        return Outcome.OFF_MAP
    return Outcome.RIGHT if true.distance_to(found) <= radius else Outcome.WRONG
