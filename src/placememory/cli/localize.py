"""``placememory localize``: a run as it streams, each frame with what came before."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import typer

from placememory.cli import _options as options
from placememory.cli._console import (
    out,
    paint,
    peak_megabytes,
    print_json,
    print_table,
    progress,
    say,
    warn,
    warn_of_bad_images,
)
from placememory.errors import InputError, SettingError
from placememory.fusion import DEFAULT_FUSION
from placememory.geometry import PosedModel, Poser, Verifier, read_camera
from placememory.localization import (
    AddedRun,
    Estimate,
    LocalizedRun,
    Localizer,
    RunScore,
    Summary,
    add_run,
    record,
)
from placememory.localization.session import check_session
from placememory.localization.stream import Stream, open_stream
from placememory.memory import PlaceMemory, images_folder, images_of_memory, recall_topics
from placememory.metrics import DEFAULT_RADIUS, RecallResult

_RECENT = 0.1  # weight of the newest frame in the milliseconds shown


@options.expand_groups
def run(
    memory: options.Memory,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Folder, video, ROS bag, one image, or a camera: 0, 1, /dev/video0.",
            show_default=False,
        ),
    ],
    frames: options.PosedFrames,
    places: options.Filter,
    motion: options.Motion,
    running: options.Running,
    out_dir: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for the results; default: answers/ and the source's name.",
            show_default=False,
        ),
    ] = None,
    radius: options.Radius = DEFAULT_RADIUS,
    heading: options.Heading = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Candidates a frame.")] = 10,
    plane: Annotated[
        str | None,
        typer.Option(
            help="xy, xz or yz of the map frame that the robot moves in; default: found.",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="End a camera's stream after this time; default: Ctrl-C ends it.",
            min=0.0,
            show_default=False,
        ),
    ] = None,
    fusion: Annotated[
        str,
        typer.Option(help="bayes, spatial, heatmap, frequency, or none: each frame alone."),
    ] = DEFAULT_FUSION,
    matcher: Annotated[
        str | None, typer.Option(help="Sequence matcher, for frame-to-frame matches.")
    ] = None,
    sequence_weights: options.SequenceWeights = None,
    verify: Annotated[
        bool | None,
        typer.Option(
            help="Compare images by local features where the belief is in doubt; default: where "
            "the extra verify is installed.",
            show_default=False,
        ),
    ] = None,
    intrinsics: Annotated[
        Path | None,
        typer.Option(help="The camera's intrinsics: camera_info YAML, COLMAP line or JSON."),
    ] = None,
    colmap: Annotated[
        Path | None,
        typer.Option(help="COLMAP model of the mapping images: 6-DoF poses. Needs --intrinsics."),
    ] = None,
    add_session: Annotated[
        str | None,
        typer.Option(
            help="Add the finished run to the memory as a session of this name.",
            show_default=False,
        ),
    ] = None,
    report_dir: Annotated[
        Path | None, typer.Option("--report", help="Folder for figures and one HTML page.")
    ] = None,
    rerun: Annotated[
        Path | None, typer.Option(help="A recording for Rerun, such as run.rrd.")
    ] = None,
    foxglove: Annotated[
        Path | None, typer.Option(help="A recording for Foxglove, such as run.mcap.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Localise a run as it streams, each frame with those before it, and write the results.

    Example: [b]placememory localize office.memory run2/ --poses truth.csv[/b]

    The folder gets estimates.jsonl, trajectory.tum, estimates.csv and test_to_vertex_matches.csv,
    line by line as the frames come, and at the end metrics.json. A frame is located, ambiguous or
    unknown; the trajectory holds the located ones.
    Without poses or a map it names places. The poses of the queries, if given, are the truth that
    the answers are measured against; they are not used to answer. Odometry is.
    A camera streams until Ctrl-C, --seconds, or until it is unplugged; images that come while one
    is localised are dropped.
    --add-session adds the run to the memory: located frames with their poses, those between with
    poses from odometry, whose drift is printed.
    """
    options.check_order(memory, source)
    method = None if fusion == "none" else fusion
    if out_dir is None:
        out_dir = Path("answers") / (source.resolve().stem or "run")
    selection = recall_topics(frames.selection, memory, source)
    stream = open_stream(source, selection, motion.source, seconds=seconds, listed=method is None)
    drawn = [path for path in (report_dir, rerun, foxglove) if path is not None]
    if stream.camera is not None and drawn:
        raise SettingError(
            "--report, --rerun and --foxglove show the frames again, and a camera's are gone; "
            "record and localise a video"
        )
    if add_session is not None and method is None:
        raise SettingError(
            "--add-session needs a fusion: poses of frames alone are not sure enough"
        )
    if add_session is not None and stream.keep == "nothing":
        stream.keep = "no images"
    with PlaceMemory.open(memory, readonly=add_session is None) as opened:
        if add_session is not None:
            check_session(opened, add_session)
        verifier, poser = _geometry(opened, verify=verify, intrinsics=intrinsics, colmap=colmap)
        encoder = running.encoder_of(opened)
        card = opened.sequence_card
        localizer = Localizer(
            opened,
            encoder,
            sequence_encoder=None
            if card is None or sequence_weights is None
            else options.sequence_encoder_of(card.name, encoder, running, sequence_weights),
            fusion=method,
            matcher=matcher,
            where=places.where,
            verify=verifier,
            poser=poser,
            k=k,
            plane=plane,
        )
        with _stop_on_interrupt(stream.stop), progress("Localising") as advance:
            done, files = record(
                localizer,
                stream,
                out_dir,
                radius=radius,
                heading=heading,
                skip_bad=frames.skip_bad,
                on_estimate=_shown_by(advance, stream.total),
            )
        say(paint(f"{done.summary.frames} frames: {done.summary}"))
        stream.log_joins(estimate.frame for estimate in done)
        score = done.score(radius, heading)
        added = None
        if add_session is not None:
            added = _add(opened, done, add_session, stream, source)
        ended = None if done.ended is None else str(done.ended)
        metrics = files.finish(
            done,
            score,
            {
                **stream.to_dict(),
                "source": None if stream.camera is not None else str(source.resolve()),
                "topic": frames.topic if stream.bag is None else stream.bag[1],
                "radius": radius,
                "ended": ended,
                "added": None if added is None else added.to_dict(),
                "peak_mb": peak_megabytes(),
            },
        )
        warn_of_bad_images(done.bad)
        if done.warning is not None:
            warn(done.warning)
        if as_json:
            print_json(metrics)
        else:
            print_score(done, score)
        say(f"wrote {', '.join(path.name for path in files.paths)} to {out_dir}")
        if drawn:
            again = _with_images(opened, done, stream)
            for path in _draw(opened, again, report_dir, rerun, foxglove, radius, heading):
                say(f"wrote {path}")
    if done.ended is not None:
        raise done.ended
    if stream.report is not None:
        frames.selection.check_join(stream.report)
    if stream.stop.is_set() and done.summary.frames != stream.total and stream.camera is None:
        say(f"interrupted after {done.summary.frames} frames; their results are written")
        raise typer.Exit(1)


def _add(
    memory: PlaceMemory, run: LocalizedRun, session: str, stream: Stream, source: Path
) -> AddedRun | None:
    """Add the run to the memory, unless it was cut short; what keeps it out is said."""
    cut = stream.stop.is_set() and stream.camera is None and run.summary.frames != stream.total
    if run.ended is not None or cut:
        warn("the run ended early, so it is not added to the memory")
        return None
    try:
        added = add_run(
            memory,
            run,
            session,
            source=None if stream.camera is not None else source.resolve(),
            topic=None if stream.bag is None else stream.bag[1],
        )
    except InputError as error:
        warn(f"not added to the memory: {error}")
        return None
    say(str(added))
    return added


def _geometry(
    memory: PlaceMemory, *, verify: bool | None, intrinsics: Path | None, colmap: Path | None
) -> tuple[Verifier | None, Poser | None]:
    """Local features on the memory's own images."""
    camera = None if intrinsics is None else read_camera(intrinsics)
    verifier = Verifier(images_of_memory(memory), camera=camera) if verify else None
    if verify is None:
        verifier = Verifier.of_memory(memory, camera=camera)
        if not Verifier.is_installed():
            say(
                "images are not compared where the belief is in doubt; that needs: pip install "
                "'placememory[verify]' (--no-verify to be content without)"
            )
    if colmap is None:
        return verifier, None
    if camera is None:
        raise SettingError("--colmap needs the query camera's --intrinsics")
    return verifier, Poser(PosedModel.open(colmap, images_folder(memory), memory.levels), camera)


def _shown_by(advance: Any, total: int | None) -> Any:
    """A function that shows each estimate in a progress bar."""
    shown, recent = Summary(), 0.0

    def show(estimate: Estimate) -> None:
        nonlocal recent
        shown.add(estimate)
        took = sum(estimate.milliseconds.values())
        recent = took if shown.frames == 1 else recent + _RECENT * (took - recent)
        advance(shown.frames, total, f"{recent:.0f} ms a frame, {shown}")

    return show


@contextmanager
def _stop_on_interrupt(stop: Event) -> Iterator[None]:
    """Let Ctrl-C end the stream after the current frame, and a second one the program."""
    before = signal.getsignal(signal.SIGINT)

    def on_interrupt(*_: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    with suppress(ValueError):  # only the main thread may take signals
        signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        with suppress(ValueError):
            signal.signal(signal.SIGINT, before)


def _with_images(memory: PlaceMemory, run: LocalizedRun, stream: Stream) -> LocalizedRun:
    """The run with frames that can be read again."""
    frames = stream.read_again(estimate.frame for estimate in run)
    readable = tuple(
        replace(e, frame=f.with_levels(memory.levels)) for e, f in zip(run, frames, strict=True)
    )
    return replace(run, estimates=readable)


def _draw(
    memory: PlaceMemory,
    run: LocalizedRun,
    report: Path | None,
    rerun: Path | None,
    foxglove: Path | None,
    radius: float,
    heading: float | None,
) -> Iterator[Path]:
    """Write the report and the recordings that are wanted."""
    from placememory.figures import map_of, write_foxglove, write_report, write_rerun

    if report is not None:
        yield write_report(report, memory, run, radius=radius, heading=heading)
    for path, write in ((rerun, write_rerun), (foxglove, write_foxglove)):
        if path is not None:
            image_of, grid = images_of_memory(memory), map_of(memory)
            yield write(path, memory, run, image_of=image_of, grid=grid)


def print_score(run: LocalizedRun, score: RunScore | None) -> None:
    """Print how many frames were answered, and how right the answers are: verdicts first."""
    summary = run.summary
    spent = summary.milliseconds or 1e3 * run.seconds
    out.print(
        f"{summary.frames} frames, {summary.with_pose} answered with a pose, "
        f"{spent / max(1, summary.frames):.0f} ms a frame (reading included)"
    )
    if score is None:
        out.print("no true poses to compare with: the answers are not scored")
        return
    if score.located is not None:
        out.print(paint(str(score.located)))
        out.print("each frame alone:")
    print_table(("", "value", "95% interval"), _recall_rows(score.recall))
    out.print(score.recall.protocol)
    if score.map_frames is not None and score.map_frames.differs:
        warn(str(score.map_frames))


def _recall_rows(recall: RecallResult) -> list[tuple[str, str, str]]:
    error = recall.median_error
    return [
        *(
            (f"recall@{k}", f"{100 * r.value:.1f} %", f"{100 * r.low:.1f} to {100 * r.high:.1f} %")
            for k, r in recall.recalls.items()
        ),
        ("median error", f"{error.value:.2f} m", f"{error.low:.2f} to {error.high:.2f} m"),
        ("queries counted", f"{recall.counted} of {recall.queries}", ""),
    ]
