"""Writers of the sample's files: an occupancy map in ROS convention and maplab's vertices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from placememory.samples.grid import BoolGrid, Grid, clearance

_FREE, _OCCUPIED, _UNKNOWN = 254, 0, 205

VERTEX_HEADER = ", ".join(
    [
        "vertex index",
        "timestamp [ns]",
        *(f"position {axis} [m]" for axis in "xyz"),
        *(f"quaternion {axis}" for axis in "xyzw"),
        *(f"velocity {axis} [m/s]" for axis in "xyz"),
        *(f"acc bias {axis} [m/s^2]" for axis in "xyz"),
        *(f"gyro bias {axis} [rad/s]" for axis in "xyz"),
    ]
)


@dataclass(frozen=True, slots=True)
class Vertex:
    """One row of vertices.csv: where the body was at a time, in the map frame."""

    index: int
    stamp_ns: int
    x: float
    y: float
    z: float
    yaw: float
    velocity: tuple[float, float] = (0.0, 0.0)


def write_map(folder: Path, grid: Grid, reachable: BoolGrid) -> Path:
    """Write ``map.pgm`` and ``map.yaml``; returns the path of the latter.

    Args:
        folder: Where to write.
        grid: The occupancy.
        reachable: (rows, columns) bool, the cells that the robot's sensors can have seen free.

    Returns:
        The path of ``map.yaml``. Walls are drawn where blocked cells border on reachable ones,
        0.2 m thick, as a mapping run with a laser scanner would leave them.
    """
    near = clearance(reachable, grid.resolution, limit=0.2 + 1e-6) < 0.2
    image = np.full(reachable.shape, _UNKNOWN, dtype=np.uint8)
    image[near & grid.blocked] = _OCCUPIED
    image[reachable] = _FREE
    rows, columns = reachable.shape[0], reachable.shape[1]
    header = f"P5\n{columns} {rows}\n255\n".encode("ascii")
    (folder / "map.pgm").write_bytes(header + image[::-1].tobytes())
    target = folder / "map.yaml"
    target.write_text(
        f"image: map.pgm\nmode: trinary\nresolution: {grid.resolution}\n"
        f"origin: [{grid.x0}, {grid.y0}, 0.0]\nnegate: 0\n"
        "occupied_thresh: 0.65\nfree_thresh: 0.196\n",
        encoding="ascii",
    )
    return target


def write_vertices(target: Path, vertices: Sequence[Vertex]) -> None:
    """Write maplab's ``vertices.csv``: 18 columns, delimited by a comma and a blank."""
    lines = [VERTEX_HEADER, *(_row(vertex) for vertex in vertices)]
    target.write_text("\n".join(lines) + "\n", encoding="ascii")


def _row(vertex: Vertex) -> str:
    quaternion = (0.0, 0.0, math.sin(vertex.yaw / 2), math.cos(vertex.yaw / 2))
    numbers = [vertex.x, vertex.y, vertex.z, *quaternion, *vertex.velocity, 0.0, *[0.0] * 6]
    return ", ".join([str(vertex.index), str(vertex.stamp_ns), *(f"{n:.9f}" for n in numbers)])


def image_name(vertex: Vertex, sequence: int) -> str:
    """File name of the image that belongs to a vertex.

    Example:
        >>> image_name(Vertex(5, 1751340273862754844, 0, 0, 0, 0), 34)
        'vertex_005_000034_1751340273862754844.png'
    """
    return f"vertex_{vertex.index:03d}_{sequence:06d}_{vertex.stamp_ns}.png"


def distances(points: NDArray[np.float64], path: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) metres from each of (n, 2) points to the nearest of (m, 2) points of a path."""
    return np.asarray(np.linalg.norm(points[:, None] - path[None], axis=2).min(axis=1))
