"""Retrieval strips: a query and its best candidates side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from PIL import Image as PillowImage

from placememory.errors import SettingError
from placememory.figures.outcomes import error, judge, judge_candidates, metres
from placememory.figures.style import (
    COLOURS,
    INK,
    MUTED,
    QUERY,
    new_figure,
    plain,
    shorten,
    with_style,
)
from placememory.frames import Image, Pose
from placememory.localization.estimate import Estimate
from placememory.memory import Candidate, ImageOf, Place, read_image
from placememory.metrics import Outcome

_WIDTH = 1.95  # inches of an image
_TITLE = 0.46  # inches of the two lines above it
_PLACE = 0.16  # and of the coordinates below it
_NAME = 28  # characters that fit above an image
_PIXELS = 480


@with_style
def draw_strips(
    estimates: Sequence[Estimate],
    image_of: ImageOf,
    *,
    radius: float | None,
    heading: float | None = None,
    k: int = 5,
    places: Sequence[Place] = (),
) -> Figure:
    """Draw queries as rows: the query framed blue, then its candidates by rank.

    Correct candidates have a green frame and a tick, wrong ones an orange-red frame and a cross,
    those that cannot be judged a grey frame. Below each are its coordinates, of the query the true
    ones, where they are known.

    Args:
        estimates: One row each; some twenty fit a figure (:func:`strip_pages` makes several).
        image_of: The image of a place, or ``None``, which draws an empty panel.
        radius: Metres within which a candidate is correct; ``None`` judges nothing.
        heading: Degrees within which its rotation must be, too.
        k: Candidates a row; all there are if fewer.
        places: All places of the memory; with them, queries off the map are said to be so.

    Returns:
        The figure.

    Raises:
        SettingError: There is nothing to draw, or ``k`` is below 1.
    """
    if not estimates or k < 1:
        raise SettingError(f"a strip needs an estimate and k of 1 or more, not k = {k}")
    columns = 1 + min(k, max(1, *(len(estimate.candidates) for estimate in estimates), 1))
    images = [_images(estimate, image_of, columns - 1) for estimate in estimates]
    tall = [_WIDTH * max((_aspect(image) for image in row), default=0.75) for row in images]
    height = sum(tall) + (_TITLE + _PLACE + 0.16) * len(estimates)
    figure = new_figure(columns * (_WIDTH + 0.12), height)
    grid = GridSpec(
        len(estimates), columns, figure=figure, height_ratios=[t + _TITLE + _PLACE for t in tall]
    )
    outcomes = judge(estimates, places, radius, heading, alone=True)
    for row, (estimate, pictures, outcome) in enumerate(
        zip(estimates, images, outcomes, strict=True)
    ):
        _draw_query(figure.add_subplot(grid[row, 0]), estimate, pictures[0], outcome)
        judged = judge_candidates(estimate, radius, heading)
        for column, (candidate, image, correct) in enumerate(
            zip(estimate.candidates, pictures[1:], judged, strict=False), start=1
        ):
            axes = figure.add_subplot(grid[row, column])
            away = error(estimate.frame.pose, candidate.place.pose)
            _draw_candidate(axes, candidate, image, correct, away)
    return figure


def strip_pages(
    estimates: Sequence[Estimate],
    image_of: ImageOf,
    *,
    radius: float | None,
    heading: float | None = None,
    k: int = 5,
    places: Sequence[Place] = (),
    rows: int = 8,
) -> Iterator[Figure]:
    """Draw many queries, ``rows`` a figure, one figure at a time; see :func:`draw_strips`."""
    for start in range(0, len(estimates), rows):
        yield draw_strips(
            estimates[start : start + rows],
            image_of,
            radius=radius,
            heading=heading,
            k=k,
            places=places,
        )


def _images(estimate: Estimate, image_of: ImageOf, k: int) -> list[Image | None]:
    """Images of the query and of its first k candidates, made small."""
    found = [read_image(estimate.frame)]
    found += [image_of(candidate.place) for candidate in estimate.candidates[:k]]
    return [None if image is None else _shrink(image) for image in found]


def _shrink(image: Image) -> Image:
    small = PillowImage.fromarray(image)
    small.thumbnail((_PIXELS, _PIXELS), PillowImage.Resampling.LANCZOS)
    return np.asarray(small, dtype=np.uint8)


def _aspect(image: Image | None) -> float:
    """Height over width."""
    return 0.75 if image is None else float(image.shape[0] / image.shape[1])


def _draw_query(axes: Axes, estimate: Estimate, image: Image | None, outcome: Outcome) -> None:
    note = "query"
    if outcome is Outcome.OFF_MAP:
        note += f"  {outcome.mark} off the map"
    if not estimate.candidates:
        note += "  no candidates"
    _draw_panel(axes, image, QUERY, note, estimate.frame.name, estimate.frame.pose)


def _draw_candidate(
    axes: Axes, candidate: Candidate, image: Image | None, correct: bool | None, away: float | None
) -> None:
    outcome = {True: Outcome.CORRECT, False: Outcome.WRONG, None: Outcome.NOT_JUDGED}[correct]
    mark = "" if correct is None else f"  {outcome.mark}"
    distance = f" {metres(away)}" if away is not None else ""
    head = f"{candidate.rank}   {candidate.similarity:.3f}{mark}{distance}"
    place = candidate.place
    _draw_panel(axes, image, COLOURS[outcome], head, place.name, place.pose)


def _draw_panel(
    axes: Axes, image: Image | None, colour: str, head: str, name: str, pose: Pose | None
) -> None:
    """An image in a coloured frame; above it a line in that colour and the name, below the pose."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_anchor("N")
    if image is not None:
        axes.imshow(image, interpolation="antialiased")
    else:
        axes.set_facecolor("#eef0f2")
        axes.set(xlim=(0, 4), ylim=(0, 3))
        axes.set_aspect("equal")
        axes.text(2, 1.5, "no image", ha="center", va="center", color=MUTED)
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=2.6)
    if pose is not None:
        turned = "" if pose.quaternion is None else f", {math.degrees(pose.yaw):.0f}\N{DEGREE SIGN}"
        axes.set_xlabel(
            f"{pose.x:.2f}, {pose.y:.2f} m{turned}", fontsize=7, color=MUTED, labelpad=4
        )
    axes.set_title(plain(shorten(name, _NAME)), loc="left", fontsize=7.5, color=INK, pad=4.5)
    axes.annotate(
        plain(head),
        xy=(0.0, 1.0),
        xycoords="axes fraction",
        xytext=(0.0, 16.0),
        textcoords="offset points",
        fontsize=9.5,
        fontweight="bold",
        color=colour,
    )
