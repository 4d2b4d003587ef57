"""All places of a memory on the map, coloured by their order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from placememory.figures.map import MapSheet, map_sheet, positions
from placememory.figures.style import (
    COLOURS,
    INK,
    format_count,
    headline,
    legend_below,
    plain,
    shorten,
    with_style,
)
from placememory.maps import OccupancyGrid
from placememory.memory import Place
from placememory.metrics import Outcome

_SESSION_COLOURS = ("Blues", "Oranges", "Greens", "Purples", "Greys", "Reds")
_MOST_TICKS = 300


@with_style
def draw_vertices(
    places: Sequence[Place],
    *,
    grid: OccupancyGrid | None = None,
    title: str = "Places of the memory",
) -> Figure:
    """Draw places on the map, with start, end and headings.

    One session is coloured by place index, with a colour bar. Up to six sessions get one colour
    each, light at their start and dark at their end; more are coloured by their order.

    Args:
        places: In any order; those without a pose are left out and counted in the title.
        grid: The map under them.
        title: First line.

    Returns:
        A figure whose axes are metres in the map frame.
    """
    known = sorted((p for p in places if p.pose is not None), key=lambda place: place.id)
    sessions = sorted({place.session for place in known})
    sheet = map_sheet(grid, positions([p.pose for p in known]), beside=0.6)
    _draw_headings(sheet, known)
    handles: list[object] = []
    if 1 < len(sessions) <= len(_SESSION_COLOURS):
        for session, name in zip(sessions, _SESSION_COLOURS, strict=False):
            members = [place for place in known if place.session == session]
            drawn = _draw_places(sheet.axes, members, _part_of(name), len(known))
            label = f"session {shorten(session, 30)} ({len(members):,})"
            handles.append(_dot(drawn, label))
    elif known:
        drawn = _draw_places(sheet.axes, known, colormaps["viridis"], len(known))
        bar = sheet.axes.inset_axes((1.025, 0.0, 0.022, 1.0))
        order = "place index" if len(sessions) == 1 else "places in order of session and index"
        sheet.figure.colorbar(drawn, cax=bar, label=order)
    if len(sessions) <= len(_SESSION_COLOURS):
        handles += _draw_ends(sheet.axes, known, sessions)
    headline(sheet.axes, title, _note(len(known), len(places), len(sessions)))
    if handles:
        legend_below(sheet.axes, handles, int(sheet.width / 2.0))
    return sheet.figure


def _note(known: int, total: int, sessions: int) -> str:
    note = format_count(total, "place") + (f", {sessions} sessions" if sessions > 1 else "")
    return note + (f"; {total - known:,} without a pose left out" if total > known else "")


def _draw_places(
    axes: Axes, places: Sequence[Place], colours: Colormap, crowd: int
) -> PathCollection:
    points = positions([place.pose for place in places])
    one_session = len({place.session for place in places}) == 1
    order = [place.index for place in places] if one_session else range(len(places))
    return axes.scatter(
        points[:, 0],
        points[:, 1],
        c=np.array(order, dtype=np.float64),
        cmap=colours,
        s=float(np.clip(4000.0 / crowd, 7.0, 34.0)),
        linewidths=0.0,
        zorder=3,
    )


def _draw_headings(sheet: MapSheet, places: Sequence[Place]) -> None:
    """Short lines in the direction of each heading, thinned where there are very many."""
    length = 0.016 * sheet.reach
    step = max(1, math.ceil(len(places) / _MOST_TICKS))
    lines = [
        [(p.x, p.y), (p.x + length * math.cos(p.yaw), p.y + length * math.sin(p.yaw))]
        for p in (place.pose for place in places[::step])
        if p is not None and not math.isnan(p.yaw)
    ]
    if lines:
        sheet.axes.add_collection(
            LineCollection(lines, colors=INK, linewidths=0.7, alpha=0.75, zorder=2)
        )


def _draw_ends(axes: Axes, places: Sequence[Place], sessions: Sequence[str]) -> list[object]:
    """A circle round the first place of each session, a cross on the last; legend handles."""
    runs = [[place.pose for place in places if place.session == name] for name in sessions]
    start = positions([run[0] for run in runs])
    end = positions([run[-1] for run in runs])
    green, red = COLOURS[Outcome.CORRECT], COLOURS[Outcome.WRONG]
    axes.scatter(
        start[:, 0], start[:, 1], s=120, facecolors="none", edgecolors=green, lw=2.2, zorder=4
    )
    axes.scatter(end[:, 0], end[:, 1], s=90, marker="x", c=red, lw=2.4, zorder=4)
    if not runs:
        return []
    ring: dict[str, Any] = {"ls": "", "mfc": "none", "mew": 2.2}
    return [
        Line2D([], [], marker="o", ms=9.5, mec=green, label="start", **ring),
        Line2D([], [], marker="x", ms=8.5, mec=red, label="end", **ring),
    ]


def _part_of(name: str) -> Colormap:
    """A colour map without its palest part, which vanishes on white."""
    return LinearSegmentedColormap.from_list(name, colormaps[name](np.linspace(0.4, 1.0, 64)))


def _dot(drawn: PathCollection, label: str) -> Line2D:
    colour = drawn.get_cmap()(0.6)
    return Line2D([], [], ls="", marker="o", ms=6, color=colour, label=plain(label))
