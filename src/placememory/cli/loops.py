"""``placememory loops``: loop closures for a pose graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from placememory._io import write_csv, write_text
from placememory.cli import _options as options
from placememory.cli._console import progress, say
from placememory.localization.loops import GraphFormat, find_loops, graph_text
from placememory.memory import PlaceMemory


def run(
    memory: options.Memory,
    out: Annotated[Path, typer.Option("--out", help="The graph.")] = Path("loops.g2o"),
    kind: Annotated[
        str, typer.Option("--format", help="g2o, or gtsam (VERTEX3 and EDGE3, for load3D).")
    ] = "g2o",
    apart: Annotated[
        float, typer.Option(help="Metres of way to places of the same session that may answer.")
    ] = 20.0,
    verify: Annotated[
        bool | None,
        typer.Option(help="Compare images by local features in doubt; default: where installed."),
    ] = None,
) -> None:
    """Write loop closures of a memory, with relative pose and covariance, for a pose graph.

    Example: [b]placememory loops office.memory --out loops.g2o[/b]

    Every session is localised on what was mapped before it; each located place is an edge to the
    place it shows. The numbers of the vertices are those of FILE.places.csv.
    """
    with PlaceMemory.open(memory, readonly=True) as opened:
        with progress("Localising") as advance:
            found = find_loops(
                opened,
                apart=apart,
                verify=None if verify is False else "auto",
                progress=advance,
            )
        places = list(opened.places)
        write_text(out, graph_text(found, places, cast("GraphFormat", kind)))
        table = out.with_name(f"{out.name}.places.csv")
        rows = [(i, p.session, p.index, p.name) for i, p in enumerate(places)]
        write_csv(table, ("vertex", "session", "index", "name"), rows)
    between = sum(loop.first[0] != loop.second[0] for loop in found)
    say(f"{len(found)} loops of {len(places)} places, {between} between sessions: {out}, {table}")
