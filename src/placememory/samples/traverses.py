"""Random buildings, each driven several times in different light: data to train and test on."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from placememory._types import Progress
from placememory.errors import SettingError
from placememory.samples._floor import Floor, random_floor
from placememory.samples._level import textmap, wad
from placememory.samples._publish import publish, reusable
from placememory.samples._traverses import TraversePlan, plan_traverses
from placememory.samples.world import World

_RECIPE = "traverses-1"  # raised when the same arguments give other files
_COLUMNS = ("image", "traverse", "x", "y", "yaw", "stamp", "frame", "session")
_QUALITY = 95
_MIN_FRAMES = 8


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
    :func:`placememory.samples.render_building`.

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
    _check(chosen, traverses, frames)
    each, done = traverses * frames, 0

    def count(images: int = 1) -> None:
        nonlocal done
        done += images
        if progress is not None:
            progress(done, each * len(chosen))

    folders = []
    for seed in chosen:
        target = Path(folder).absolute() / f"building-{seed:03d}"
        wanted: dict[str, Any] = {"recipe": _RECIPE, "seed": seed, "traverses": traverses}
        wanted |= {"frames": frames, "size": list(size)}
        if reusable(target, wanted) is None:
            write = partial(
                _render, seed=seed, traverses=traverses, frames=frames, size=size, count=count
            )
            publish(target, wanted, write)
        else:
            count(each)
        folders.append(target)
    return folders


def _check(seeds: list[int], traverses: int, frames: int) -> None:
    if frames < _MIN_FRAMES:
        raise SettingError(f"a traverse needs {_MIN_FRAMES} frames or more, not {frames}")
    if traverses < 2:
        raise SettingError(f"a building needs two traverses or more, not {traverses}")
    if any(seed < 0 for seed in seeds):
        raise SettingError(f"a seed is 0 or more, not {min(seeds)}")


def _render(
    folder: Path,
    *,
    seed: int,
    traverses: int,
    frames: int,
    size: tuple[int, int],
    count: Callable[[], None],
) -> dict[str, Any]:
    """Write a building into a folder that does not exist yet; returns ``files``."""
    rng = np.random.default_rng(seed)
    floor = random_floor(rng)
    rows: list[tuple[str | int | float, ...]] = []
    for number, plan in enumerate(plan_traverses(rng, floor, traverses, frames)):
        name = f"t{number}"
        (folder / name).mkdir(parents=True)
        rows += _render_traverse(folder, name, floor, plan, seed, size, count)
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([_COLUMNS, *rows])
    return {"files": ["manifest.csv", *(str(row[0]) for row in rows)]}


def _render_traverse(
    folder: Path,
    name: str,
    floor: Floor,
    plan: TraversePlan,
    seed: int,
    size: tuple[int, int],
    count: Callable[[], None],
) -> list[tuple[str | int | float, ...]]:
    """Render the images of a traverse; returns their rows of the manifest."""
    x, y, _ = plan.poses[0]
    level = wad(textmap(floor.areas, floor.things, (float(x), float(y)), plan.light))
    rng = np.random.default_rng(plan.stamps_ns[0])
    rows: list[tuple[str | int | float, ...]] = []
    with World(level, size=size, seed=seed, gamma=plan.gamma) as world:
        for number, (pose, stamp) in enumerate(zip(plan.poses, plan.stamps_ns, strict=True)):
            view = world.view(*(float(value) for value in pose))
            image = f"{name}/{number:06d}.jpg"
            picture = _photographed(view.image, plan, rng)
            Image.fromarray(picture).save(folder / image, quality=_QUALITY)
            place = (f"{view.x:.5f}", f"{view.y:.5f}", f"{view.yaw:.6f}")
            rows.append((image, name, *place, int(stamp), number, name))
            count()
    return rows


def _photographed(
    image: NDArray[np.uint8], plan: TraversePlan, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The picture as the traverse's camera takes it, with its white balance and noise."""
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(plan.noise)
    values = image * np.array(plan.gains, np.float32) + noise
    return values.clip(0, 255).round().astype(np.uint8)
