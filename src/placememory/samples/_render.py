"""Writes the files of the sample building into a folder."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image

from placememory._types import Progress
from placememory.samples._furniture import AREAS, THINGS
from placememory.samples._level import textmap, wad
from placememory.samples._runs import Run, plan_runs
from placememory.samples._tour import START
from placememory.samples._write import Vertex, image_name, write_map, write_vertices
from placememory.samples.grid import flood, occupancy
from placememory.samples.world import World

_RESOLUTION = 0.0625  # metres per pixel of the map; every edge of the plan lies on a pixel
_FIRST_VERTEX = 40  # vertex indices start here, so that no row number is a vertex index


def render_files(
    folder: Path, seed: int, frames: int, size: tuple[int, int], progress: Progress | None
) -> dict[str, Any]:
    """Write the map and both runs into a folder that does not exist yet.

    Returns:
        ``files``, the names of all files relative to the folder, and ``off_map``, the names of
        the query images that the mapping run never came near.
    """
    runs = plan_runs(seed, frames)
    total = sum(len(run.poses) for run in runs)
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    first = _FIRST_VERTEX
    files, off_map = ["map.yaml", "map.pgm"], []
    for run in runs:
        (folder / run.name).mkdir(parents=True)
        vertices, names = _render_run(folder / run.name, run, first, seed, size, count)
        write_vertices(folder / run.name / "vertices.csv", vertices)
        first = vertices[-1].index + 1
        files += [f"{run.name}/{name}" for name in ("vertices.csv", *names)]
        off_map += [name for name, off in zip(names, run.off_map, strict=True) if off]
    grid = occupancy(AREAS, THINGS, _RESOLUTION)
    write_map(folder, grid, flood(~grid.blocked, grid.cell(*START)))
    return {"off_map": off_map, "files": files}


def _render_run(
    folder: Path,
    run: Run,
    first: int,
    seed: int,
    size: tuple[int, int],
    count: Callable[[], None],
) -> tuple[list[Vertex], list[str]]:
    """Render the images of a run; returns its vertices and its image names.

    Before every third image there is a vertex without an image, halfway from the last one.
    """
    vertices: list[Vertex] = []
    names: list[str] = []
    level = wad(textmap(AREAS, THINGS, START, run.light))
    with World(level, size=size, seed=seed, gamma=run.gamma) as world:
        for number, ((x, y, yaw), stamp) in enumerate(zip(run.poses, run.stamps_ns, strict=True)):
            view = world.view(float(x), float(y), float(yaw))
            here = Vertex(0, int(stamp), view.x, view.y, view.z, view.yaw)
            if number % 3 == 1:
                vertices.append(_between(vertices[-1], here))
            vertices.append(replace(here, index=first + len(vertices)))
            names.append(image_name(vertices[-1], number))
            Image.fromarray(view.image).save(folder / names[-1])
            count()
    return _with_velocities(vertices), names


def _between(a: Vertex, b: Vertex) -> Vertex:
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


def _with_velocities(vertices: list[Vertex]) -> list[Vertex]:
    """Velocity of each vertex from the step to the next one, 0 at the last."""
    moved = []
    for a, b in pairwise(vertices):
        seconds = (b.stamp_ns - a.stamp_ns) / 1e9
        moved.append(replace(a, velocity=((b.x - a.x) / seconds, (b.y - a.y) / seconds)))
    return [*moved, vertices[-1]]
