"""``placememory demo``: everything once, on a rendered building."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from placememory._extras import require
from placememory.cli._common import out, progress, say
from placememory.cli._localizing import tell_result


def run(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for everything.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Another evening run.")] = 0,
) -> None:
    """Render a building, build a memory of it, localise a second run, and draw it all.

    Example: [b]placememory demo --out demo[/b]

    Needs no download, no GPU and no display. Then open index.html in the folder.
    """
    require("matplotlib", extra="demo", purpose="Figures")
    from placememory._demo import run_demo

    started = time.perf_counter()
    demo = run_demo(out_dir, seed=seed, progress=progress)
    say(
        f"{demo.built.added} places at {demo.built.images_per_second:.0f} images/s; "
        f"{len(demo.building.off_map)} of the evening's frames were taken off the map"
    )
    tell_result(demo.result, demo.measured)
    out.print(
        f"\nOpen {demo.page.resolve()}\n{len(demo.figures)} figures are in "
        f"{(out_dir / 'figures').resolve()}, tables in {(out_dir / 'answers').resolve()}",
        markup=False,
    )
    say(f"{time.perf_counter() - started:.0f} s in all")
