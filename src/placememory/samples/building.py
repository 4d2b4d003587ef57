"""Buildings on disk: one way from a floor plan and its drives to images with exact poses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from placememory._io import write_csv
from placememory._types import Progress
from placememory.errors import SettingError
from placememory.samples import demonstration
from placememory.samples.drives import Drive, plan_demonstration, plan_traverses
from placememory.samples.files import (
    Vertex,
    add_velocities,
    between,
    find_reusable,
    image_name,
    publish,
    write_map,
    write_vertices,
)
from placememory.samples.grid import flood, occupancy
from placememory.samples.level import textmap, wad
from placememory.samples.random_floor import random_floor
from placememory.samples.world import View, World

_BUILDING, _TRAVERSES = 2, "traverses-1"  # raised when the same arguments give other files
_MIN_FRAMES = 8
_RESOLUTION = 0.0625  # metres per pixel of the map; every edge of the plan lies on a pixel
_FIRST_VERTEX = 40  # vertex indices start here, so that no row number is a vertex index
_COLUMNS = ("image", "traverse", "x", "y", "yaw", "stamp", "frame", "session")
_QUALITY = 95

Size = tuple[int, int]
Change = Literal["none", "night", "moved"]
CHANGES: tuple[str, ...] = get_args(Change)


@dataclass(frozen=True, slots=True)
class Building:
    """Where the files of a rendered building are.

    Attributes:
        folder: Holds everything.
        map_yaml: Occupancy map in ROS convention, with ``map.pgm`` beside it.
        mapping: Images of the mapping run.
        mapping_vertices: Poses of the mapping run (maplab's ``vertices.csv``); some vertices
            have no image.
        query: Images of the query run.
        query_vertices: True poses of the query run, in the same map frame.
        off_map: Names of the query images taken more than 3 m from every point of the mapping
            route, in order.
    """

    folder: Path
    map_yaml: Path
    mapping: Path
    mapping_vertices: Path
    query: Path
    query_vertices: Path
    off_map: tuple[str, ...]

    @classmethod
    def at(cls, folder: Path, off_map: Iterable[str]) -> Building:
        """The building in a folder."""
        mapping, query = folder / "mapping", folder / "query"
        vertices = mapping / "vertices.csv", query / "vertices.csv"
        yaml = folder / "map.yaml"
        return cls(folder, yaml, mapping, vertices[0], query, vertices[1], tuple(off_map))


def render_building(
    folder: Path,
    *,
    seed: int = 0,
    frames: int = 120,
    size: tuple[int, int] = (320, 240),
    change: Change = "none",
    progress: Progress | None = None,
) -> Building:
    """Render a small building: a map and two runs of images with exact poses.

    The building has fifteen rooms and halls on one floor, 32 m by 23.5 m. The mapping run drives
    once round its ring of rooms (96 m). The query run follows in evening light, up to 0.6 m to
    the side and turned by up to 15 degrees, and leaves the ring for two rooms that the mapping
    run never saw. One metre is 32 units of the engine (ViZDoom with its Freedoom textures);
    the camera is 1.28 m above the floor and sees 90 degrees across. Poses are those of the
    camera with REP-103 body axes (x forward, y left, z up), yaw counter-clockwise from the map's
    x axis, as the engine reads them back.

    The same arguments give the same bytes. The folder appears only when it is complete, and a
    complete one with the same arguments is reused as it is.

    Args:
        folder: Where to write; replaced if it holds another sample building.
        seed: 0 or more. Varies the query run (offsets, headings, lamps) and the stamps of both.
        frames: Images of the mapping run, 8 or more; the query run has 1.05 times as many. The
            default puts them 0.8 m apart.
        size: Width and height of the images in pixels, one of the engine's sizes.
        change: What the query run finds changed. ``none``: the evening light above. ``night``:
            nearly every lamp out, warm light and the noise of a camera in the dark. ``moved``:
            by evening light, with about half of the free-standing furniture moved, a quarter
            replaced and a quarter gone, and other cupboards and pictures on some walls. The
            mapping run, the map and all poses are the same in all three.
        progress: Called as ``progress(done, total)`` after every image.

    Returns:
        The paths of what was written.

    Raises:
        SettingError: Too few frames, a negative seed, an unknown change, or a size that the
            engine does not have.
        InputError: The folder holds something else, which is left alone.
        MissingExtraError: ViZDoom is not installed.
        PlaceMemoryError: The engine failed.

    Example:
        >>> building = render_building(Path("sample"), frames=120)  # doctest: +SKIP
        >>> len(list(building.mapping.glob("*.png")))  # doctest: +SKIP
        120
    """
    _check(frames, [seed])
    target = Path(folder).absolute()
    if change not in CHANGES:
        raise SettingError(f"a change is one of {', '.join(CHANGES)}, not {change!r}")
    wanted: dict[str, Any] = {"recipe": _BUILDING, "seed": seed, "frames": frames}
    wanted |= {"size": list(size), "change": change}
    record = find_reusable(target, wanted)
    if record is None:
        mapping, query, off_map = plan_demonstration(seed, frames, change)
        count = _counter(progress, len(mapping.poses) + len(query.poses))

        def write(part: Path) -> dict[str, Any]:
            names, first = {}, _FIRST_VERTEX
            for drive in (mapping, query):
                views = _views(drive, demonstration.START, seed, size)
                names[drive.name], first = _write_run(part / drive.name, drive, views, first, count)
            grid = occupancy(demonstration.FLOOR, _RESOLUTION)
            write_map(part, grid, flood(~grid.blocked, grid.cell(*demonstration.START)))
            files = [f"{run}/{n}" for run, own in names.items() for n in ("vertices.csv", *own)]
            off = [name for name, far in zip(names["query"], off_map, strict=True) if far]
            return {"off_map": off, "files": ["map.yaml", "map.pgm", *files]}

        record = publish(target, wanted, write)
    return Building.at(target, record["off_map"])


def render_traverses(
    folder: Path,
    *,
    seeds: Iterable[int] = (0, 1, 2, 3),
    traverses: int = 4,
    frames: int = 300,
    size: tuple[int, int] = (320, 240),
    progress: Progress | None = None,
) -> list[Path]:
    """Render random buildings, each with several traverses in different light.

    A building has about ten to twenty furnished rooms and halls on 24 to 36 m by 18 to 27 m,
    joined by doors with loops; rooms share a few styles, so some look alike. Its traverses follow
    one closed tour through all rooms. The first one drives straight by day; the others drive up
    to 0.6 m to the side, swing their heading by up to 20 degrees, start elsewhere and see other
    light: lamps out, dusk outside, rooms lighter and darker, with another white balance and more
    noise of the camera. Camera, units and poses are those of
    :func:`render_building`.

    The same arguments give the same bytes. A building's folder appears only when it is complete,
    and a complete one with the same arguments is reused as it is, so an interrupted call goes on
    with the building it was at.

    Args:
        folder: Where to write: ``building-007`` for seed 7, with ``manifest.csv`` and a folder of
            images a traverse (``t0``, ``t1``, ...), which
            :func:`placememory.datasets.open_dataset` opens.
        seeds: One building each, 0 or more.
        traverses: Of each building, two or more.
        frames: Images of each traverse, 8 or more. The default puts them about 0.7 m apart.
        size: Width and height of the images in pixels, one of the engine's sizes.
        progress: Called as ``progress(done, total)`` after every image, and for a reused building.

    Returns:
        The folders, in the order of the seeds.

    Raises:
        SettingError: Too few traverses or frames, a negative seed, or a size that the engine does
            not have.
        InputError: A building's folder holds something else, which is left alone.
        MissingExtraError: ViZDoom is not installed.
        PlaceMemoryError: The engine failed.

    Example:
        >>> render_traverses(Path("train"), seeds=range(4))  # doctest: +SKIP
        [PosixPath('train/building-000'), ...]
    """
    chosen = list(seeds)
    _check(frames, chosen)
    if traverses < 2:
        raise SettingError(f"a building needs two traverses or more, not {traverses}")
    each = traverses * frames
    count = _counter(progress, each * len(chosen))
    folders = []
    for seed in chosen:
        target = Path(folder).absolute() / f"building-{seed:03d}"
        wanted: dict[str, Any] = {"recipe": _TRAVERSES, "seed": seed, "traverses": traverses}
        wanted |= {"frames": frames, "size": list(size)}
        if find_reusable(target, wanted) is None:
            rng = np.random.default_rng(seed)
            floor = random_floor(rng)
            drives = plan_traverses(rng, floor, traverses, frames)

            def write(part: Path, drives: list[Drive] = drives, seed: int = seed) -> dict[str, Any]:
                rows: list[tuple[Any, ...]] = []
                for drive in drives:
                    x, y, _ = drive.poses[0]
                    views = _views(drive, (float(x), float(y)), seed, size)
                    rows += _write_traverse(part, drive, views, count)
                write_csv(part / "manifest.csv", _COLUMNS, rows)
                return {"files": ["manifest.csv", *(row[0] for row in rows)]}

            publish(target, wanted, write)
        else:
            count(each)
        folders.append(target)
    return folders


def _check(frames: int, seeds: Iterable[int]) -> None:
    if frames < _MIN_FRAMES:
        raise SettingError(f"a run needs {_MIN_FRAMES} frames or more, not {frames}")
    for seed in seeds:
        if seed < 0:
            raise SettingError(f"a seed is 0 or more, not {seed}")


def _counter(progress: Progress | None, total: int) -> Callable[..., None]:
    """Counts images; called after each, or with how many were there already."""
    done = 0

    def count(images: int = 1) -> None:
        nonlocal done
        done += images
        if progress is not None:
            progress(done, total)

    return count


def _views(drive: Drive, start: tuple[float, float], seed: int, size: Size) -> Iterator[View]:
    """Images of the camera of a drive, pose by pose, with its white balance and noise."""
    level = wad(textmap(drive.floor.areas, drive.floor.things, start, drive.light))
    rng = np.random.default_rng(drive.stamps_ns[0])
    with World(level, size=size, seed=seed, gamma=drive.gamma) as world:
        for pose in drive.poses:
            view = world.view(*(float(value) for value in pose))
            if drive.noise:
                noise = rng.standard_normal(view.image.shape, dtype=np.float32)
                gains, strength = np.array(drive.gains, np.float32), np.float32(drive.noise)
                values = view.image * gains + noise * strength
                view = replace(view, image=values.clip(0, 255).round().astype(np.uint8))
            yield view


def _write_run(
    folder: Path, drive: Drive, views: Iterator[View], first: int, count: Callable[..., None]
) -> tuple[list[str], int]:
    """Write PNG images and ``vertices.csv``; returns the images' names and the next vertex.

    Before every third image there is a vertex without an image, halfway from the last one.
    """
    folder.mkdir(parents=True)
    vertices: list[Vertex] = []
    names: list[str] = []
    for number, (view, stamp) in enumerate(zip(views, drive.stamps_ns, strict=True)):
        here = Vertex(0, int(stamp), view.x, view.y, view.z, view.yaw)
        if number % 3 == 1:
            vertices.append(between(vertices[-1], here))
        vertices.append(replace(here, index=first + len(vertices)))
        names.append(image_name(vertices[-1], number))
        Image.fromarray(view.image).save(folder / names[-1])
        count()
    write_vertices(folder / "vertices.csv", add_velocities(vertices))
    return names, vertices[-1].index + 1


def _write_traverse(
    folder: Path, drive: Drive, views: Iterator[View], count: Callable[..., None]
) -> list[tuple[Any, ...]]:
    """Write JPEG images; returns their rows of the manifest."""
    (folder / drive.name).mkdir(parents=True)
    rows: list[tuple[Any, ...]] = []
    for number, (view, stamp) in enumerate(zip(views, drive.stamps_ns, strict=True)):
        image = f"{drive.name}/{number:06d}.jpg"
        Image.fromarray(view.image).save(folder / image, quality=_QUALITY)
        place = (f"{view.x:.5f}", f"{view.y:.5f}", f"{view.yaw:.6f}")
        rows.append((image, drive.name, *place, int(stamp), number, drive.name))
        count()
    return rows
