"""A map in metres: the occupancy grid under the places, x to the right and y up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from placememory.figures.style import MUTED, new_figure
from placememory.frames import Pose
from placememory.maps import OccupancyGrid

Points = NDArray[np.float64]

_WIDEST, _TALLEST, _LEAST = 8.2, 6.4, 0.3
_FREE, _OCCUPIED = (255.0, 255.0, 255.0), (84.0, 93.0, 104.0)


@dataclass(frozen=True, slots=True)
class MapSheet:
    """A figure with one map on it.

    Attributes:
        figure: The figure.
        axes: Its axes, in metres of the map frame.
        scale: Points (1/72 inch) a metre, nearly.
        width: Width of the axes in inches, nearly.
        reach: Longer side of the view in metres.
    """

    figure: Figure
    axes: Axes
    scale: float
    width: float
    reach: float


def map_sheet(grid: OccupancyGrid | None, points: Points, *, beside: float = 0.0) -> MapSheet:
    """New axes in metres, with the map drawn, that show all points and the map but its margin.

    Args:
        grid: The map; ``None`` leaves the ground white.
        points: (N, 2) x, y in metres that must be visible; N may be 0.
        beside: Inches to keep free to the right, for a legend.
    """
    [sheet] = map_sheets(grid, points, beside=beside)
    return sheet


def map_sheets(
    grid: OccupancyGrid | None, points: Points, *, count: int = 1, beside: float = 0.0
) -> list[MapSheet]:
    """So many equal maps side by side in one figure; see :func:`map_sheet`."""
    low, high = _view(grid, points)
    size = high - low
    inches = min(_WIDEST / min(count, 1.5) / size[0], _TALLEST / size[1])
    width, height = size * inches
    figure = new_figure(count * (width + 1.0) + beside, height + 1.7)
    sheets = []
    for axes in figure.subplots(1, count, squeeze=False)[0]:
        axes.set_aspect("equal", adjustable="box", anchor="NW")
        axes.set_xlim(low[0], high[0])
        axes.set_ylim(low[1], high[1])
        axes.set_xlabel("x [m]")
        axes.set_ylabel("y [m]")
        axes.tick_params(length=3.0)
        if grid is not None:
            draw_grid(axes, grid)
        if len(points) == 0:
            note = "no positions are known"
            axes.text(0.5, 0.5, note, transform=axes.transAxes, ha="center", color=MUTED)
        sheets.append(MapSheet(figure, axes, float(inches * 72.0), float(width), float(size.max())))
    return sheets


def draw_grid(axes: Axes, grid: OccupancyGrid) -> None:
    """Draw the grid where it lies in the map frame, its origin's yaw included.

    The image spans the outer edges of its pixels: (0, 0) to (W, H) cells from the lower left
    corner, turned and shifted by the origin.
    """
    limits = axes.get_xlim(), axes.get_ylim()
    x, y, yaw = grid.origin
    axes.imshow(
        _colours(grid),
        extent=(0.0, grid.width * grid.resolution, 0.0, grid.height * grid.resolution),
        origin="upper",
        transform=Affine2D().rotate(yaw).translate(x, y) + axes.transData,
        aspect="equal",
        interpolation="antialiased",
        zorder=0,
    )
    axes.set(xlim=limits[0], ylim=limits[1], anchor="NW")


def positions(poses: Sequence[Pose | None]) -> Points:
    """(N, 2) x, y in metres of the poses that are known."""
    known = [(pose.x, pose.y) for pose in poses if pose is not None]
    return np.array(known, dtype=np.float64).reshape(-1, 2)


def _colours(grid: OccupancyGrid) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: free white, occupied dark, whatever is between them grey.

    The lightness is drawn, not the occupancy: under nav2's usual ``free_thresh`` of 0.25 the grey
    that map_saver writes for unseen cells counts as free, and would vanish.
    """
    share = grid.lightness.astype(np.float32)[..., None]
    mixed = np.asarray(_FREE, np.float32) * share + np.asarray(_OCCUPIED, np.float32) * (
        1.0 - share
    )
    return mixed.round().astype(np.uint8)


def _view(grid: OccupancyGrid | None, points: Points) -> tuple[Points, Points]:
    """Lower left and upper right corner of what to show, (2,) metres each."""
    shown = points if grid is None else np.concatenate([points, _content_corners(grid)])
    if len(shown) == 0:
        shown = np.zeros((1, 2))
    low, high = shown.min(axis=0), shown.max(axis=0)
    longest = max(float((high - low).max()), 1.0)
    margin = 0.06 * longest if grid is None else 0.03 * longest
    low, high = low - margin, high + margin
    missing = np.maximum(0.0, _LEAST * float((high - low).max()) - (high - low))
    return low - missing / 2, high + missing / 2


def _content_corners(grid: OccupancyGrid) -> Points:
    """(4 or 0, 2) corners, in metres, of the map without the plain margin round it."""
    rows, columns = np.nonzero(grid.image != grid.image[0, 0])
    if len(rows) == 0:
        return np.empty((0, 2))
    left, right = columns.min() - 0.5, columns.max() + 0.5
    top, bottom = rows.min() - 0.5, rows.max() + 0.5
    return grid.to_world([[left, top], [right, top], [right, bottom], [left, bottom]])
