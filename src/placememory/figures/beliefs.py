"""An online run on the map: which frames were located, ambiguous or unknown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from placememory.figures.map import map_sheet, positions
from placememory.figures.outcomes import judge
from placememory.figures.style import (
    COLOURS,
    INK,
    PALE,
    VERDICT_COLOURS,
    VERDICT_MARKERS,
    headline,
    legend_below,
    with_style,
)
from placememory.localization.estimate import Estimate
from placememory.maps import OccupancyGrid
from placememory.memory import Place
from placememory.metrics import Outcome

_SIZE = 34.0


@with_style
def draw_beliefs(
    estimates: Sequence[Estimate],
    places: Sequence[Place] = (),
    *,
    grid: OccupancyGrid | None = None,
    radius: float | None = None,
    title: str = "Verdicts on the map",
) -> Figure:
    """Draw each frame by its verdict, at its true position or, without one, its likeliest one.

    Args:
        estimates: With beliefs; where frames have true poses, their path is drawn as a line.
        places: All places of the memory, in grey.
        grid: The map under them.
        radius: Metres within which an answer is correct; a line leads to each located answer that
            is not. ``None`` marks nothing.
        title: First line.

    Returns:
        A figure whose axes are metres in the map frame.
    """
    shown = [e for e in estimates if e.verdict and (e.frame.pose or e.hypothesis)]
    ground = positions([place.pose for place in places])
    points = positions([e.frame.pose or e.hypothesis for e in shown])
    true = positions([e.frame.pose for e in estimates])
    sheet = map_sheet(grid, np.concatenate([ground, points]))
    axes = sheet.axes
    axes.scatter(ground[:, 0], ground[:, 1], s=22, color=PALE, linewidths=0, zorder=1)
    axes.plot(true[:, 0], true[:, 1], color=INK, linewidth=0.6, alpha=0.6, zorder=2)
    handles: list[object] = []
    for verdict, colour in VERDICT_COLOURS.items():
        x, y = points[[e.verdict == verdict for e in shown]].T
        if len(x):
            marker, label = VERDICT_MARKERS[verdict], f"{verdict} ({len(x):,})"
            axes.scatter(x, y, s=_SIZE, color=colour, marker=marker, ec="white", lw=0.5, zorder=4)
            handles.append(
                Line2D([], [], ls="", ms=6, marker=marker, color=colour, mec="white", label=label)
            )
    lines = [
        [(e.frame.pose.x, e.frame.pose.y), (e.hypothesis.x, e.hypothesis.y)]
        for e, outcome in zip(estimates, judge(estimates, places, radius), strict=True)
        if outcome in (Outcome.WRONG, Outcome.OFF_MAP) and e.frame.pose and e.hypothesis
    ]
    if lines:
        colour = COLOURS[Outcome.WRONG]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=1.2, zorder=3))
        handles.append(
            Line2D([], [], color=colour, label=f"from there to a wrong answer ({len(lines):,})")
        )
    handles.append(Line2D([], [], ls="", marker="o", ms=5, color=PALE, label="place in the memory"))
    located = sum(e.verdict == "located" for e in estimates)
    where = "each at its true position" if len(true) else "each at its likeliest position"
    headline(axes, title, f"{located:,} of {len(estimates):,} frames located; {where}")
    legend_below(axes, handles, int(sheet.width / 1.6))
    return sheet.figure
