"""The recipe of the sample building: a map, a mapping run and a query run, all with exact poses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from placememory._types import Progress
from placememory.errors import SettingError
from placememory.samples._publish import publish, reusable
from placememory.samples._render import render_files

_RECIPE = 2  # raised when the same arguments give other files
_MIN_FRAMES = 8


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


def render_building(
    folder: Path,
    *,
    seed: int = 0,
    frames: int = 120,
    size: tuple[int, int] = (320, 240),
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
        progress: Called as ``progress(done, total)`` after every image.

    Returns:
        The paths of what was written.

    Raises:
        SettingError: Too few frames, a negative seed, or a size that the engine does not have.
        InputError: The folder holds something else, which is left alone.
        MissingExtraError: ViZDoom is not installed.
        PlaceMemoryError: The engine failed.

    Example:
        >>> building = render_building(Path("sample"), frames=120)  # doctest: +SKIP
        >>> len(list(building.mapping.glob("*.png")))  # doctest: +SKIP
        120
    """
    if frames < _MIN_FRAMES:
        raise SettingError(f"a building needs {_MIN_FRAMES} frames or more, not {frames}")
    if seed < 0:
        raise SettingError(f"a seed is 0 or more, not {seed}")
    target = Path(folder).absolute()
    wanted = {"recipe": _RECIPE, "seed": seed, "frames": frames, "size": list(size)}
    record = reusable(target, wanted)
    if record is None:
        record = publish(
            target, wanted, lambda part: render_files(part, seed, frames, size, progress)
        )
    return _building(target, record)


def _building(folder: Path, record: dict[str, Any]) -> Building:
    return Building(
        folder=folder,
        map_yaml=folder / "map.yaml",
        mapping=folder / "mapping",
        mapping_vertices=folder / "mapping" / "vertices.csv",
        query=folder / "query",
        query_vertices=folder / "query" / "vertices.csv",
        off_map=tuple(record["off_map"]),
    )
