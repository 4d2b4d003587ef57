"""The demonstration: build the memory of a sample building, localise a second run, draw it all."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from placememory.cli._console import out, progress, say
from placememory.cli.localize import print_score
from placememory.localization import LocalizedRun, RunWriter, localize
from placememory.maps import read_map
from placememory.memory import PlaceMemory, images_of_memory
from placememory.memory.build import build
from placememory.samples import Building, render_building, unpack_building

RADIUS = 2.0
FRAMES = 120
_STRIPS, _MATCH_MAPS = 24, 12
_FIGURES = 4 + 3 + 2 * _MATCH_MAPS
_SHOWN = {
    "vertices.png": "The places of the memory in the order they were mapped",
    "similarity.png": "Similarity of frames and places; dots mark the true nearest place",
    "scores.png": "Similarities by rank, and of correct and wrong first candidates",
}


def run(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for everything.")] = Path("demo"),
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Render another evening run; needs the extra demo."),
    ] = None,
) -> None:
    """Build a memory of a sample building, localise a second run, and draw it all.

    Example: [b]placememory demo --out demo[/b]

    Needs no download, no GPU and no display. Then open index.html in the folder. The building's
    images come with the package; with --seed it is rendered. With the extra figures there are also
    pictures as PNG files.
    """
    started = time.perf_counter()
    if seed is None:
        building = unpack_building(out_dir / "building")
    else:
        with progress("Rendering a building") as advance:
            building = render_building(
                out_dir / "building", seed=seed, frames=FRAMES, progress=advance
            )
    uri = out_dir / "office.memory"
    uri.unlink(missing_ok=True)
    with progress("Building the memory") as advance:
        memory = build(
            uri,
            building.mapping,
            building.mapping_vertices,
            map_yaml=building.map_yaml,
            progress=advance,
        )
    say(str(memory.report))
    with memory:
        with progress("Localising the second run") as advance:
            result = localize(
                memory, building.query, poses=building.query_vertices, progress=advance
            )
        score = result.score(RADIUS)
        with RunWriter(out_dir / "answers", radius=RADIUS) as files:
            for estimate in result:
                files.write(estimate)
            files.finish(result, score)
        print_score(result, score)
        page = _draw(out_dir, memory, building, result)
    say(f"tables are in {(out_dir / 'answers').resolve()}")
    if find_spec("matplotlib") is None:
        say("pictures need: pip install 'placememory[figures]'")
    else:
        say(f"figures are in {(out_dir / 'figures').resolve()}")
    say(f"{time.perf_counter() - started:.0f} s in all")
    out.print(f"\nOpen {page.resolve()}")


def _draw(folder: Path, memory: PlaceMemory, building: Building, result: LocalizedRun) -> Path:
    """Draw the figures, and the page that shows them."""
    from placememory.figures import write_report

    image_of = images_of_memory(memory)
    pictures = []
    if find_spec("matplotlib") is not None:
        from placememory.figures import draw_gallery

        with progress("Drawing") as advance:
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
            for count, _ in enumerate(drawn, start=1):
                advance(count, _FIGURES)
        pictures = [
            (text, (folder / "figures" / name).read_bytes()) for name, text in _SHOWN.items()
        ]
    return write_report(
        folder,
        memory,
        result,
        radius=RADIUS,
        title="Sample building: a second run on its map",
        notes=(
            f"{len(memory)} places from a mapping run by day; {len(result.estimates)} frames of an "
            f"evening run. {len(building.off_map)} of them were taken in rooms that the mapping "
            "run never saw: there the robot must say that it does not know where it is.",
        ),
        figures=pictures,
        image_of=image_of,
    )
