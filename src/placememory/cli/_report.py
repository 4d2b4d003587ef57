"""The report of an online run: figures and one page that needs no other file."""

from __future__ import annotations

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
    judged = figures.judge(result.estimates, memory.places, radius)
    rows = [] if verdicts is None else _rows(verdicts)
    rows += figures.summary_rows(
        None if measured is None else measured.recall,
        None if measured is None else measured.map_frames,
        judged,
    )
    notes = [part.protocol for part in (verdicts, measured and measured.recall) if part]
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
    low, high = (100 * end for end in (verdicts.precision.low, verdicts.precision.high))
    return [
        ("Located", f"{100 * verdicts.located.value:.1f} %", f"of {verdicts.on_map} on the map"),
        ("Precision of located", f"{100 * verdicts.precision.value:.1f} %",
         f"95 % interval {low:.1f} to {high:.1f}"),
        ("Calibration error", f"{100 * verdicts.calibration_error:.1f} %", "expected, ten bins"),
    ]  # fmt: skip
