"""A whole localised run on the map: where it was correct, wrong, off the map, or not located."""

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
from placememory.figures.outcomes import FUSED_WORDS, judge
from placememory.figures.style import (
    COLOURS,
    INK,
    MARKERS,
    PALE,
    format_count,
    headline,
    legend_below,
    with_style,
)
from placememory.localization.estimate import Estimate
from placememory.maps import OccupancyGrid
from placememory.memory import Place
from placememory.metrics import Outcome

_ALONE_WORDS = {
    Outcome.CORRECT: "correct",
    Outcome.WRONG: "wrong",
    Outcome.OFF_MAP: "off the map: no correct place",
    Outcome.NOT_JUDGED: "true position, answer not judged",
    Outcome.MISSED: "no answer",
    Outcome.REJECTED: "no answer, off the map",
}
_SIZES = {Outcome.WRONG: 62.0, Outcome.OFF_MAP: 30.0}
_SIZE = 20.0


@with_style
def draw_trajectory(
    estimates: Sequence[Estimate],
    places: Sequence[Place] = (),
    *,
    grid: OccupancyGrid | None = None,
    radius: float | None,
    heading: float | None = None,
    title: str = "The localised run on the map",
) -> Figure:
    """Draw each query's true position by outcome, with a line to the answer where it is wrong.

    Args:
        estimates: The run; queries without a true pose show their answer only.
        places: All places of the memory, drawn in grey, to distinguish wrong from off the map.
        grid: The map under them.
        radius: Metres within which an answer is correct; ``None`` judges nothing.
        heading: Degrees within which its rotation must be, too.
        title: First line.

    Returns:
        A figure whose axes are metres in the map frame.
    """
    outcomes = judge(estimates, places, radius, heading)
    ground = positions([place.pose for place in places])
    answers = positions([estimate.judged for estimate in estimates])
    truths = positions([estimate.frame.pose for estimate in estimates])
    sheet = map_sheet(grid, np.concatenate([ground, answers, truths]))
    axes = sheet.axes
    axes.scatter(ground[:, 0], ground[:, 1], s=30, color=PALE, linewidths=0, zorder=1)
    _draw_errors(axes, estimates, outcomes)
    axes.scatter(
        answers[:, 0], answers[:, 1], s=16, marker="o", fc="none", ec=INK, lw=0.7, zorder=4
    )
    for outcome in Outcome:
        _draw_truths(axes, estimates, outcomes, outcome)
    headline(axes, title, _note(estimates, outcomes, radius, heading))
    handles = _handles(estimates, outcomes, len(answers), len(ground))
    legend_below(axes, handles, int(sheet.width / 2.2))
    return sheet.figure


def _of(
    estimates: Sequence[Estimate], outcomes: Sequence[Outcome], outcome: Outcome
) -> list[Estimate]:
    """Select the estimates of one outcome whose true position is known."""
    pairs = zip(estimates, outcomes, strict=True)
    return [e for e, found in pairs if found is outcome and e.frame.pose is not None]


def _draw_truths(
    axes: Axes, estimates: Sequence[Estimate], outcomes: Sequence[Outcome], outcome: Outcome
) -> None:
    points = positions([e.frame.pose for e in _of(estimates, outcomes, outcome)])
    if len(points) == 0:
        return
    axes.scatter(
        points[:, 0],
        points[:, 1],
        s=_SIZES.get(outcome, _SIZE),
        marker=MARKERS[outcome],
        color=COLOURS[outcome],
        edgecolors="white",
        linewidths=0.6,
        zorder=6 if outcome is Outcome.WRONG else 5,
        label=outcome.value,
    )


def _draw_errors(axes: Axes, estimates: Sequence[Estimate], outcomes: Sequence[Outcome]) -> None:
    """Lines from the truth to the answer: firm where wrong, faint where off the map."""
    for outcome, alpha, width in ((Outcome.OFF_MAP, 0.5, 0.7), (Outcome.WRONG, 0.9, 1.1)):
        lines = [
            [(e.frame.pose.x, e.frame.pose.y), (e.judged.x, e.judged.y)]
            for e in _of(estimates, outcomes, outcome)
            if e.frame.pose is not None and e.judged is not None
        ]
        if lines:
            style = (0, (1.5, 1.5)) if outcome is Outcome.OFF_MAP else "-"
            axes.add_collection(
                LineCollection(
                    lines,
                    colors=COLOURS[outcome],
                    linewidths=width,
                    linestyles=[style],
                    alpha=alpha,
                    zorder=3,
                )
            )


def _handles(
    estimates: Sequence[Estimate], outcomes: Sequence[Outcome], answers: int, ground: int
) -> list[object]:
    """Legend entries with their counts."""
    handles: list[object] = []
    fused = any(estimate.belief is not None for estimate in estimates)
    words = FUSED_WORDS if fused else _ALONE_WORDS
    for outcome in reversed(Outcome):
        members = _of(estimates, outcomes, outcome)
        if members:
            label = f"{words[outcome]} ({len(members):,})"
            look: dict[str, Any] = {
                "marker": MARKERS[outcome],
                "color": COLOURS[outcome],
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
    outcomes: Sequence[Outcome],
    radius: float | None,
    heading: float | None,
) -> str:
    counts = Counter(outcomes)
    judged = sum(counts[o] for o in (Outcome.CORRECT, Outcome.WRONG, Outcome.MISSED))
    note = format_count(len(estimates), "frame")
    if judged and radius is not None:
        gate = "" if heading is None else f" and {heading:g} degrees"
        note += f"; {counts[Outcome.CORRECT]:,} of {judged:,} correct within {radius:g} m{gate}"
    off = counts[Outcome.OFF_MAP] + counts[Outcome.REJECTED]
    if off:
        note += f", {off:,} off the map"
    return note
