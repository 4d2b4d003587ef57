"""``placememory localize``: where on the map was each frame taken?"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from placememory._estimate import Estimate
from placememory._localize import (
    Localization,
    Measured,
    localize,
    localize_online,
    measure,
    measure_verdicts,
)
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
from placememory.errors import SettingError
from placememory.frames import Frame
from placememory.fusion import DEFAULT_FUSION
from placememory.localizer import Localizer
from placememory.memory import PlaceMemory, Where
from placememory.verification import Policy, Verifier

_CHECKED = 20


def run(
    memory: options.Memory,
    images: Annotated[
        Path, typer.Argument(help="Folder, video, ROS bag, or one image.", show_default=False)
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
    max_gap: options.MaxGap = None,
    names: options.NameList = None,
    globs: options.Globs = None,
    every: options.Every = 1,
    exif: options.Exif = True,
    topic: options.Topic = None,
    pose_topic: options.PoseTopic = None,
    pose_frames: options.PoseFrames = None,
    fusion: Annotated[
        str | None,
        typer.Option(
            help="bayes, spatial, heatmap, frequency, or none: each frame alone. Default: bayes.",
            show_default=False,
        ),
    ] = None,
    matcher: Annotated[
        str | None, typer.Option(help="Sequence matcher, for frame-to-frame matches.")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Check candidates by local features where it is not clear."),
    ] = False,
    report_dir: Annotated[
        Path | None, typer.Option("--report", help="Folder for figures and one HTML page.")
    ] = None,
    skip_bad: options.SkipBad = False,
    weights: options.Weights = None,
    device: options.Device = "cpu",
    precision: options.Precision = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Localise a run as it streams, each frame with what came before, and write what was found.

    Example: [b]placememory localize office.memory run2/ --out answers/ --poses truth.csv[/b]

    The folder gets estimates.jsonl, line by line as the frames come, and at the end
    trajectory.tum, estimates.csv, test_to_vertex_matches.csv and metrics.json. A frame is located,
    ambiguous or unknown; the trajectory holds the located ones.
    Without poses or a map it names places. The poses of the queries, if given, are the truth that
    the answers are measured against; they are not used to answer.
    """
    chosen = FrameOptions(
        poses, pose_format, max_gap, session, names, globs, every, exif, topic, pose_topic,
        pose_frames, skip_bad=skip_bad,
    )  # fmt: skip
    frames = chosen.load(images)
    where = where_of(in_session or [], near, within, floor)
    with PlaceMemory.open(memory, readonly=True) as opened:
        encoder = encoder_of(opened, weights=weights, device=device, precision=precision)
        method = _method(fusion, where)
        if method is None:
            with progress("Localising") as advance:
                result = localize(
                    opened, frames, encoder, k=k, where=where, skip_bad=skip_bad, progress=advance
                )
        else:
            localizer = Localizer(
                opened,
                encoder,
                fusion=method,
                matcher=matcher,
                verify=_verifier(opened) if verify else None,
                k=max(k, _CHECKED) if verify else k,
            )
            result = _stream(localizer, frames, out_dir, skip_bad=skip_bad)
        measured = measure(result.estimates, opened, radius=radius, heading=heading)
        verdicts = measure_verdicts(result.estimates, opened, radius=radius)
        metrics = {
            **metrics_of(opened, result, measured),
            "verdicts": None if verdicts is None else verdicts.to_dict(),
            "peak_mb": peak_megabytes(),
        }
        if report_dir is not None:
            from placememory.cli._report import write_report

            say(f"report: {write_report(report_dir, opened, result, measured, verdicts, radius)}")
    written = write_results(out_dir, result.estimates, metrics, radius=radius, heading=heading)
    tell_bad(result.bad)
    if as_json:
        print_json(metrics)
    else:
        tell_result(result, measured)
        if verdicts is not None:
            out.print(str(verdicts), markup=False)
    say(f"wrote {', '.join(path.name for path in written)} to {out_dir}")


def _verifier(memory: PlaceMemory) -> Verifier:
    """Local features on the memory's own images, where they lie."""
    from placememory._gallery import images_of_memory

    return Verifier(images_of_memory(memory), policy=Policy(top=_CHECKED))


def _method(fusion: str | None, where: Where | None) -> str | None:
    """Name of the fusion; ``None`` answers each frame alone.

    Raises:
        SettingError: Places are left out of the search, which the fusion cannot do.
    """
    if fusion is None:
        return DEFAULT_FUSION if where is None else None
    if fusion != "none" and where is not None:
        raise SettingError("filters of places go with --fusion none")
    return None if fusion == "none" else fusion


def _stream(
    localizer: Localizer, frames: list[Frame], folder: Path, *, skip_bad: bool
) -> Localization:
    """Localise frame by frame; a line for each is on disk before the next frame is read."""
    folder.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    with (
        (folder / "estimates.jsonl").open("w", encoding="utf-8") as lines,
        progress("Localising") as advance,
    ):

        def told(estimate: Estimate) -> None:
            lines.write(json.dumps(estimate.to_dict(), allow_nan=False) + "\n")
            lines.flush()
            counts[estimate.verdict or "alone"] += 1
            advance(counts.total(), len(frames))

        result = localize_online(localizer, frames, skip_bad=skip_bad, told=told)
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    say(f"{len(frames)} frames: {words}")
    return result


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
