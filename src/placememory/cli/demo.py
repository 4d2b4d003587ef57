"""The demonstration: render a building, build its memory, localise a second run, draw it all."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from placememory._registry import require
from placememory.cli._common import out, progress, say
from placememory.cli.localize import tell_result
from placememory.encoders import create
from placememory.frames import Frame, list_frames, read_poses
from placememory.localization import LocalizedRun, RunScore, RunWriter, localize
from placememory.maps import read_map
from placememory.memory import PlaceMemory, images_of_memory
from placememory.memory.build import BuildReport, build
from placememory.samples import Building, render_building

RADIUS = 2.0
_FRAMES = 120
_STRIPS, _MATCH_MAPS = 24, 12
_FIGURES = 4 + 3 + _MATCH_MAPS
_SHOWN = (
    ("trajectory.png", "Where each frame of the evening run was, and how its answer was."),
    ("vertices.png", "The places of the memory in the order they were mapped."),
    (
        "similarity.png",
        "Similarity of frames and places; dots mark the true nearest place.",
    ),
    (
        "scores.png",
        "Similarities by rank, and of right and wrong answers.",
    ),
)

Progress = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


@dataclass(frozen=True, slots=True)
class Demo:
    """What a demonstration left behind.

    Attributes:
        building: The rendered building.
        memory: Address of its memory.
        built: What the build did.
        result: The localised query run.
        score: How right it is.
        page: The page to open.
        figures: The figures.
    """

    building: Building
    memory: Path
    built: BuildReport
    result: LocalizedRun
    score: RunScore | None
    page: Path
    figures: tuple[Path, ...]


def run_demo(folder: Path, *, seed: int = 0, progress: Progress) -> Demo:
    """Run the demonstration.

    Args:
        folder: Gets ``building/``, ``office.memory``, ``answers/``, ``figures/`` and
            ``index.html``. A building that is there is used again.
        seed: Of the query run's light, offsets and headings.
        progress: Gives a progress bar for a step.

    Raises:
        MissingExtraError: ViZDoom, torch or matplotlib is not installed.
        InputError: The folder holds something else.
    """
    with progress("Rendering a building") as advance:
        building = render_building(folder / "building", seed=seed, frames=_FRAMES, progress=advance)
    memory = folder / "office.memory"
    memory.unlink(missing_ok=True)
    mapping = _posed(building.mapping, building.mapping_vertices)
    with progress("Building the memory") as advance:
        built = build(
            memory,
            mapping,
            create("lite-vlad"),
            map_yaml=building.map_yaml.resolve(),
            source=building.mapping,
            progress=advance,
        )
    query = _posed(building.query, building.query_vertices)
    with PlaceMemory.open(memory, readonly=True) as opened:
        with progress("Localising the second run") as advance:
            result = localize(opened, query, progress=advance)
        score = result.score(RADIUS)
        with RunWriter(folder / "answers", radius=RADIUS) as files:
            for estimate in result:
                files.write(estimate)
            files.finish(result, score)
        with progress("Drawing") as advance:
            figures, page = _draw(folder, opened, building, result, advance)
    return Demo(building, memory, built, result, score, page, figures)


def _posed(images: Path, vertices: Path) -> list[Frame]:
    return read_poses(vertices).join(list_frames(images))[0]


def _draw(
    folder: Path,
    memory: PlaceMemory,
    building: Building,
    result: LocalizedRun,
    advance: Callable[[int, int], None],
) -> tuple[tuple[Path, ...], Path]:
    """Draw the figures, and the page that shows them."""
    from placememory.figures import draw_gallery, write_report

    image_of = images_of_memory(memory)
    drawn = draw_gallery(
        folder / "figures",
        memory,
        result,
        image_of=image_of,
        grid=read_map(building.map_yaml),
        radius=RADIUS,
        strips=_STRIPS,
        match_maps=_MATCH_MAPS,
    )
    paths = []
    for path in drawn:
        paths.append(path)
        advance(len(paths), _FIGURES)
    page = write_report(
        folder,
        memory,
        result,
        radius=RADIUS,
        title="A building remembered",
        notes=(
            f"{len(memory)} places from a mapping run by day; {len(result.estimates)} frames of an "
            "evening run. Part of it goes where the mapping run never was.",
        ),
        figures=[(text, (folder / "figures" / name).read_bytes()) for name, text in _SHOWN],
        image_of=image_of,
    )
    return tuple(paths), page


def run(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for everything.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Another evening run.")] = 0,
) -> None:
    """Render a building, build a memory of it, localise a second run, and draw it all.

    Example: [b]placememory demo --out demo[/b]

    Needs no download, no GPU and no display. Then open index.html in the folder.
    """
    require("matplotlib", extra="demo", purpose="Figures")
    started = time.perf_counter()
    demo = run_demo(out_dir, seed=seed, progress=progress)
    say(
        f"{demo.built.added} places at {demo.built.images_per_second:.0f} images/s; "
        f"{len(demo.building.off_map)} of the evening's frames were taken off the map"
    )
    tell_result(demo.result, demo.score)
    out.print(
        f"\nOpen {demo.page.resolve()}\n{len(demo.figures)} figures are in "
        f"{(out_dir / 'figures').resolve()}, tables in {(out_dir / 'answers').resolve()}",
        markup=False,
    )
    say(f"{time.perf_counter() - started:.0f} s in all")
