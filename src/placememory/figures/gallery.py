"""Draw everything there is to see of a memory and of a localised run, into a folder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from placememory.figures.evidence import draw_evidence
from placememory.figures.matches import draw_matches
from placememory.figures.scores import draw_scores
from placememory.figures.similarity import draw_similarity
from placememory.figures.strips import strip_pages
from placememory.figures.style import save
from placememory.figures.trajectory import draw_trajectory
from placememory.figures.vertices import draw_vertices
from placememory.localization import LocalizedRun, Localizer
from placememory.localization.estimate import Estimate
from placememory.maps import OccupancyGrid
from placememory.memory import ImageOf, PlaceMemory, Where
from placememory.metrics import DEFAULT_RADIUS


def draw_gallery(
    folder: Path,
    memory: PlaceMemory,
    run: LocalizedRun | None = None,
    *,
    image_of: ImageOf,
    grid: OccupancyGrid | None = None,
    radius: float = DEFAULT_RADIUS,
    heading: float | None = None,
    k: int = 5,
    strips: int = 48,
    match_maps: int = 24,
) -> Iterator[Path]:
    """Draw figures one by one.

    ``vertices.png`` shows all places; with a run there are also ``trajectory.png``,
    ``similarity.png``, ``scores.png``, ``strips/``, ``matches/`` and, of maps with poses, what the
    last five frames say together in ``evidence/``.

    Args:
        folder: Gets the figures.
        memory: Open memory.
        run: A localised run; with descriptors, the similarity matrix is drawn too.
        image_of: Where the images of places come from.
        grid: The map under the places.
        radius: Metres within which an answer is correct.
        heading: Degrees within which its rotation must be, too.
        k: Candidates shown.
        strips: How many queries get a retrieval strip, evenly spaced.
        match_maps: How many queries get a map of their matches, evenly spaced.

    Yields:
        The path of each figure as it is written.
    """
    rows = memory.rows
    places = rows.places
    yield save(draw_vertices(places, grid=grid), folder / "vertices.png")
    if run is None or not run.estimates:
        return
    estimates = run.estimates
    figure = draw_trajectory(estimates, places, grid=grid, radius=radius, heading=heading)
    yield save(figure, folder / "trajectory.png")
    figure = draw_scores(estimates, places, radius=radius, heading=heading)
    yield save(figure, folder / "scores.png")
    if (descriptors := run.descriptors) is not None:
        similarity = descriptors @ rows.descriptors.T
        frames = [estimate.frame for estimate in estimates]
        figure = draw_similarity(similarity, frames=frames, places=places, radius=radius)
        yield save(figure, folder / "similarity.png")
    chosen = _choose_evenly(estimates, strips)
    pages = strip_pages(chosen, image_of, k=k, places=places, radius=radius, heading=heading)
    for number, figure in enumerate(pages):
        yield save(figure, folder / "strips" / f"retrieval_{number:03d}.png")
    yield from _draw_evidence(folder, memory, run, grid, match_maps)
    for estimate in _choose_evenly(estimates, match_maps):
        figure = draw_matches(estimate, places, grid=grid, k=k, radius=radius, heading=heading)
        yield save(figure, folder / "matches" / f"query_{estimate.frame.index:06d}.png")


def _draw_evidence(
    folder: Path, memory: PlaceMemory, run: LocalizedRun, grid: OccupancyGrid | None, most: int
) -> Iterator[Path]:
    """The heat of the last frames, at frames evenly spaced; no odometry is known here."""
    if run.descriptors is None:
        return
    sessions = sorted({place.session for place in run.places})
    localizer = Localizer(
        memory, fusion="heatmap", calibrated=False, verify=None, where=Where(session=sessions)
    )
    estimates = run.estimates
    chosen = {id(estimate) for estimate in _choose_evenly(estimates, most)}
    for estimate, descriptor in zip(estimates, run.descriptors, strict=True):
        localizer.observe(estimate.frame, descriptor=descriptor)
        if id(estimate) in chosen and localizer.heat is not None:
            figure = draw_evidence(localizer.heat, memory.places, frame=estimate.frame, grid=grid)
            yield save(figure, folder / "evidence" / f"query_{estimate.frame.index:06d}.png")


def _choose_evenly(estimates: Sequence[Estimate], most: int) -> Sequence[Estimate]:
    """At most so many, evenly spaced, the first included."""
    return estimates[:: max(1, math.ceil(len(estimates) / most))]
