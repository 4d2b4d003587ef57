"""Whether the first answer for a frame is right, in one word."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from enum import Enum

import numpy as np

from placememory.frames import Pose
from placememory.localization.estimate import Estimate
from placememory.memory import Place
from placememory.metrics.alignment import FrameCheck
from placememory.metrics.bootstrap import Interval
from placememory.metrics.place_recall import RecallResult, is_right


class Verdict(Enum):
    """What is known of a first answer."""

    RIGHT = "right"
    WRONG = "wrong"
    OFF_MAP = "off the map"
    UNKNOWN = "not judged"

    @property
    def kind(self) -> str:
        """The word that stands for it in a page's style and filters."""
        return _KINDS[self]

    @property
    def mark(self) -> str:
        """A sign that tells the verdict without its colour."""
        return _MARKS[self]

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return _WORST_FIRST.index(self)


_WORST_FIRST = (Verdict.WRONG, Verdict.OFF_MAP, Verdict.UNKNOWN, Verdict.RIGHT)
_KINDS = {
    Verdict.RIGHT: "right",
    Verdict.WRONG: "wrong",
    Verdict.OFF_MAP: "off",
    Verdict.UNKNOWN: "unknown",
}
_MARKS = {
    Verdict.RIGHT: "\N{CHECK MARK}",
    Verdict.WRONG: "\N{BALLOT X}",
    Verdict.OFF_MAP: "\N{WHITE UP-POINTING TRIANGLE}",
    Verdict.UNKNOWN: "?",
}


def judge(
    estimates: Sequence[Estimate],
    places: Sequence[Place],
    radius: float | None,
    heading: float | None = None,
) -> list[Verdict]:
    """Judge the first answer of each estimate.

    Args:
        estimates: With the true pose in ``frame.pose``, where known.
        places: All places of the memory; a frame none of them is right for is off the map.
            Without any, such a frame counts as wrong.
        radius: Metres within which an answer is right; ``None`` judges nothing.
        heading: Degrees within which its rotation must be, too.

    Returns:
        One verdict an estimate; ``UNKNOWN`` where a pose is missing on either side.

    Example:
        >>> from placememory.frames import Frame
        >>> from placememory.memory import Candidate
        >>> place = Place("run1", 0, "a.png", pose=Pose(0.0, 0.0))
        >>> far = Estimate(Frame("q.png", "run2", 0, pose=Pose(9, 0)), (Candidate(place, 0.9, 1),))
        >>> judge([far], [place], 2.0), judge([far], [], 2.0)
        ([<Verdict.OFF_MAP: 'off the map'>], [<Verdict.WRONG: 'wrong'>])
    """
    if radius is None:
        return [Verdict.UNKNOWN] * len(estimates)
    poses = [place.pose for place in places if place.pose is not None]
    positions = np.array([pose.position for pose in poses]).reshape(-1, 3)
    verdicts = []
    for estimate in estimates:
        right = estimate.rights(radius, heading)[0] if estimate.candidates else None
        true = estimate.frame.pose
        if right is None or true is None:
            verdicts.append(Verdict.UNKNOWN)
        elif right:
            verdicts.append(Verdict.RIGHT)
        else:
            near = np.flatnonzero(np.linalg.norm(positions - true.position, axis=1) <= radius)
            known = [poses[int(row)] for row in near]
            solvable = not poses or any(is_right(true, pose, radius, heading) for pose in known)
            verdicts.append(Verdict.WRONG if solvable else Verdict.OFF_MAP)
    return verdicts


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


Row = tuple[str, str, str]


def summary_rows(
    result: RecallResult | None,
    check: FrameCheck | None = None,
    verdicts: Sequence[Verdict] = (),
) -> list[Row]:
    """Rows for :func:`write_page`: what, value, and the count and interval behind it.

    Args:
        result: Recall and error; ``None`` where no true poses are known.
        check: Whether the two sessions share one map frame.
        verdicts: Of :func:`judge`, to be counted.

    Returns:
        (name, value, note) for each row.

    Example:
        >>> summary_rows(None, verdicts=[Verdict.UNKNOWN])
        [('Frames', '1', '1 not judged')]
    """
    rows: list[Row] = []
    if result is not None:
        rows += [_recall(k, interval) for k, interval in result.recalls.items()]
        rows.append(("Median error", *_metres(result.median_error)))
        if not math.isnan(result.median_heading):
            note = "of the rotation, same frames"
            rows.append(
                ("Median heading error", f"{result.median_heading:.1f}\N{DEGREE SIGN}", note)
            )
    if verdicts:
        counts = Counter(verdicts)
        parts = [f"{counts[v]:,} {v.value}" for v in Verdict if counts[v]]
        rows.append(("Frames", f"{len(verdicts):,}", ", ".join(parts)))
    if check is not None and check.differs:
        rows.append(("Warning", "map frames differ", str(check)))
    return rows


def _recall(k: int, interval: Interval) -> Row:
    name = f"Recall@{k}"
    if math.isnan(interval.value):
        return name, "\N{EN DASH}", "no frame has a true match in the memory"
    hits = round(interval.value * interval.count)
    low, high = 100 * interval.low, 100 * interval.high
    note = f"{hits:,} of {interval.count:,}; 95 % interval {low:.1f} to {high:.1f} %"
    return name, f"{100 * interval.value:.1f} %", note


def _metres(interval: Interval) -> tuple[str, str]:
    if math.isnan(interval.value):
        return "\N{EN DASH}", "no frame has a true match in the memory"
    note = f"95 % interval {interval.low:.2f} to {interval.high:.2f} m"
    return f"{interval.value:.2f} m", note
