"""``placememory figures``: draw a memory and its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from placememory.cli import _options as options
from placememory.cli._console import print_table, progress, say, warn, warn_of_bad_images
from placememory.localization import LocalizedRun, localize
from placememory.maps import OccupancyGrid, read_map
from placememory.memory import PlaceMemory, Where, images_of_memory, recall_topics
from placememory.metrics import DEFAULT_RADIUS


@options.expand_groups
def run(
    memory: options.Memory,
    frames: options.PosedFrames,
    running: options.Running,
    source: options.MaybeSource = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the figures.")] = Path(
        "figures"
    ),
    map_yaml: options.MapYaml = None,
    place_images: Annotated[
        Path | None, typer.Option(help="Where the memory's images are now, if they have moved.")
    ] = None,
    exclude_session: options.ExcludeSession = None,
    radius: options.Radius = DEFAULT_RADIUS,
    heading: options.Heading = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Candidates shown.")] = 5,
    every_query: Annotated[
        bool, typer.Option("--all", help="Strips and maps of all queries, not of a sample.")
    ] = False,
) -> None:
    """Draw places on the map and, of queries, strips, matches, scores and similarities.

    Example: [b]placememory figures office.memory run2/ --poses truth.csv --out figures/[/b]
    """
    from placememory.figures import draw_gallery

    options.check_order(memory, source)
    result: LocalizedRun | None = None
    with PlaceMemory.open(memory, readonly=True) as opened:
        if source is not None:
            with progress("Localising") as advance:
                result = localize(
                    opened,
                    recall_topics(frames.selection, memory, source).list_frames(source),
                    encoder=running.encoder_of(opened),
                    fusion=None,
                    where=None if not exclude_session else Where(exclude_sessions=exclude_session),
                    k=max(k, 10),
                    skip_bad=frames.skip_bad,
                    progress=advance,
                )
            warn_of_bad_images(result.bad)
            if result.warning is not None:
                warn(result.warning)
        drawn = draw_gallery(
            out_dir,
            opened,
            result,
            image_of=images_of_memory(opened, place_images),
            grid=grid_of(opened, map_yaml),
            radius=radius,
            heading=heading,
            k=k,
            **(
                {"strips": len(result), "match_maps": len(result)} if every_query and result else {}
            ),
        )
        with progress("Drawing") as advance:
            count = 0
            for count, _ in enumerate(drawn, start=1):
                advance(count, count)
    if result is not None:
        _print_scores(result, k)
    say(f"{count} figures in {out_dir}")


def _print_scores(run: LocalizedRun, k: int) -> None:
    """Statistics of the similarities at each rank."""
    rows = []
    for rank in range(k):
        found = [e.candidates[rank].similarity for e in run if len(e.candidates) > rank]
        if found:
            numbers = (np.median(found), np.mean(found), np.std(found), min(found), max(found))
            rows.append([rank + 1, len(found), *(f"{number:.4f}" for number in numbers)])
    columns = ("rank", "queries", "median", "mean", "deviation", "least", "most")
    print_table(columns, rows, title="similarity")


def grid_of(memory: PlaceMemory, chosen: Path | None) -> OccupancyGrid | None:
    """The map given, else the one the memory was built with, if it is still there."""
    if chosen is not None:
        return read_map(chosen)
    remembered = memory.manifest.map_yaml
    if remembered is None:
        return None
    if not Path(remembered).is_file():
        warn(f"the memory's map {remembered} is not there any more; give it with --map")
        return None
    return read_map(remembered)
