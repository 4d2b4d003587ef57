"""The headline of a run as rows of text: recall, error, and what they were measured on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from placememory.evaluation import FrameCheck, RecallResult
from placememory.evaluation.bootstrap import Interval
from placememory.figures._verdict import Verdict

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
