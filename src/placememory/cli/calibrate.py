"""``placememory calibrate``: calibrate the similarities of a memory on its own map."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from placememory._io import write_json
from placememory.cli import _options as options
from placememory.cli._console import print_table, progress, say, warn, warn_of_bad_images
from placememory.errors import SettingError
from placememory.frames import FrameSelection
from placememory.localization import (
    CalibrationReport,
    calibrate_on_run,
    calibrate_on_session,
    localize,
)
from placememory.memory import PlaceMemory
from placememory.metrics.located import LocatedResult


def run(
    memory: options.Memory,
    queries: Annotated[
        Path | None, typer.Option(help="A run through the map, with poses.", show_default=False)
    ] = None,
    poses: options.PoseFile = None,
    session: Annotated[
        str | None, typer.Option(help="Or: a session of the memory, asked of the others.")
    ] = None,
    radius: Annotated[float, typer.Option(help="Metres within which an answer is correct.")] = 2.0,
    precision: Annotated[
        float, typer.Option(help="Share of located frames that shall be correct.")
    ] = 0.98,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for the figure and the numbers.")
    ] = None,
    weights: options.Weights = None,
    device: options.Device = "cpu",
) -> None:
    """Fit the filter's evidence and threshold to a map, and store them with the memory.

    Example: [b]placememory calibrate office.memory --queries run2/ --poses truth.csv[/b]

    The run is replayed on the map and on the map with a stretch left out, so that the unknown is
    calibrated, too. localize uses what is stored.
    """
    if (queries is None) == (session is None):
        raise SettingError("give --queries with --poses, or --session")
    if queries is not None and poses is None:
        raise SettingError("--queries needs --poses: the truth to calibrate against")
    with PlaceMemory.open(memory) as opened:
        if session is not None:
            report = calibrate_on_session(opened, session, radius=radius, precision=precision)
        else:
            assert queries is not None
            frames = FrameSelection(poses=poses).list_frames(queries)
            with progress("Describing") as advance:
                found = localize(
                    opened,
                    [frame for frame in frames if frame.pose is not None],
                    encoder=opened.encoder(weights, device=device),
                    fusion=None,
                    k=1,
                    skip_bad=True,
                    progress=advance,
                )
            warn_of_bad_images(found.bad)
            report = calibrate_on_run(opened, found, radius=radius, precision=precision)
        report.calibration.store(opened)
    _print_report(report)
    if out_dir is not None:
        _write(report, out_dir)


def _print_report(report: CalibrationReport) -> None:
    before, after = _numbers(report.before), _numbers(report.after)
    rows = [[name, before[name], after[name]] for name in before]
    print_table(("", "default", "calibrated"), rows)
    say(report.after.protocol)
    calibration = report.calibration
    say(
        f"stored with the memory: scale {calibration.scale:.2f}, offset {calibration.offset:.2f}, "
        f"off the map {calibration.off_map_level:g}, located from probability "
        f"{calibration.confident:g}"
    )
    if not report.reached:
        warn(f"no threshold reached a precision of {100 * report.precision:.0f} % on this run")


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
