"""The similarity of every query to every place, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike

from placememory.errors import SettingError
from placememory.figures.style import (
    MUTED,
    format_count,
    headline,
    legend_below,
    new_figure,
    plain,
    shorten,
    with_style,
)
from placememory.frames import Frame
from placememory.memory import Place

_LARGEST = 7.0
_LEAST = 2.2
_MOST_NAMES = 8


@with_style
def draw_similarity(
    similarity: ArrayLike,
    *,
    frames: Sequence[Frame] | None = None,
    places: Sequence[Place] | None = None,
    radius: float | None = None,
    title: str = "Similarity of queries and places",
) -> Figure:
    """Draw a similarity matrix, queries downwards and places to the right.

    A run along the same way shows as a bright diagonal; a turned-back run as one from lower left
    to upper right; look-alike places as bright spots elsewhere.

    Args:
        similarity: (Q, N) cosines of Q queries and N places.
        frames: The queries, for frame numbers, session boundaries and true positions.
        places: The places in the order of the columns, for the same.
        radius: With poses on both sides: a dot where the true nearest place of each query is, if
            it lies within this many metres.
        title: First line.

    Returns:
        The figure.

    Raises:
        SettingError: The sizes do not fit each other, or the matrix is empty.
    """
    matrix = np.asarray(similarity, dtype=np.float32)
    if matrix.ndim != 2 or matrix.size == 0:
        raise SettingError(f"a similarity matrix is (queries, places), not {matrix.shape}")
    for axis, items in enumerate((frames, places)):
        if items is not None and len(items) != matrix.shape[axis]:
            raise SettingError(
                f"{len(items)} items for the axis of {matrix.shape[axis]} similarities"
            )
    rows, columns = matrix.shape
    width = _LARGEST * min(1.0, columns / rows)
    height = _LARGEST * min(1.0, rows / columns)
    figure = new_figure(max(width, _LEAST) + 1.6, max(height, _LEAST) + 1.5)
    axes = figure.add_subplot()
    shown = axes.imshow(matrix, cmap="viridis", aspect="auto", interpolation="antialiased")
    bar = axes.inset_axes((1.025, 0.0, 0.022 * _LARGEST / max(width, _LEAST), 1.0))
    figure.colorbar(shown, cax=bar, label="similarity (cosine)")
    _number(axes, "x", places)
    _number(axes, "y", frames)
    _split(axes, "x", places)
    _split(axes, "y", frames)
    note = f"{format_count(rows, 'query frame')} by {format_count(columns, 'place')}"
    headline(axes, title, note)
    if radius is not None and frames is not None and places is not None:
        _draw_truth(axes, frames, places, radius)
    return figure


def _number(axes: Axes, side: str, items: Sequence[Frame] | Sequence[Place] | None) -> None:
    """Whole numbers: the index within the session of a row or column."""
    axis = axes.xaxis if side == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(nbins=9, integer=True, min_n_ticks=1))
    axis.set_label_text("place number" if side == "x" else "query frame number")
    axis.set_tick_params(length=3.0)
    if items is None:
        return
    starts = _starts(items)
    if len(starts) > _MOST_NAMES:
        axis.set_label_text("places of all sessions" if side == "x" else "query frames")
        return
    if len(starts) > 1:
        axis.set_major_locator(FixedLocator(_ticks([*starts, len(items)])))

    def number(value: float, _: int | None = None) -> str:
        """Frame number under a tick."""
        row = round(value)
        return str(items[row].index) if 0 <= row < len(items) else ""

    axis.set_major_formatter(FuncFormatter(number))


def _ticks(edges: Sequence[int]) -> list[int]:
    """The first row of each session, and whole fractions of long ones."""
    step = max(1, edges[-1] // 9)
    step = int(np.ceil(step / 5) * 5) if step > 2 else step
    parts = pairwise(edges)
    return [
        row
        for start, end in parts
        for row in range(start, end, step)
        if row == start or end - row > step // 2
    ]


def _starts(items: Sequence[Frame] | Sequence[Place]) -> list[int]:
    """Rows at which another session begins, with 0."""
    return [
        row for row in range(len(items)) if row == 0 or items[row].session != items[row - 1].session
    ]


def _split(axes: Axes, side: str, items: Sequence[Frame] | Sequence[Place] | None) -> None:
    """White lines between sessions, and the sessions' names in the label of the axis."""
    if items is None:
        return
    starts = _starts(items)
    line = axes.axvline if side == "x" else axes.axhline
    for start in starts[1:]:
        line(start - 0.5, color="white", lw=1.2)
    if 1 < len(starts) <= _MOST_NAMES:
        names = ", ".join(shorten(items[start].session, 18) for start in starts)
        axis = axes.xaxis if side == "x" else axes.yaxis
        what = "place number in" if side == "x" else "query frame number in"
        axis.set_label_text(plain(f"{what} {names}"))


def _draw_truth(
    axes: Axes, frames: Sequence[Frame], places: Sequence[Place], radius: float
) -> None:
    """A dot at the true nearest place of each query that has one within the radius."""
    missing = np.full(3, np.nan)
    known = np.array([missing if p.pose is None else p.pose.position for p in places])
    dots = []
    for row, frame in enumerate(frames):
        if frame.pose is None or np.isnan(known).all():
            continue
        distances = np.linalg.norm(known - frame.pose.position, axis=1)
        nearest = int(np.nanargmin(distances))
        if distances[nearest] <= radius:
            dots.append((nearest, row))
    if dots:
        look: dict[str, Any] = {"marker": "o", "ls": "", "mfc": "white", "mec": "black", "mew": 0.5}
        axes.plot(*zip(*dots, strict=True), ms=2.6, **look)
        label = f"true nearest place, where within {radius:g} m ({len(dots):,})"
        handle = Line2D([], [], ms=5, label=label, **look)
        text = legend_below(axes, [handle], 1).get_texts()[0]
        text.set_color(MUTED)
