"""The files of a building: map, vertices, images; and folders that appear when complete."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from placememory.errors import InputError
from placememory.samples.grid import BoolGrid, Grid, clearance

_RECORD = "building.json"


def find_reusable(target: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """The record of a complete building with the wanted arguments, or ``None``.

    Raises:
        InputError: The folder holds something that is no sample building.
    """
    record = _read_record(target)
    if record is None:
        if target.is_file() or (target.exists() and any(target.iterdir())):
            raise InputError(f"{target} holds no sample building; choose another folder")
        return None
    same = all(record.get(key) == value for key, value in wanted.items())
    return record if same and _complete(target, record) else None


def publish(
    target: Path, wanted: dict[str, Any], write: Callable[[Path], dict[str, Any]]
) -> dict[str, Any]:
    """Let ``write`` fill a folder beside the target, then put it in the target's place.

    Args:
        target: The folder that appears.
        wanted: The arguments that the files follow from, kept in the record.
        write: Makes and fills the folder it is given; returns what else the record keeps, with
            ``files``, the names of all files relative to the folder.

    Returns:
        The record.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    try:
        record = wanted | write(part)
        (part / _RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return record


def _read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a sample building; ``None`` where there is none or it cannot be read."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "recipe" in record else None


def _complete(folder: Path, record: dict[str, Any]) -> bool:
    """Whether every file that the record lists is there."""
    return all((folder / name).is_file() for name in record.get("files", [""]))


def _remove_leftovers(target: Path) -> None:
    """Remove what killed runs left beside the target."""
    for part in target.parent.glob(f".{target.name}.part-*"):
        process = part.name.rpartition("-")[2]
        alive = process.isdigit() and process != str(os.getpid()) and _alive(int(process))
        if not alive:
            shutil.rmtree(part, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


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


def between(a: Vertex, b: Vertex) -> Vertex:
    """The vertex after ``a``, halfway to ``b``."""
    turn = math.remainder(b.yaw - a.yaw, 2 * math.pi)
    return Vertex(
        a.index + 1,
        (a.stamp_ns + b.stamp_ns) // 2,
        (a.x + b.x) / 2,
        (a.y + b.y) / 2,
        (a.z + b.z) / 2,
        math.remainder(a.yaw + turn / 2, 2 * math.pi),
    )


def add_velocities(vertices: list[Vertex]) -> list[Vertex]:
    """Velocity of each vertex from the step to the next one, 0 at the last."""
    moved = []
    for a, b in pairwise(vertices):
        seconds = (b.stamp_ns - a.stamp_ns) / 1e9
        moved.append(replace(a, velocity=((b.x - a.x) / seconds, (b.y - a.y) / seconds)))
    return [*moved, vertices[-1]]
