"""A query traverse against its reference: which frame was matched to which, and the curve of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from placememory.figures.style import (
    COLOURS,
    LINE,
    MARKERS,
    headline,
    legend_below,
    new_figure,
    styled,
)
from placememory.figures.verdict import Verdict

if TYPE_CHECKING:
    from placememory.metrics.curves import PrecisionRecallResult

_LABELS = {
    Verdict.RIGHT: "right",
    Verdict.WRONG: "wrong",
    Verdict.OFF_MAP: "answered off the map",
    Verdict.UNKNOWN: "not accepted",
}


@styled
def draw_sequence(
    reference: NDArray[np.int64],
    right: NDArray[np.bool_],
    accepted: NDArray[np.bool_],
    has_match: NDArray[np.bool_],
    *,
    title: str,
) -> Figure:
    """Matched reference row over query frame: a path where all is well, a cloud where it is not.

    Args:
        reference: (M,) matched rows; -1 where there is no answer.
        right: (M,) whether they are right.
        accepted: (M,) whether they were accepted.
        has_match: (M,) whether the reference holds the place at all.
        title: Above the figure.

    Returns:
        A Matplotlib figure.
    """
    figure = new_figure(7.2, 4.6)
    axes = figure.subplots()
    answered = reference >= 0
    groups = {
        Verdict.UNKNOWN: answered & ~accepted,
        Verdict.OFF_MAP: answered & accepted & ~has_match,
        Verdict.WRONG: answered & accepted & has_match & ~right,
        Verdict.RIGHT: answered & accepted & right,
    }
    frames = np.arange(len(reference))
    handles: list[object] = []
    for verdict, members in groups.items():
        if members.any():
            look: dict[str, Any] = {
                "color": COLOURS[verdict],
                "marker": MARKERS[verdict],
                "linestyle": "none",
            }
            axes.plot(frames[members], reference[members], markersize=3.2, **look)
            label = f"{_LABELS[verdict]}: {int(members.sum())}"
            handles.append(Line2D([], [], markersize=5.0, label=label, **look))
    axes.set(xlabel="query frame", ylabel="matched reference frame", xlim=(-1, len(reference)))
    share = right[answered & accepted].mean() if (answered & accepted).any() else 0.0
    none = int((~answered).sum())
    note = f"{100 * share:.1f} % of the accepted answers are right; {none} frames without an answer"
    headline(axes, title, note)
    if handles:
        legend_below(axes, handles[::-1], columns=4)
    return figure


@styled
def draw_precision_recall(result: PrecisionRecallResult, *, title: str) -> Figure:
    """Precision over recall, with the recall that is reached before the first wrong answer.

    Args:
        result: Of :class:`placememory.metrics.PrecisionRecall`.
        title: Above the figure.

    Returns:
        A Matplotlib figure.
    """
    figure = new_figure(7.2, 4.4)
    axes = figure.subplots()
    recall = np.concatenate([[0.0], result.recall])
    precision = np.concatenate([result.precision[:1], result.precision])
    axes.plot(100 * recall, 100 * precision, color="#0072b2", linewidth=1.8)
    full = 100 * result.recall_at_full_precision
    axes.axvline(full, color=LINE, linewidth=0.9, linestyle="--")
    axes.set(xlabel="recall [%]", ylabel="precision [%]", xlim=(0, 101), ylim=(0, 102))
    average = result.average_precision
    note = (
        f"average precision {100 * average.value:.1f} % [{100 * average.low:.1f}, "
        f"{100 * average.high:.1f}]; recall at 100 % precision {full:.1f} % (dashed)"
    )
    headline(axes, title, note)
    return figure
