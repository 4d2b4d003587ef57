"""What the frames of a window say together: candidates, and the heat they add up to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from placememory.figures.map import Points, map_sheets, positions
from placememory.figures.style import (
    INK,
    PALE,
    QUERY,
    format_count,
    headline,
    legend_below,
    shorten,
    with_style,
)
from placememory.frames import Frame
from placememory.fusion import Heat
from placememory.maps import OccupancyGrid
from placememory.memory import Place


@with_style
def draw_evidence(
    heat: Heat,
    places: Sequence[Place] = (),
    *,
    frame: Frame | None = None,
    grid: OccupancyGrid | None = None,
    title: str = "Evidence of the last frames",
) -> Figure:
    """Draw the candidates of the last frames beside the heat that they add up to, with its peak.

    Args:
        heat: Of :attr:`placememory.Localizer.heat` with ``fusion="heatmap"``.
        places: All places of the memory, in grey.
        frame: The newest frame; its true position is a star, where it is known.
        grid: The map under them.
        title: First line.

    Returns:
        A figure of two maps in metres of the map frame.

    Example:
        >>> import numpy as np
        >>> from placememory.fusion import Evidence, PlaceTable, create
        >>> fusion = create("heatmap", PlaceTable.from_arrays([[0.0, 0.0], [1.0, 0.0]]))
        >>> _ = fusion.update(Evidence([0, 1], [0.9, 0.8], level=(0.0, 0.1)))
        >>> [axes.get_xlabel() for axes in draw_evidence(fusion.heat).axes[:2]]
        ['x [m]', 'x [m]']
    """
    cells, side = heat.cells, heat.resolution
    ground = positions([place.pose for place in places])
    true = positions([None if frame is None else frame.pose])
    shown = cells.centres[cells.heat > 0.0]
    votes, sums = map_sheets(grid, np.concatenate([ground, true, heat.votes, shown]), count=2)
    for sheet in (votes, sums):
        sheet.axes.scatter(ground[:, 0], ground[:, 1], s=9, color=PALE, linewidths=0, zorder=1)
    order = np.argsort(heat.weights, kind="stable")
    drawn = votes.axes.scatter(
        heat.votes[order, 0],
        heat.votes[order, 1],
        s=34,
        c=heat.weights[order],
        cmap="viridis",
        ec="white",
        lw=0.5,
    )
    votes.figure.colorbar(
        drawn, ax=votes.axes, label="similarity above the map's level", shrink=0.8
    )
    picture, extent = _picture(cells.centres, cells.heat, side)
    limits = sums.axes.get_xlim(), sums.axes.get_ylim()
    warm = sums.axes.imshow(
        picture, extent=extent, origin="lower", cmap="YlOrRd", vmin=0.0, alpha=0.85, zorder=2
    )
    sums.axes.set(xlim=limits[0], ylim=limits[1])
    sums.figure.colorbar(warm, ax=sums.axes, label="sum over the frames", shrink=0.8)
    handles: list[object] = []
    if heat.peak is not None:
        _mark(votes.axes, heat.peak, "X", INK)
        handles.append(_mark(sums.axes, heat.peak, "X", INK, "peak"))
    if len(true):
        _mark(votes.axes, true[0], "*", QUERY)
        handles.append(_mark(sums.axes, true[0], "*", QUERY, "true position"))
    count = len(np.unique(heat.frames))
    note = f"{format_count(len(heat.votes), 'candidate')} of {format_count(count, 'frame')}"
    headline(votes.axes, title, note)
    name = "" if frame is None else f"newest frame {shorten(frame.name, 40)}"
    headline(sums.axes, "Their sum", name)
    if handles:
        legend_below(sums.axes, handles, 2)
    return votes.figure


def _picture(
    centres: Points, heat: Points, side: float
) -> tuple[Any, tuple[float, float, float, float]]:
    """(rows, columns) of heat, masked where there is none; left, right, lower and upper edge."""
    cells = np.floor(centres / side).astype(np.int64)
    low, high = cells.min(axis=0), cells.max(axis=0) + 1
    picture = np.zeros((high - low)[::-1])
    picture[cells[:, 1] - low[1], cells[:, 0] - low[0]] = heat
    faint = 0.02 * float(heat.max(initial=0.0))
    (left, lower), (right, upper) = low * side, high * side
    return np.ma.masked_less_equal(picture, faint), (left, right, lower, upper)


def _mark(
    axes: Axes, at: Sequence[float], marker: str, colour: str, label: str | None = None
) -> Line2D:
    [line] = axes.plot(
        at[0], at[1], marker, ms=11, color=colour, mec="white", mew=0.9, label=label, zorder=8
    )
    return line
