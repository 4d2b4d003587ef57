"""A query's candidates as numbered discs on the map, around the true position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from numpy.typing import NDArray

from placememory.figures.map import MapSheet, Points, map_sheet, positions
from placememory.figures.outcomes import error, judge_candidates, metres
from placememory.figures.style import (
    INK,
    PALE,
    QUERY,
    headline,
    place_label,
    plain,
    shorten,
    with_style,
)
from placememory.localization.estimate import Estimate
from placememory.maps import OccupancyGrid
from placememory.memory import Candidate, Place
from placememory.metrics import Outcome

_ROUNDS = 400
_GAP = 1.0


def spread(
    centres: NDArray[np.float64], radii: NDArray[np.float64], fixed: int = 0
) -> NDArray[np.float64]:
    """Push overlapping discs apart, each as little as the others allow.

    Args:
        centres: (N, 2) where they would like to be.
        radii: (N,) in the same unit.
        fixed: How many of the first ones stay where they are.

    Returns:
        (N, 2) where they are now. The same input gives the same output.

    Example:
        >>> moved = spread(np.zeros((3, 2)), np.full(3, 5.0))
        >>> gaps = np.linalg.norm(moved[:, None] - moved[None], axis=-1)
        >>> bool((gaps[np.triu_indices(3, 1)] > 9.9).all())
        True
    """
    count = len(centres)
    angles = 2.399963 * np.arange(count)
    moved = centres + 0.01 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    reach = radii[:, None] + radii[None] + _GAP
    movable = (np.arange(count) >= fixed).astype(np.float64)
    share = movable[:, None] / np.maximum(movable[:, None] + movable[None], 1.0)
    for _ in range(_ROUNDS):
        apart = moved[:, None] - moved[None]
        distance = np.linalg.norm(apart, axis=-1) + np.eye(count)
        overlap = np.maximum(0.0, reach - distance) * (1.0 - np.eye(count))
        if not overlap.any():
            break
        moved = moved + 0.5 * (apart / distance[..., None] * (overlap * share)[..., None]).sum(1)
    return moved


_LARGEST, _SMALLEST, _STAR = 9.0, 6.0, 9.0  # radii in points
_BESIDE = 3.3


@with_style
def draw_matches(
    estimate: Estimate,
    places: Sequence[Place],
    *,
    grid: OccupancyGrid | None = None,
    radius: float | None = None,
    heading: float | None = None,
    k: int = 5,
    title: str = "Best matches on the map",
) -> Figure:
    """Draw a query's candidates as numbered discs on the map, the truth as a star.

    Discs stay where the places are. Numbers that would cover each other are moved apart; a line
    leads to the disc. Darker is more similar.

    Args:
        estimate: The query with its candidates.
        places: All places of the memory, drawn in grey.
        grid: The map under them.
        radius: Metres within which a candidate is correct; draws the circle, ticks and crosses.
        heading: Degrees within which its rotation must be, too.
        k: How many candidates; all there are if fewer.
        title: First line.

    Returns:
        A figure whose axes are metres in the map frame.
    """
    true = estimate.frame.pose
    shown = estimate.candidates[:k]
    known = [candidate for candidate in shown if candidate.place.pose is not None]
    ground = positions([place.pose for place in places])
    points = positions([candidate.place.pose for candidate in known])
    star = positions([true])
    sheet = map_sheet(grid, np.concatenate([ground, points, star]), beside=_BESIDE)
    sheet.axes.scatter(ground[:, 0], ground[:, 1], s=9, color=PALE, linewidths=0, zorder=2)
    if len(star):
        _draw_truth(sheet.axes, star, radius)
    colours = _colours(shown)
    sizes = np.linspace(_LARGEST, _SMALLEST, max(k, 1))
    _draw_discs(sheet, known, points, star, colours, sizes)
    correct = judge_candidates(estimate, radius, heading)
    lines = [
        _line(candidate, error(true, candidate.place.pose), is_correct)
        for candidate, is_correct in zip(shown, correct, strict=False)
    ]
    _legend(sheet.axes, lines, colours, sizes, truth=len(star) > 0)
    missing = len(shown) - len(known)
    note = f"query {shorten(estimate.frame.name, 60)}"
    note += f"; {missing} of {len(shown)} candidates without a pose" if missing else ""
    headline(sheet.axes, title, note if shown else f"{note}; no candidates")
    return sheet.figure


def _colours(candidates: Sequence[Candidate]) -> list[tuple[float, float, float, float]]:
    """Darker for more similar, over the range of these candidates."""
    values = np.array([candidate.similarity for candidate in candidates])
    span = float(np.ptp(values)) if len(values) else 0.0
    share = (values - values.min()) / span if span > 0 else np.ones(len(values))
    return [colormaps["viridis"](0.92 - 0.8 * float(value)) for value in share]


def _draw_truth(axes: Axes, star: Points, radius: float | None) -> None:
    axes.scatter(
        star[:, 0], star[:, 1], marker="*", s=190, color=QUERY, ec="white", lw=0.9, zorder=8
    )
    if radius is not None:
        centre = (float(star[0, 0]), float(star[0, 1]))
        axes.add_patch(
            Circle(centre, radius, fill=False, ec=QUERY, lw=1.1, ls=(0, (4, 3)), zorder=3)
        )


def _draw_discs(
    sheet: MapSheet,
    candidates: Sequence[Candidate],
    points: Points,
    star: Points,
    colours: Sequence[tuple[float, float, float, float]],
    sizes: NDArray[np.float64],
) -> None:
    """A disc at each place, best on top; numbers that would cover each other stand beside."""
    ranks = [candidate.rank for candidate in candidates]
    radii = np.array([sizes[min(rank, len(sizes)) - 1] for rank in ranks])
    wanted = np.concatenate([star, points]) * sheet.scale
    moved = spread(wanted, np.concatenate([np.full(len(star), _STAR), radii]), fixed=len(star))
    labels = moved[len(star) :] / sheet.scale
    aside = np.linalg.norm(labels - points, axis=1) * sheet.scale > 0.5 * radii
    for rank, point, label, size, beside in zip(ranks, points, labels, radii, aside, strict=True):
        colour = colours[rank - 1]
        order = 7.0 - 0.01 * rank
        sheet.axes.plot(*point, "o", ms=2 * size, color=colour, mec="white", mew=1.0, zorder=order)
        at, ink = (point, _ink_on(colour)) if not beside else (label, INK)
        if beside:
            sheet.axes.plot(*zip(point, label, strict=True), color=INK, lw=0.8, zorder=7.1)
            sheet.axes.plot(*label, "o", ms=1.7 * size, color="white", mec=INK, mew=0.7, zorder=7.2)
        sheet.axes.text(
            at[0],
            at[1],
            str(rank),
            color=ink,
            fontsize=size,
            fontweight="bold",
            ha="center",
            va="center_baseline",
            zorder=7.3 if beside else order,
            clip_on=True,
        )


def _line(candidate: Candidate, distance: float | None, correct: bool | None) -> str:
    """Rank, similarity, distance, mark and name in columns."""
    mark = {True: Outcome.CORRECT.mark, False: Outcome.WRONG.mark, None: " "}[correct]
    away = f" {metres(distance):>7}" if distance is not None else ""
    name = place_label(candidate.place, 24)
    return f"{candidate.rank:>2}  {candidate.similarity:.3f}{away} {mark} {name}"


def _legend(
    axes: Axes,
    lines: Sequence[str],
    colours: Sequence[tuple[float, float, float, float]],
    sizes: NDArray[np.float64],
    *,
    truth: bool,
) -> Legend | None:
    look: dict[str, Any] = {"ls": "", "mec": "white"}
    handles = [
        Line2D([], [], marker="o", ms=1.5 * size, color=colour, label=plain(line), **look)
        for line, colour, size in zip(lines, colours, sizes, strict=False)
    ]
    if truth:
        handles.append(
            Line2D([], [], marker="*", ms=12, color=QUERY, label=" true position", **look)
        )
    if not handles:
        return None
    return axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0.0,
        prop={"family": "DejaVu Sans Mono", "size": 8.5},
        labelspacing=0.75,
        title="rank, similarity, distance, place" if truth else "rank, similarity, place",
        title_fontsize=8.5,
        alignment="left",
    )


def _ink_on(colour: tuple[float, float, float, float]) -> str:
    red, green, blue = colour[:3]
    return INK if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
