"""``placememory localize``: where on the map was each frame taken?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from placememory._localize import Localization, Measured, localize, measure
from placememory._results import metrics_of, recall_rows, write_results
from placememory.cli import _options as options
from placememory.cli._common import (
    FrameOptions,
    encoder_of,
    out,
    peak_megabytes,
    print_json,
    print_table,
    progress,
    say,
    tell_bad,
    warn,
    where_of,
)
from placememory.memory import PlaceMemory


def run(
    memory: options.Memory,
    images: Annotated[
        Path, typer.Argument(help="Folder, video, or one image.", show_default=False)
    ],
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder for the results.", show_default=False)
    ],
    poses: options.Poses = None,
    radius: options.Radius = 5.0,
    heading: options.Heading = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Candidates a frame.")] = 10,
    in_session: options.InSession = None,
    near: options.Near = None,
    within: options.Within = None,
    floor: options.Floor = None,
    session: options.Session = None,
    pose_format: options.PoseFormat = None,
    max_gap: options.MaxGap = 0.05,
    names: options.NameList = None,
    globs: options.Globs = None,
    every: options.Every = 1,
    exif: options.Exif = True,
    skip_bad: options.SkipBad = False,
    weights: options.Weights = None,
    device: options.Device = "cpu",
    precision: options.Precision = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Localise the frames of a run, one by one, and write what was found.

    Example: [b]placememory localize office.memory run2/ --out answers/ --poses truth.csv[/b]

    The folder gets trajectory.tum, estimates.csv, test_to_vertex_matches.csv and metrics.json.
    Without poses or a map it names places. The poses of the queries, if given, are the truth that
    the answers are measured against; they are not used to answer.
    """
    chosen = FrameOptions(poses, pose_format, max_gap, session, names, globs, every, exif)
    frames = chosen.load(images)
    where = where_of(in_session or [], near, within, floor)
    with PlaceMemory.open(memory, readonly=True) as opened:
        encoder = encoder_of(opened, weights=weights, device=device, precision=precision)
        with progress("Localising") as advance:
            result = localize(
                opened, frames, encoder, k=k, where=where, skip_bad=skip_bad, progress=advance
            )
        measured = measure(result.estimates, opened, radius=radius, heading=heading)
        metrics = {**metrics_of(opened, result, measured), "peak_mb": peak_megabytes()}
    written = write_results(out_dir, result.estimates, metrics, radius=radius, heading=heading)
    tell_bad(result.bad)
    if as_json:
        print_json(metrics)
    else:
        tell_result(result, measured)
    say(f"wrote {', '.join(path.name for path in written)} to {out_dir}")


def tell_result(result: Localization, measured: Measured | None) -> None:
    """Print how many frames were answered, and how right the answers are."""
    estimates = result.estimates
    found = sum(estimate.pose is not None for estimate in estimates)
    out.print(
        f"{len(estimates)} frames, {found} answered with a pose, "
        f"{1e3 * result.seconds / max(1, len(estimates)):.0f} ms a frame (reading included)"
    )
    if measured is None:
        out.print("no true poses to compare with: the answers are not measured")
        return
    print_table(("", "value", "95% interval"), recall_rows(measured.recall))
    out.print(measured.recall.protocol, markup=False)
    if measured.map_frames is not None and measured.map_frames.differs:
        warn(str(measured.map_frames))
