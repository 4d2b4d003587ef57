"""The report of an online run: figures and one page that needs no other file."""

from __future__ import annotations

import math
from pathlib import Path

from placememory._localize import Localization, Measured
from placememory.evaluation import LocatedResult
from placememory.memory import PlaceMemory


def write_report(
    folder: Path,
    memory: PlaceMemory,
    result: Localization,
    measured: Measured | None,
    verdicts: LocatedResult | None,
    radius: float,
) -> Path:
    """Write the report's figures and page; the page's path."""
    from placememory import figures
    from placememory._gallery import images_of_memory
    from placememory.maps import read_map

    grid = None
    if memory.manifest.map_yaml is not None and Path(memory.manifest.map_yaml).is_file():
        grid = read_map(memory.manifest.map_yaml)
    drawn = []
    if any(estimate.belief is not None for estimate in result.estimates):
        drawn = [
            (
                "The belief on the map",
                figures.draw_beliefs(result.estimates, memory.places, grid=grid),
            ),
            ("How sure, frame by frame", figures.draw_timeline(result.estimates, radius=radius)),
        ]
    if verdicts is not None:
        drawn.append(("Reliability", figures.draw_reliability({"this run": verdicts})))
    for name, (_, figure) in zip(("map", "timeline", "reliability"), drawn, strict=False):
        figures.save(figure, folder / f"{name}.png")
    rows = [] if verdicts is None else _rows(verdicts)
    alone = " of each frame alone" if rows else ""
    rows += [
        (name if name == "Warning" else f"{name}{alone}", value, note)
        for name, value, note in figures.summary_rows(
            None if measured is None else measured.recall,
            None if measured is None else measured.map_frames,
        )
    ]
    rows.append(("Frames", f"{len(result.estimates):,}", ""))
    notes = [] if verdicts is None else [f"Verdicts: {verdicts.protocol}."]
    notes += [] if measured is None else [f"Each frame alone: {measured.recall.protocol}."]
    return figures.write_page(
        folder / "index.html",
        title=f"{len(result.estimates)} frames in {Path(memory.uri).name}",
        summary=rows,
        notes=notes,
        figures=drawn,
        estimates=result.estimates,
        places=memory.places,
        image_of=images_of_memory(memory),
        radius=radius,
    )


def _rows(verdicts: LocatedResult) -> list[tuple[str, str, str]]:
    precision = verdicts.precision
    note = "no frame was located"
    if precision.count:
        low, high = 100 * precision.low, 100 * precision.high
        right = round(precision.value * precision.count)
        note = f"{right} of {precision.count}; 95 % interval {low:.1f} to {high:.1f} %"
    return [
        ("Located", _known(100 * verdicts.located.value, "{:.1f} %"),
         f"of {verdicts.on_map} on the map"),
        ("Precision of located", _known(100 * precision.value, "{:.1f} %"), note),
        ("Median error of located", _known(verdicts.median_error, "{:.2f} m"), "on the map"),
        ("Located off the map", _known(100 * verdicts.false_locations, "{:.1f} %"),
         f"of {verdicts.off_map} where the map has no place"),
        ("Calibration error", f"{100 * verdicts.calibration_error:.1f} %", "expected, ten bins"),
    ]  # fmt: skip


def _known(value: float, form: str) -> str:
    """A number as text; a dash where there is none."""
    return "\N{EN DASH}" if math.isnan(value) else form.format(value)
