"""The report of a localised run: its numbers, its figures, and its page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from placememory.figures.outcomes import judge
from placememory.figures.run_page import write_run_page
from placememory.localization import LocalizedRun
from placememory.maps import OccupancyGrid, read_map
from placememory.memory import ImageOf, Place, PlaceMemory, images_of_memory
from placememory.metrics import LocatedResult, Outcome
from placememory.metrics.alignment import FrameCheck
from placememory.metrics.bootstrap import Interval
from placememory.metrics.recall import RecallResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = tuple[str, str, str]

_PAGE_DPI = 110
_DASH = "\N{EN DASH}"


def write_report(
    folder: Path,
    memory: PlaceMemory,
    run: LocalizedRun,
    *,
    radius: float,
    heading: float | None = None,
    grid: OccupancyGrid | None = None,
    image_of: ImageOf | None = None,
    title: str | None = None,
    notes: Sequence[str] = (),
    figures: Sequence[tuple[str, Figure | bytes]] = (),
) -> Path:
    """Write figures of a run, and ``index.html``: the page of ``serve`` with the run in it.

    The page is one file that needs no server; it draws the map and the timeline itself. Where
    matplotlib is installed, an online run also gets ``map.png``, ``timeline.png`` and, with true
    poses, ``reliability.png``.

    Args:
        folder: Gets the files.
        memory: The memory that answered.
        run: The localised run; its frames need their images.
        radius: Metres within which an answer is correct.
        heading: Degrees within which the rotation of a candidate must be, too.
        grid: The map; the one that the memory was built with by default, where it still exists.
        image_of: The images of places; those that the memory was built from by default.
        title: Of the page.
        notes: Paragraphs above the protocol.
        figures: More figures with their captions, below the others.

    Returns:
        The path of the page.
    """
    estimates, places = run.estimates, memory.places
    grid = grid or map_of(memory)
    score = run.score(radius, heading)
    located = None if score is None else score.located
    outcomes = judge(estimates, places, radius, heading)
    embedded: list[tuple[str, bytes]] = []
    if find_spec("matplotlib") is not None:
        embedded += _draw(folder, run, places, located, grid, radius)
    protocols = [] if located is None else [f"Verdicts: {located.protocol}."]
    protocols += [] if score is None else [f"Each frame alone: {score.recall.protocol}."]
    return write_run_page(
        folder / "index.html",
        memory,
        estimates,
        outcomes,
        title=title or f"{len(estimates)} frames in {Path(memory.uri).name}",
        summary=[
            *located_rows(located),
            *recall_rows(None if score is None else score.recall, fused=located is not None),
            *frames_rows(outcomes, None if score is None else score.map_frames),
        ],
        notes=[*notes, *protocols],
        figures=[*embedded, *((caption, _png(figure)) for caption, figure in figures)],
        image_of=image_of or images_of_memory(memory),
        grid=grid,
        radius=radius,
    )


def _draw(
    folder: Path,
    run: LocalizedRun,
    places: Sequence[Place],
    located: LocatedResult | None,
    grid: OccupancyGrid | None,
    radius: float,
) -> list[tuple[str, bytes]]:
    """Draw the figures beside the page; those that are in it, too, with their captions."""
    from placememory.figures.beliefs import draw_beliefs
    from placememory.figures.reliability import draw_reliability
    from placememory.figures.style import save
    from placememory.figures.timeline import draw_timeline

    if any(estimate.belief is not None for estimate in run):
        save(draw_beliefs(run.estimates, places, grid=grid, radius=radius), folder / "map.png")
        save(draw_timeline(run.estimates, places, radius=radius), folder / "timeline.png")
    if located is None or not located.bins:
        return []
    reliability = draw_reliability({"this run": located})
    save(reliability, folder / "reliability.png")
    return [("How often frames of a given probability are correct", _png(reliability))]


def _png(figure: Figure | bytes) -> bytes:
    if isinstance(figure, bytes):
        return figure
    from placememory.figures.style import to_png

    return to_png(figure, dpi=_PAGE_DPI)


def map_of(memory: PlaceMemory) -> OccupancyGrid | None:
    """Read the map that a memory was built with; ``None`` where it is not there any more."""
    path = memory.manifest.map_yaml
    return read_map(path) if path is not None and Path(path).is_file() else None


def located_rows(result: LocatedResult | None) -> list[Row]:
    """Rows of a page's table: how well the verdicts agree with the truth.

    Args:
        result: Of :class:`placememory.metrics.LocatedFrames`; ``None`` gives no rows.

    Returns:
        (name, value, note) for each row.
    """
    if result is None:
        return []
    precision, off, none = result.precision, result.off_map, "no frame was located"
    located_off = 0 if math.isnan(result.false_locations) else round(result.false_locations * off)
    return [
        ("Located", _percent(result.located.value), f"of {result.on_map:,} frames on the map"),
        ("Precision of located", *_share(precision, none)),
        ("Located off the map", _percent(result.false_locations),
         f"{located_off:,} of {off:,} frames where the map has no place"),
        ("Median error of located", _metres(result.median_error), "on the map"),
        ("Calibration error", _percent(result.calibration_error), "expected, ten bins"),
        ("True position in the 95 % ellipse", *_share(result.coverage.position[-1], none)),
        ("True yaw in the 95 % interval", *_share(result.coverage.yaw[-1], none)),
    ]  # fmt: skip


def recall_rows(result: RecallResult | None, *, fused: bool = False) -> list[Row]:
    """Rows of a page's table: recall and error of the candidates of each frame.

    Args:
        result: Recall and error; ``None``, where no true poses are known, gives no rows.
        fused: Whether to say that each frame is taken alone.

    Returns:
        (name, value, note) for each row.

    Example:
        >>> recall_rows(None)
        []
    """
    if result is None:
        return []
    alone, none = " of each frame alone" if fused else "", "no frame has a true match in the memory"
    error = result.median_error
    low, high = _metres(error.low), _metres(error.high)
    note = none if math.isnan(error.value) else f"95 % interval {low} to {high}"
    rows = [(f"Recall@{k}{alone}", *_share(recall, none)) for k, recall in result.recalls.items()]
    rows.append((f"Median error{alone}", _metres(error.value), note))
    return rows


def frames_rows(outcomes: Sequence[Outcome], check: FrameCheck | None = None) -> list[Row]:
    """Rows of a page's table: how many frames of each outcome, and a warning about the map frame.

    Args:
        outcomes: Of :func:`placememory.figures.judge`.
        check: Whether the two sessions share one map frame.

    Returns:
        (name, value, note) for each row.

    Example:
        >>> frames_rows([Outcome.WRONG, Outcome.CORRECT, Outcome.CORRECT])
        [('Frames', '3', '1 wrong, 2 correct')]
    """
    counts = Counter(outcomes)
    parts = [f"{counts[outcome]:,} {outcome.value}" for outcome in Outcome if counts[outcome]]
    rows = [("Frames", f"{len(outcomes):,}", ", ".join(parts))]
    if check is not None and check.differs:
        rows.append(("Warning", "map frames differ", str(check)))
    return rows


def _share(share: Interval, none: str) -> tuple[str, str]:
    """A share in per cent, and its counts and interval; a dash and a reason where there is none."""
    if math.isnan(share.value):
        return _DASH, none
    hits, low, high = round(share.value * share.count), 100 * share.low, 100 * share.high
    note = f"{hits:,} of {share.count:,}; 95 % interval {low:.1f} to {high:.1f} %"
    return _percent(share.value), note


def _percent(share: float) -> str:
    return _DASH if math.isnan(share) else f"{100 * share:.1f} %"


def _metres(distance: float) -> str:
    return _DASH if math.isnan(distance) else f"{distance:.2f} m"
