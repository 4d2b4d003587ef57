"""A query traverse against its reference: which frame was matched to which."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from placememory._types import Bools, Rows
from placememory.figures.style import (
    COLOURS,
    MARKERS,
    headline,
    legend_below,
    new_figure,
    with_style,
)
from placememory.metrics import Outcome

_WORDS = {
    Outcome.MISSED: "not accepted",
    Outcome.OFF_MAP: "answered off the map",
    Outcome.WRONG: "wrong",
    Outcome.CORRECT: "correct",
}


@with_style
def draw_sequence(
    reference: Rows, correct: Bools, accepted: Bools, has_match: Bools, *, title: str
) -> Figure:
    """Matched reference row over query frame: a path where all is well, a cloud where it is not.

    Args:
        reference: (M,) matched rows; -1 where there is no answer.
        correct: (M,) whether they are correct.
        accepted: (M,) whether they were accepted.
        has_match: (M,) whether the reference holds the place at all.
        title: Above the figure.

    Returns:
        A Matplotlib figure.
    """
    figure = new_figure(7.2, 4.6)
    axes = figure.subplots()
    given = accepted & (reference >= 0)
    groups = {
        Outcome.MISSED: (reference >= 0) & ~accepted,
        Outcome.OFF_MAP: given & ~has_match,
        Outcome.WRONG: given & has_match & ~correct,
        Outcome.CORRECT: given & correct,
    }
    frames = np.arange(len(reference))
    handles: list[object] = []
    for outcome, members in groups.items():
        if members.any():
            look: dict[str, Any] = {"color": COLOURS[outcome], "marker": MARKERS[outcome], "ls": ""}
            axes.plot(frames[members], reference[members], markersize=3.2, **look)
            label = f"{_WORDS[outcome]}: {int(members.sum())}"
            handles.append(Line2D([], [], markersize=5.0, label=label, **look))
    axes.set(xlabel="query frame", ylabel="matched reference frame", xlim=(-1, len(reference)))
    share = correct[given].mean() if given.any() else 0.0
    none = int((reference < 0).sum())
    note = f"{100 * share:.1f} % of the accepted answers are correct; {none} frames have no answer"
    headline(axes, title, note)
    if handles:
        legend_below(axes, handles[::-1], columns=4)
    return figure
