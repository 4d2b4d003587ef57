"""``placememory calibrate``: calibrate the localizer on a memory's own map."""

from __future__ import annotations

from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from placememory._io import write_json
from placememory.cli import _options as options
from placememory.cli._console import print_table, progress, say, warn, warn_of_bad_images
from placememory.errors import SettingError
from placememory.localization import (
    Calibration,
    CalibrationReport,
    Localizer,
    calibrate_on_run,
    calibrate_on_session,
    follow,
)
from placememory.localization.stream import open_stream
from placememory.memory import PlaceMemory, Where, recall_topics
from placememory.metrics import DEFAULT_RADIUS
from placememory.metrics.located import LocatedResult


@options.expand_groups
def run(
    memory: options.Memory,
    frames: options.CalibrationFrames,
    motion: options.Motion,
    source: options.MaybeSource = None,
    queries: Annotated[Path | None, typer.Option(hidden=True)] = None,
    exclude_session: options.ExcludeSession = None,
    radius: options.Radius = DEFAULT_RADIUS,
    correct: Annotated[
        float, typer.Option(help="Share of located frames that shall be correct.")
    ] = 0.98,
    reset: Annotated[
        bool, typer.Option("--reset", help="Remove what is stored, and do nothing else.")
    ] = False,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for the figure and the numbers.")
    ] = None,
    weights: options.Weights = None,
    device: options.Device = "cpu",
) -> None:
    """Fit the filter's evidence, threshold and covariance to a map; store them with the memory.

    Example: [b]placememory calibrate office.memory run2/ --poses truth.csv[/b]

    SOURCE is a run through the map whose true poses are known. It is replayed on the map and on the
    map with a stretch left out, so that the unknown is calibrated, too. localize uses what is
    stored. Where the share of correct answers asked for cannot be reached, or the default settings
    do better, nothing is stored, and the exit code is 1.
    """
    queries = options.one_source(source, queries, "--queries")
    options.check_order(memory, queries)
    if reset:
        if queries is not None or frames.session is not None:
            raise SettingError("--reset removes what is stored; calibrate in another call")
        _reset(memory)
        return
    if (queries is None) == (frames.session is None):
        raise SettingError("give a SOURCE, a run with true poses, or --session")
    with PlaceMemory.open(memory) as opened:
        opened.check_writable()
        if frames.session is not None:
            report = calibrate_on_session(opened, frames.session, radius=radius, precision=correct)
        else:
            assert queries is not None
            where = None if not exclude_session else Where(exclude_sessions=exclude_session)
            selection = recall_topics(frames.selection, memory, queries, truth=True)
            stream = open_stream(queries, selection, motion.source)
            if stream.camera is not None:
                raise SettingError("a camera has no true poses; record a run, and give its poses")
            localizer = Localizer(
                opened, opened.encoder(weights, device=device), fusion=None, where=where, k=1
            )
            with progress("Describing") as advance, closing(stream.steps()) as steps:
                done = count(1)
                found = follow(
                    localizer,
                    steps,
                    skip_bad=True,
                    keep=stream.keep,
                    on_estimate=lambda _: advance(next(done), stream.total),
                )
            if found.ended is not None:
                raise found.ended
            warn_of_bad_images(found.bad)
            stream.log_joins(estimate.frame for estimate in found)
            if stream.report is not None:
                frames.selection.check_join(stream.report)
            report = calibrate_on_run(opened, found, where=where, radius=radius, precision=correct)
        _print_report(report)
        if out_dir is not None:
            _write(report, out_dir)
        if report.refusal is not None:
            kept = "" if Calibration.of(opened) is None else "; what was stored before stays"
            warn(f"nothing is stored: {report.refusal}{kept}")
            raise typer.Exit(1)
        report.store(opened)
        say(f"stored with the memory: {_words(report.calibration)}")


def _reset(uri: str) -> None:
    with PlaceMemory.open(uri) as memory:
        before = Calibration.of(memory)
        memory.set_calibration(None)
    if before is None:
        say(f"{memory.uri} had no calibration")
    else:
        say(f"removed the calibration of {memory.uri}: {_words(before)}")


def _words(calibration: Calibration) -> str:
    return (
        f"scale {calibration.scale:.2f}, offset {calibration.offset:.2f}, "
        f"located from probability {calibration.confident:g}, "
        f"covariance times {calibration.covariance_scale:.2f}, of the yaw "
        f"{calibration.yaw_scale:.2f}"
    )


def _print_report(report: CalibrationReport) -> None:
    before, after = _numbers(report.before), _numbers(report.after)
    rows = [[name, before[name], after[name]] for name in before]
    print_table(("", "default", "calibrated"), rows)
    say(report.after.protocol)
    for line in report.after.coverage.lines():
        say(f"before the covariance is scaled: {line}")


def _numbers(result: LocatedResult) -> dict[str, str]:
    return {
        "located on the map": result.located.percent(),
        "precision of located": result.precision.percent(),
        "false locations off the map": f"{100 * result.false_locations:.1f} %",
        "expected calibration error": f"{100 * result.calibration_error:.1f} %",
    }


def _write(report: CalibrationReport, folder: Path) -> None:
    from placememory.figures import draw_reliability, save

    write_json(
        folder / "calibration.json",
        {"before": report.before.to_dict(), "after": report.after.to_dict()},
    )
    figure = draw_reliability({"default": report.before, "calibrated": report.after})
    say(f"wrote calibration.json and {save(figure, folder / 'reliability.png').name} to {folder}")
