"""``placememory figures``: look at a memory, and at what it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from placememory.cli import _options as options
from placememory.cli._common import encoder_of, progress, say, tell_bad, warn
from placememory.cli._frames import FrameOptions
from placememory.localization import LocalizedRun, localize
from placememory.maps import OccupancyGrid, read_map
from placememory.memory import PlaceMemory, images_of_memory


def run(
    memory: options.Memory,
    images: options.Queries = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the figures.")] = Path(
        "figures"
    ),
    map_yaml: options.MapYaml = None,
    place_images: options.PlaceImages = None,
    poses: options.Poses = None,
    radius: options.Radius = 5.0,
    heading: options.Heading = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Candidates shown.")] = 5,
    session: options.Session = None,
    pose_format: options.PoseFormat = None,
    max_gap: options.MaxGap = None,
    names: options.NameList = None,
    globs: options.Globs = None,
    every: options.Every = 1,
    exif: options.Exif = True,
    topic: options.Topic = None,
    pose_topic: options.PoseTopic = None,
    pose_frames: options.PoseFrames = None,
    skip_bad: options.SkipBad = False,
    weights: options.Weights = None,
    device: options.Device = "cpu",
    precision: options.Precision = "auto",
) -> None:
    """Draw places on the map and, with queries, strips, matches, scores and the similarity matrix.

    Example: [b]placememory figures office.memory run2/ --poses truth.csv --out figures/[/b]
    """
    from placememory.figures import draw_gallery

    chosen = FrameOptions(
        poses, pose_format, max_gap, session, names, globs, every, exif, topic, pose_topic,
        pose_frames, skip_bad=skip_bad,
    )  # fmt: skip
    result: LocalizedRun | None = None
    with PlaceMemory.open(memory, readonly=True) as opened:
        if images is not None:
            frames = chosen.load(images)
            encoder = encoder_of(opened, weights=weights, device=device, precision=precision)
            with progress("Localising") as advance:
                result = localize(
                    opened,
                    frames,
                    encoder=encoder,
                    fusion=None,
                    k=max(k, 10),
                    skip_bad=skip_bad,
                    progress=advance,
                )
            tell_bad(result.bad)
        drawn = draw_gallery(
            out_dir,
            opened,
            result,
            image_of=images_of_memory(opened, place_images),
            grid=grid_of(opened, map_yaml),
            radius=radius,
            heading=heading,
            k=k,
        )
        with progress("Drawing") as advance:
            count = 0
            for count, _ in enumerate(drawn, start=1):
                advance(count, count)
    say(f"{count} figures in {out_dir}")


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
