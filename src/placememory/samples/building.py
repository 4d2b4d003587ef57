"""The recipe of the sample building: a map, a mapping run and a query run, all with exact poses."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from placememory.errors import InputError, SettingError
from placememory.samples._render import Progress, render_files

_RECIPE = 2  # raised when the same arguments give other files
_RECORD = "building.json"
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
    record = _reusable(target, wanted)
    if record is None:
        record = _publish(
            target, wanted, lambda part: render_files(part, seed, frames, size, progress)
        )
    return _building(target, record)


def _reusable(target: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
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


def _publish(
    target: Path, wanted: dict[str, Any], write: Callable[[Path], dict[str, Any]]
) -> dict[str, Any]:
    """Let ``write`` fill a folder beside the target, then put it in the target's place."""
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
