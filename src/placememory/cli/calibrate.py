"""``placememory calibrate``: what a memory's similarities are worth on its own map."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from placememory._io import write_json
from placememory.cli import _options as options
from placememory.cli._console import print_table, progress, say, tell_bad, warn
from placememory.errors import SettingError
from placememory.frames import FrameSelection
from placememory.fusion import PlaceTable
from placememory.localization.calibration import CalibrationReport, calibrate, calibrate_on_session
from placememory.localization.run import localize
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
    radius: Annotated[float, typer.Option(help="Metres within which an answer is right.")] = 2.0,
    precision: Annotated[
        float, typer.Option(help="Share of located frames that shall be right.")
    ] = 0.98,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for the figure and the numbers.")
    ] = None,
    weights: options.Weights = None,
    device: options.Device = "cpu",
) -> None:
    """Fit the filter's evidence and threshold to a map, and keep them with the memory.

    Example: [b]placememory calibrate office.memory --queries run2/ --poses truth.csv[/b]

    The run is replayed on the map and on the map with a stretch left out, so that the unknown is
    calibrated, too. localize uses what is kept.
    """
    with PlaceMemory.open(memory) as opened:
        if (queries is None) == (session is None):
            raise SettingError("give --queries with --poses, or --session")
        if session is not None:
            report = calibrate_on_session(opened, session, radius=radius, precision=precision)
        elif poses is None:
            raise SettingError("--queries needs --poses: the truth to calibrate against")
        else:
            assert queries is not None
            report = _on_run(opened, queries, poses, radius, precision, weights, device)
        report.calibration.keep(opened)
    _tell(report)
    if out_dir is not None:
        _write(report, out_dir)


def _on_run(
    memory: PlaceMemory,
    queries: Path,
    poses: Path,
    radius: float,
    precision: float,
    weights: str | None,
    device: str,
) -> CalibrationReport:
    frames = [f for f in FrameSelection(poses=poses).list_frames(queries) if f.pose is not None]
    encoder = memory.encoder(weights, device=device)
    with progress("Describing") as advance:
        found = localize(
            memory, frames, encoder=encoder, fusion=None, k=1, skip_bad=True, progress=advance
        )
    tell_bad(found.bad)
    used = [e for e in found if e.descriptor is not None and e.frame.pose is not None]
    if not used:
        raise SettingError(f"{queries}: no frame has a pose in {poses}; nothing to calibrate on")
    truth = np.array([e.frame.pose.position for e in used if e.frame.pose is not None])
    rows = np.stack([e.descriptor for e in used if e.descriptor is not None])
    columns = rows.astype(np.float64) @ memory.descriptors.T
    stamps = [e.frame.stamp for e in used]
    return calibrate(
        PlaceTable.from_places(memory.places),
        columns,
        truth,
        radius=radius,
        precision=precision,
        stamps=None if None in stamps else np.array(stamps, np.float64) * 1e-9,
    )


def _tell(report: CalibrationReport) -> None:
    before, after = _numbers(report.before), _numbers(report.after)
    rows = [[name, before[name], after[name]] for name in before]
    print_table(("", "default", "calibrated"), rows)
    say(report.after.protocol)
    kept = report.calibration
    say(
        f"kept with the memory: scale {kept.scale:.2f}, offset {kept.offset:.2f}, off the map "
        f"{kept.off_map_level:g}, located from probability {kept.confident:g}"
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
