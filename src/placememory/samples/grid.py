"""Occupancy of a floor plan: which cells a robot can drive in, and how far the walls are.

Grids are boolean arrays of shape (rows, columns); row 0 is the lowest y, the opposite of an image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from placememory.errors import SettingError
from placememory.samples.plan import Floor

MARGIN = 1.0  #: metres of unknown around the plan

BoolGrid = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Grid:
    """Which cells of the plan hold something.

    Attributes:
        blocked: (rows, columns) bool; row 0 is the lowest y.
        x0: Metres, left edge of column 0.
        y0: Metres, lower edge of row 0.
        resolution: Metres per cell.
    """

    blocked: BoolGrid
    x0: float
    y0: float
    resolution: float

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Row and column of a point in metres, clipped to the grid."""
        rows, columns = self.blocked.shape
        row = int((y - self.y0) // self.resolution)
        column = int((x - self.x0) // self.resolution)
        return min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)

    def point(self, row: int, column: int) -> tuple[float, float]:
        """Centre of a cell as x, y in metres."""
        return (
            self.x0 + (column + 0.5) * self.resolution,
            self.y0 + (row + 0.5) * self.resolution,
        )


def occupancy(floor: Floor, resolution: float) -> Grid:
    """Rasterise a plan.

    Args:
        floor: The plan; free-standing objects are blocked as squares of their radius.
        resolution: Metres per cell.

    Returns:
        The grid, with a margin of 1 m around the plan; what no area covers is blocked.

    Raises:
        SettingError: The resolution is not positive.

    Example:
        >>> from placememory.samples.plan import Area
        >>> room = Area((0, 0, 2, 1), 0, 3, "W", "F", "C", 200)
        >>> grid = occupancy(Floor((room,), (), (room,)), 0.5)
        >>> grid.blocked.shape, int((~grid.blocked).sum())
        ((6, 8), 8)
    """
    if resolution <= 0:
        raise SettingError(f"a grid needs a positive resolution in metres, not {resolution}")
    rects = np.array([area.rect for area in floor.areas])
    x0, y0 = rects[:, :2].min(axis=0) - MARGIN
    x1, y1 = rects[:, 2:].max(axis=0) + MARGIN
    shape = (int(np.ceil((y1 - y0) / resolution)), int(np.ceil((x1 - x0) / resolution)))
    grid = Grid(np.ones(shape, dtype=np.bool_), float(x0), float(y0), resolution)
    for area in floor.areas:
        grid.blocked[_window(grid, area.rect)] = not area.drivable
    for thing in floor.things:
        r = thing.radius
        rect = (thing.x - r, thing.y - r, thing.x + r, thing.y + r)
        grid.blocked[_window(grid, rect)] = True
    return grid


def _window(grid: Grid, rect: tuple[float, float, float, float]) -> tuple[slice, slice]:
    x0, y0, x1, y1 = rect
    columns = [round((x - grid.x0) / grid.resolution) for x in (x0, x1)]
    rows = [round((y - grid.y0) / grid.resolution) for y in (y0, y1)]
    return slice(max(rows[0], 0), rows[1]), slice(max(columns[0], 0), columns[1])


def flood(free: BoolGrid, start: tuple[int, int]) -> BoolGrid:
    """Cells that are reachable from a start cell in steps along rows and columns.

    Args:
        free: (rows, columns) bool.
        start: Row and column.

    Returns:
        (rows, columns) bool, a part of ``free``; empty where the start itself is not free.

    Example:
        >>> flood(np.array([[True, False, True]]), (0, 0)).tolist()
        [[True, False, False]]
    """
    parts, _ = ndimage.label(free)
    reached: BoolGrid = free & (parts == parts[start])
    return reached


def clearance(blocked: BoolGrid, resolution: float, limit: float = 1.5) -> NDArray[np.float64]:
    """Distance from every cell to the nearest blocked one, centre to centre.

    Args:
        blocked: (rows, columns) bool.
        resolution: Metres per cell.
        limit: Metres; larger distances are not looked for.

    Returns:
        (rows, columns) float64 in metres, 0 in blocked cells, never above ``limit``.

    Example:
        >>> clearance(np.array([[True, False, False]]), 0.5).tolist()
        [[0.0, 0.5, 1.0]]
    """
    if not blocked.any():
        return np.full(blocked.shape, limit)
    distances = resolution * np.asarray(ndimage.distance_transform_edt(~blocked))
    return np.minimum(distances, limit)
