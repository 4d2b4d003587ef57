"""An online run: where the belief was on the map, how sure, and when it said so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from placememory.figures.map import map_sheet, positions
from placememory.figures.style import INK, LINE, PALE, headline, legend_below, new_figure, styled
from placememory.localization.estimate import Estimate
from placememory.maps import OccupancyGrid
from placememory.memory import Place

VERDICTS = {
    "located": "#009e73",
    "ambiguous": "#e69f00",
    "unknown": "#7b8794",
    "warming-up": "#c3cad1",
}


@styled
def draw_beliefs(
    estimates: Sequence[Estimate],
    places: Sequence[Place] = (),
    *,
    grid: OccupancyGrid | None = None,
    title: str = "Where the robot believed to be",
) -> Figure:
    """The best hypothesis of each frame on the map, coloured by its probability.

    Args:
        estimates: With beliefs; where frames have true poses, their path is drawn as a line.
        places: All places of the memory, in grey.
        grid: The map under them.
        title: First line.

    Returns:
        A figure whose axes are metres in the map frame.
    """
    ground = positions([place.pose for place in places])
    believed = [e for e in estimates if e.likely_pose is not None]
    points = positions([e.likely_pose for e in believed])
    true = positions([e.frame.pose for e in estimates])
    sheet = map_sheet(grid, np.concatenate([ground, points, true]), beside=0.9)
    axes = sheet.axes
    axes.scatter(ground[:, 0], ground[:, 1], s=26, color=PALE, linewidths=0, zorder=1)
    if len(true):
        axes.plot(true[:, 0], true[:, 1], color=INK, linewidth=0.9, zorder=2)
    shades = np.array([e.probability or 0.0 for e in believed])
    drawn = axes.scatter(
        points[:, 0], points[:, 1], c=shades, s=24, cmap="viridis", vmin=0, vmax=1, zorder=3
    )
    sheet.figure.colorbar(drawn, ax=axes, label="probability", shrink=0.7, pad=0.02)
    located = sum(e.verdict == "located" for e in estimates)
    line = "; the line is the truth" if len(true) else ""
    headline(axes, title, f"{located} of {len(estimates)} frames located{line}")
    return sheet.figure


@styled
def draw_timeline(estimates: Sequence[Estimate], *, radius: float | None = None) -> Figure:
    """Probability and verdict of each frame over time; crosses mark located frames that erred.

    Args:
        estimates: With beliefs.
        radius: Metres within which an answer is right; ``None`` marks nothing.

    Returns:
        A Matplotlib figure.
    """
    figure = new_figure(9.0, 3.2)
    axes = figure.subplots()
    frames = np.arange(len(estimates))
    chances = np.array([e.probability or 0.0 for e in estimates])
    axes.plot(frames, chances, color="#a5afb9", linewidth=0.8, zorder=1)
    handles: list[object] = []
    for verdict, colour in VERDICTS.items():
        members = np.array([e.verdict == verdict for e in estimates], np.bool_)
        if members.any():
            axes.scatter(frames[members], chances[members], s=14, color=colour, zorder=2)
            label = f"{verdict}: {int(members.sum())}"
            handles.append(Line2D([], [], marker="o", linestyle="none", color=colour, label=label))
    wrong = _wrong(estimates, radius)
    if len(wrong):
        axes.scatter(wrong, chances[wrong], s=46, marker="x", color="#d55e00", zorder=3)
        label = f"located, but wrong: {len(wrong)}"
        handles.append(Line2D([], [], marker="x", linestyle="none", color="#d55e00", label=label))
    _look(axes, len(estimates))
    legend_below(axes, handles, columns=5)
    return figure


def _wrong(estimates: Sequence[Estimate], radius: float | None) -> list[int]:
    """Frames that were located farther than the radius from the truth."""
    return [
        i
        for i, e in enumerate(estimates)
        if radius is not None
        and e.pose is not None
        and e.frame.pose is not None
        and e.pose.distance_to(e.frame.pose) > radius
    ]


def _look(axes: Axes, count: int) -> None:
    axes.set(xlabel="frame", ylabel="probability", xlim=(-1, max(1, count)), ylim=(-0.03, 1.05))
    headline(axes, "How sure, frame by frame", "probability of the best hypothesis")


if TYPE_CHECKING:
    from placememory.metrics.located import LocatedResult

_COLOURS = ("#7b8794", "#0072b2", "#d55e00", "#009e73")
_LARGEST = 260.0


@styled
def draw_reliability(results: Mapping[str, LocatedResult]) -> Figure:
    """Share right over probability; on the diagonal, probabilities mean what they say.

    Args:
        results: By name; the area of a mark is its share of the frames.

    Returns:
        A Matplotlib figure.
    """
    figure = new_figure(6.4, 5.0)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=LINE, linewidth=1.0, linestyle="--")
    for colour, (name, result) in zip(_COLOURS, results.items(), strict=False):
        x = [b.probability for b in result.bins]
        y = [b.right for b in result.bins]
        sizes = [_LARGEST * b.count / max(1, result.frames) + 12.0 for b in result.bins]
        axes.plot(x, y, color=colour, linewidth=1.2, alpha=0.7)
        label = f"{name}: error {100 * result.calibration_error:.1f} %"
        axes.scatter(x, y, s=sizes, color=colour, label=label, zorder=3)
    axes.set(xlabel="probability", ylabel="share right", xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
    axes.legend(loc="upper left")
    frames = max((result.frames for result in results.values()), default=0)
    headline(axes, "Reliability", f"{frames} frames; the larger a mark, the more of them")
    return figure
