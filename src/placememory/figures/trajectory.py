"""A whole localised run on the map: where it was right, where wrong, where off the map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from placememory.figures.map import map_sheet, positions
from placememory.figures.style import (
    COLOURS,
    INK,
    MARKERS,
    PALE,
    counted,
    headline,
    legend_below,
    styled,
)
from placememory.figures.verdict import Verdict, judge
from placememory.localization.estimate import Estimate
from placememory.maps import OccupancyGrid
from placememory.memory import Place

_TEXTS = {
    Verdict.RIGHT: "right",
    Verdict.WRONG: "wrong",
    Verdict.OFF_MAP: "off the map: no true match",
    Verdict.UNKNOWN: "true position, answer not judged",
}
_SIZES = {Verdict.RIGHT: 20.0, Verdict.WRONG: 62.0, Verdict.OFF_MAP: 30.0, Verdict.UNKNOWN: 18.0}


@styled
def draw_trajectory(
    estimates: Sequence[Estimate],
    places: Sequence[Place] = (),
    *,
    grid: OccupancyGrid | None = None,
    radius: float | None,
    heading: float | None = None,
    title: str = "The localised run on the map",
) -> Figure:
    """Draw each query's true position by verdict, with a line to the answer where it erred.

    Args:
        estimates: The run; queries without a true pose show their answer only.
        places: All places of the memory, drawn in grey; they tell wrong from off the map.
        grid: The map under them.
        radius: Metres within which an answer is right; ``None`` judges nothing.
        heading: Degrees within which its rotation must be, too.
        title: First line.

    Returns:
        A figure whose axes are metres in the map frame.
    """
    verdicts = judge(estimates, places, radius, heading)
    ground = positions([place.pose for place in places])
    answers = positions([estimate.pose for estimate in estimates])
    truths = positions([estimate.frame.pose for estimate in estimates])
    sheet = map_sheet(grid, np.concatenate([ground, answers, truths]))
    axes = sheet.axes
    axes.scatter(ground[:, 0], ground[:, 1], s=30, color=PALE, linewidths=0, zorder=1)
    _draw_errors(axes, estimates, verdicts)
    axes.scatter(
        answers[:, 0], answers[:, 1], s=16, marker="o", fc="none", ec=INK, lw=0.7, zorder=4
    )
    for verdict in Verdict:
        _draw_truths(axes, estimates, verdicts, verdict)
    headline(axes, title, _note(estimates, verdicts, radius, heading))
    handles = _handles(estimates, verdicts, len(answers), len(ground))
    legend_below(axes, handles, int(sheet.width / 2.2))
    return sheet.figure


def _of(
    estimates: Sequence[Estimate], verdicts: Sequence[Verdict], verdict: Verdict
) -> list[Estimate]:
    """Estimates of one verdict whose true position is known."""
    pairs = zip(estimates, verdicts, strict=True)
    return [e for e, found in pairs if found is verdict and e.frame.pose is not None]


def _draw_truths(
    axes: Axes, estimates: Sequence[Estimate], verdicts: Sequence[Verdict], verdict: Verdict
) -> None:
    points = positions([e.frame.pose for e in _of(estimates, verdicts, verdict)])
    if len(points) == 0:
        return
    axes.scatter(
        points[:, 0],
        points[:, 1],
        s=_SIZES[verdict],
        marker=MARKERS[verdict],
        color=COLOURS[verdict],
        edgecolors="white",
        linewidths=0.6,
        zorder=6 if verdict is Verdict.WRONG else 5,
        label=verdict.value,
    )


def _draw_errors(axes: Axes, estimates: Sequence[Estimate], verdicts: Sequence[Verdict]) -> None:
    """Lines from the truth to the answer: firm where wrong, faint where off the map."""
    for verdict, alpha, width in ((Verdict.OFF_MAP, 0.5, 0.7), (Verdict.WRONG, 0.9, 1.1)):
        lines = [
            [(e.frame.pose.x, e.frame.pose.y), (e.pose.x, e.pose.y)]
            for e in _of(estimates, verdicts, verdict)
            if e.frame.pose is not None and e.pose is not None
        ]
        if lines:
            style = (0, (1.5, 1.5)) if verdict is Verdict.OFF_MAP else "-"
            axes.add_collection(
                LineCollection(
                    lines,
                    colors=COLOURS[verdict],
                    linewidths=width,
                    linestyles=[style],
                    alpha=alpha,
                    zorder=3,
                )
            )


def _handles(
    estimates: Sequence[Estimate], verdicts: Sequence[Verdict], answers: int, ground: int
) -> list[object]:
    """Legend entries with their counts."""
    handles: list[object] = []
    for verdict in Verdict:
        members = _of(estimates, verdicts, verdict)
        if members:
            label = f"{_TEXTS[verdict]} ({len(members):,})"
            look: dict[str, Any] = {
                "marker": MARKERS[verdict],
                "color": COLOURS[verdict],
                "mec": "white",
            }
            handles.append(Line2D([], [], ls="", ms=7, mew=0.6, label=label, **look))
    if answers:
        label = f"estimated position ({answers:,})"
        handles.append(
            Line2D([], [], ls="", marker="o", ms=4.5, mfc="none", mec=INK, mew=0.8, label=label)
        )
    if ground:
        label = f"place in the memory ({ground:,})"
        handles.append(Line2D([], [], ls="", marker="o", ms=5.5, color=PALE, label=label))
    return handles


def _note(
    estimates: Sequence[Estimate],
    verdicts: Sequence[Verdict],
    radius: float | None,
    heading: float | None,
) -> str:
    counts = Counter(verdicts)
    judged = counts[Verdict.RIGHT] + counts[Verdict.WRONG]
    note = counted(len(estimates), "frame")
    if judged and radius is not None:
        gate = "" if heading is None else f" and {heading:g} degrees"
        note += f"; {counts[Verdict.RIGHT]:,} of {judged:,} right within {radius:g} m{gate}"
    if counts[Verdict.OFF_MAP]:
        note += f", {counts[Verdict.OFF_MAP]:,} off the map"
    return note
