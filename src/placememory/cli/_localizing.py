"""What ``placememory localize`` does with its options."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from threading import Event
from typing import Any, NoReturn, TypedDict

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
from placememory._result_stream import ResultStream
from placememory._results import metrics_of, recall_rows, write_metrics, write_results
from placememory._tally import Tally
from placememory.cli._common import (
    out,
    peak_megabytes,
    print_json,
    print_table,
    progress,
    say,
    tell_bad,
    warn,
)
from placememory.cli._sources import Source
from placememory.encoders import Encoder
from placememory.errors import InputError, SettingError
from placememory.evaluation import LocatedResult
from placememory.localizer import Localizer
from placememory.memory import PlaceMemory, Where
from placememory.posing import PosedModel, Poser
from placememory.verification import Policy, Verifier, read_camera

CHECKED = 20
"""Candidates that are checked by local features, where the belief is not clear."""

_RECENT = 0.1  # weight of the newest frame in the milliseconds shown


@dataclass(frozen=True, slots=True)
class Answers:
    """Where answers go, and when they are right.

    Attributes:
        folder: Gets the files.
        radius: Metres.
        heading: Degrees, or ``None``.
        report: Folder for figures and a page, or ``None``.
        as_json: Whether the numbers are printed as JSON.
    """

    folder: Path
    radius: float
    heading: float | None
    report: Path | None
    as_json: bool


@dataclass(frozen=True, slots=True)
class Localized:
    """A localised run with its counts and the files it has written."""

    result: Localization
    tally: Tally
    paths: list[Path]


def refuse_live(source: Source, where: Where | None, report: Path | None) -> None:
    """Refuse what a camera's frames cannot be used for.

    Raises:
        SettingError: Filters of places, which need frames in batches, or a report, which draws
            frames again that are gone.
    """
    if source.camera is not None and where is not None:
        raise SettingError("filters of places do not go with a camera")
    if source.camera is not None and report is not None:
        raise SettingError(
            "--report draws the frames again, and a camera's are gone; record and localise a video"
        )


class Geometry(TypedDict):
    """What a localizer does with local features."""

    verify: Verifier | None
    poser: Poser | None


def geometry_of(
    memory: PlaceMemory, *, verify: bool, intrinsics: Path | None, colmap: Path | None
) -> Geometry:
    """Local features on the memory's own images, where they lie.

    Raises:
        SettingError: There is a COLMAP model, but no intrinsics of the camera.
        InputError: A file cannot be read, or the model is not of the memory's images.
    """
    from placememory._gallery import images_of_memory

    camera = None if intrinsics is None else read_camera(intrinsics)
    verifier = poser = None
    if verify:
        images = images_of_memory(memory)
        verifier = Verifier(images, camera=camera, policy=Policy(top=CHECKED))
    if colmap is not None:
        if camera is None:
            raise SettingError("--colmap needs the query camera's --intrinsics")
        folders = (memory.manifest.sources.get(name) for name in memory.sessions())
        images_folder = next((Path(f) for f in folders if f is not None and Path(f).is_dir()), None)
        if images_folder is None:
            raise InputError(f"{memory.uri}: the images it was built from are not where they were")
        poser = Poser(PosedModel.open(colmap, images_folder), camera)
    return {"verify": verifier, "poser": poser}


def localize_alone(
    memory: PlaceMemory,
    encoder: Encoder,
    source: Source,
    *,
    k: int,
    where: Where | None,
    skip_bad: bool,
) -> Localized:
    """Answer each frame alone, in batches."""
    frames = list(source.frames)
    with progress("Localising") as advance:
        result = localize(
            memory, frames, encoder, k=k, where=where, skip_bad=skip_bad, progress=advance
        )
    return Localized(result, Tally.of(result.estimates), [])


def localize_stream(
    localizer: Localizer, source: Source, answers: Answers, *, skip_bad: bool
) -> Localized:
    """Localise frame by frame; a line for each is on disk before the next frame is read."""
    tally, recent = Tally(), 0.0
    with _stopping(source.stop), closing(source.steps()) as steps:
        first = list(islice(steps, 1))  # where there is none, earlier results stay
        with (
            ResultStream(answers.folder, radius=answers.radius, heading=answers.heading) as files,
            progress("Localising") as advance,
        ):

            def told(estimate: Estimate) -> None:
                nonlocal recent
                files.write(estimate)
                tally.add(estimate)
                took = sum(estimate.milliseconds.values())
                recent = took if tally.frames == 1 else recent + _RECENT * (took - recent)
                advance(tally.frames, source.total, f"{recent:.0f} ms a frame, {tally.words()}")

            result = localize_online(
                localizer, chain(first, steps), skip_bad=skip_bad, keep=source.keep, told=told
            )
    say(f"{tally.frames} frames: {tally.words()}")
    source.tell(estimate.frame for estimate in result.estimates)
    return Localized(result, tally, files.paths)


@contextmanager
def _stopping(stop: Event) -> Iterator[None]:
    """Ctrl-C ends the stream after the frame at hand; a second one ends the program at once."""
    before = signal.getsignal(signal.SIGINT)

    def asked(*_: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    with suppress(ValueError):  # only the main thread may take signals
        signal.signal(signal.SIGINT, asked)
    try:
        yield
    finally:
        with suppress(ValueError):
            signal.signal(signal.SIGINT, before)


def finish(memory: PlaceMemory, done: Localized, source: Source, answers: Answers) -> None:
    """Measure, write and tell what was found; end as the stream ended.

    Raises:
        InputError: The stream failed; what came before is written.
        typer.Exit: It was interrupted.
    """
    result = done.result
    measured = measure(result.estimates, memory, radius=answers.radius, heading=answers.heading)
    verdicts = measure_verdicts(result.estimates, memory, radius=answers.radius)
    metrics = {
        **metrics_of(memory, result, measured, done.tally),
        **source.to_dict(),
        "ended": None if result.ended is None else str(result.ended),
        "verdicts": None if verdicts is None else verdicts.to_dict(),
        "peak_mb": peak_megabytes(),
    }
    paths = _write(done, metrics, answers)
    tell_bad(result.bad)
    if answers.as_json:
        print_json(metrics)
    else:
        tell_result(result, measured, done.tally)
        if verdicts is not None:
            out.print(str(verdicts), markup=False)
    say(f"wrote {', '.join(path.name for path in paths)} to {answers.folder}")
    if answers.report is not None:
        _report(answers.report, memory, done, source, answers.radius, measured, verdicts)
    if result.ended is not None:
        raise result.ended
    if source.stop.is_set() and done.tally.frames != source.total and source.camera is None:
        _interrupted(done.tally.frames)


def _write(done: Localized, metrics: dict[str, Any], answers: Answers) -> list[Path]:
    """Write what is not written yet; all paths."""
    if done.paths:
        return [*done.paths, write_metrics(answers.folder, metrics, done.tally)]
    return write_results(
        answers.folder,
        done.result.estimates,
        metrics,
        radius=answers.radius,
        heading=answers.heading,
    )


def _report(
    folder: Path,
    memory: PlaceMemory,
    done: Localized,
    source: Source,
    radius: float,
    measured: Measured | None,
    verdicts: LocatedResult | None,
) -> None:
    from placememory.cli._report import write_report

    estimates = done.result.estimates
    frames = source.readable(estimate.frame for estimate in estimates)
    drawn = tuple(replace(e, frame=f) for e, f in zip(estimates, frames, strict=True))
    result = replace(done.result, estimates=drawn)
    say(f"report: {write_report(folder, memory, result, measured, verdicts, radius)}")


def _interrupted(frames: int) -> NoReturn:
    say(f"interrupted after {frames} frames; their results are written")
    raise typer.Exit(1)


def tell_result(
    result: Localization, measured: Measured | None, tally: Tally | None = None
) -> None:
    """Print how many frames were answered, and how right the answers are."""
    tally = tally or Tally.of(result.estimates)
    spent = tally.milliseconds or 1e3 * result.seconds
    out.print(
        f"{tally.frames} frames, {tally.posed} answered with a pose, "
        f"{spent / max(1, tally.frames):.0f} ms a frame (reading included)"
    )
    if measured is None:
        out.print("no true poses to compare with: the answers are not measured")
        return
    print_table(("", "value", "95% interval"), recall_rows(measured.recall))
    out.print(measured.recall.protocol, markup=False)
    if measured.map_frames is not None and measured.map_frames.differs:
        warn(str(measured.map_frames))
