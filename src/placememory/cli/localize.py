"""``placememory localize``: where on the map was each frame taken?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from placememory._localize import Estimate, localize, measure
from placememory._results import write_results
from placememory._version import __version__
from placememory.cli import _options as options
from placememory.cli._common import (
    FrameOptions,
    encoder_of,
    out,
    peak_megabytes,
    print_json,
    progress,
    say,
    tell_bad,
    warn,
    where_of,
)
from placememory.evaluation import FrameCheck, RecallResult
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
        encoder = encoder_of(opened, device=device, precision=precision)
        started = time.perf_counter()
        with progress("Localising") as advance:
            estimates, bad = localize(
                opened,
                frames,
                encoder,
                k=k,
                where=where,
                skip_bad=skip_bad,
                progress=advance,
            )
        seconds = time.perf_counter() - started
        measured = measure(estimates, opened, radius=radius, heading=heading)
        metrics = _metrics(opened, estimates, bad, measured, seconds)
    written = write_results(out_dir, estimates, metrics, radius=radius, heading=heading)
    tell_bad(bad)
    if as_json:
        print_json(metrics)
    else:
        _tell(estimates, measured, seconds)
    say(f"wrote {', '.join(path.name for path in written)} to {out_dir}")


def _metrics(
    memory: PlaceMemory,
    estimates: Sequence[Estimate],
    bad: Sequence[tuple[str, str]],
    measured: tuple[RecallResult, FrameCheck | None] | None,
    seconds: float,
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "software": f"placememory {__version__}",
        "memory": memory.uri,
        "encoder": memory.card.name,
        "encoder_hash": memory.card.hash,
        "places": len(memory),
        "frames": len(estimates),
        "frames_with_a_pose_found": sum(e.pose is not None for e in estimates),
        "bad_images": [name for name, _ in bad],
        "ms_per_frame": 1e3 * seconds / max(1, len(estimates)),
        "peak_mb": peak_megabytes(),
        "recall": None,
        "map_frames": None,
    }
    if measured is not None:
        recall, check = measured
        result["recall"] = recall.to_dict()
        if check is not None:
            result["map_frames"] = {"differ": check.differs, "text": str(check)}
    return result


def _tell(
    estimates: Sequence[Estimate],
    measured: tuple[RecallResult, FrameCheck | None] | None,
    seconds: float,
) -> None:
    found = sum(estimate.pose is not None for estimate in estimates)
    out.print(
        f"{len(estimates)} frames, {found} answered with a pose, "
        f"{1e3 * seconds / max(1, len(estimates)):.0f} ms a frame (reading included)"
    )
    if measured is None:
        out.print("no true poses to compare with: the answers are not measured")
        return
    recall, check = measured
    out.print(str(recall), markup=False)
    if check is not None and check.differs:
        warn(str(check))
