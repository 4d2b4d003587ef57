"""An online run over time: probability of the best hypothesis, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from placememory.figures.outcomes import judge
from placememory.figures.style import (
    COLOURS,
    LINE,
    VERDICT_COLOURS,
    VERDICT_MARKERS,
    headline,
    legend_below,
    new_figure,
    with_style,
)
from placememory.localization.estimate import Estimate
from placememory.memory import Place
from placememory.metrics import Outcome

_SHADE = "#e8ebee"


@with_style
def draw_timeline(
    estimates: Sequence[Estimate], places: Sequence[Place] = (), *, radius: float | None = None
) -> Figure:
    """Draw probability and verdict of each frame; crosses mark located frames that are wrong.

    Args:
        estimates: With beliefs.
        places: All places of the memory; frames that none of them is near are shaded.
        radius: Metres within which an answer is correct; ``None`` marks nothing.

    Returns:
        A Matplotlib figure.
    """
    figure = new_figure(9.0, 3.4)
    axes = figure.subplots()
    frames = np.arange(len(estimates))
    chances, label = _heights(estimates)
    outcomes = judge(estimates, places, radius)
    handles: list[object] = []
    off = [i for i, o in enumerate(outcomes) if o in (Outcome.OFF_MAP, Outcome.REJECTED)]
    for frame in off:
        axes.axvspan(frame - 0.5, frame + 0.5, color=_SHADE, linewidth=0, zorder=0)
    axes.plot(frames, chances, color=LINE, linewidth=0.8, zorder=1)
    for verdict, colour in VERDICT_COLOURS.items():
        members = np.array([e.verdict == verdict for e in estimates], np.bool_)
        if members.any():
            look: dict[str, Any] = {"marker": VERDICT_MARKERS[verdict], "color": colour}
            axes.scatter(frames[members], chances[members], s=16, zorder=2, **look)
            count = f"{verdict} ({int(members.sum()):,})"
            handles.append(Line2D([], [], linestyle="none", label=count, **look))
    wrong = [i for i, o in enumerate(outcomes) if o in (Outcome.WRONG, Outcome.OFF_MAP)]
    if wrong:
        look = {"marker": "x", "color": COLOURS[Outcome.WRONG]}
        axes.scatter(frames[wrong], chances[wrong], s=46, zorder=3, **look)
        count = f"located, but wrong ({len(wrong):,})"
        handles.append(Line2D([], [], linestyle="none", label=count, **look))
    if off:
        handles.append(Patch(color=_SHADE, label=f"off the map ({len(off):,})"))
    axes.set(xlabel="frame", ylabel=label, ylim=(-0.03, 1.05))
    axes.set_xlim(-1, max(1, len(estimates)))
    headline(axes, "How sure, frame by frame", f"{label} of the best hypothesis")
    legend_below(axes, handles, columns=6)
    return figure


def _heights(estimates: Sequence[Estimate]) -> tuple[NDArray[np.float64], str]:
    """How sure each frame is, and what that is; where a method has no probability, its weights."""
    if any(e.probability is not None for e in estimates):
        return np.array([e.probability or 0.0 for e in estimates]), "probability"
    best = [None if e.belief is None else e.belief.best for e in estimates]
    return np.array([0.0 if b is None else b.weight for b in best]), "weight"
