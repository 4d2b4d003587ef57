"""Draw everything there is to see of a memory and of a localised run, into a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from matplotlib.figure import Figure

from placememory.encoders._base import sample_evenly
from placememory.figures import (
    ImageOf,
    draw_matches,
    draw_scores,
    draw_similarity,
    draw_trajectory,
    draw_vertices,
    images_of,
    save,
    strip_pages,
)
from placememory.frames import Frame, list_frames
from placememory.frames.bags import is_bag
from placememory.frames.video import is_video
from placememory.localization.estimate import Estimate
from placememory.localization.run import Localization
from placememory.maps import OccupancyGrid
from placememory.memory import PlaceMemory


class _Rule(TypedDict):
    """When an answer is right."""

    radius: float
    heading: float | None


def draw_gallery(
    folder: Path,
    memory: PlaceMemory,
    run: Localization | None = None,
    *,
    image_of: ImageOf,
    grid: OccupancyGrid | None = None,
    radius: float = 5.0,
    heading: float | None = None,
    k: int = 5,
    strips: int = 48,
    match_maps: int = 24,
) -> Iterator[Path]:
    """Draw figures one by one.

    ``vertices.png`` shows all places; with a run there are also ``trajectory.png``,
    ``similarity.png``, ``scores.png``, ``strips/`` and ``matches/``.

    Args:
        folder: Gets the figures.
        memory: Open memory.
        run: A localised run; with descriptors, the similarity matrix is drawn too.
        image_of: Where the images of places come from.
        grid: The map under the places.
        radius: Metres within which an answer is right.
        heading: Degrees within which its rotation must be, too.
        k: Candidates shown.
        strips: How many queries get a retrieval strip, evenly spaced.
        match_maps: How many queries get a map of their matches, evenly spaced.

    Yields:
        The path of each figure as it is written.
    """
    yield save(draw_vertices(memory.places, grid=grid), folder / "vertices.png")
    if run is None or not run.estimates:
        return
    rule: _Rule = {"radius": radius, "heading": heading}
    estimates, places = run.estimates, memory.places
    for name, figure in _overview(memory, run, grid, radius, heading):
        yield save(figure, folder / name)
    chosen = _evenly(estimates, strips)
    pages = strip_pages(chosen, image_of, k=k, places=places, **rule)
    for number, figure in enumerate(pages):
        yield save(figure, folder / "strips" / f"retrieval_{number:03d}.png")
    for estimate in _evenly(estimates, match_maps):
        figure = draw_matches(estimate, places, grid=grid, k=k, **rule)
        yield save(figure, folder / "matches" / f"query_{estimate.frame.index:06d}.png")


def _overview(
    memory: PlaceMemory,
    run: Localization,
    grid: OccupancyGrid | None,
    radius: float,
    heading: float | None,
) -> Iterator[tuple[str, Figure]]:
    """The figures that show the whole run."""
    places, frames = memory.places, [estimate.frame for estimate in run.estimates]
    rule: _Rule = {"radius": radius, "heading": heading}
    yield "trajectory.png", draw_trajectory(run.estimates, places, grid=grid, **rule)
    yield "scores.png", draw_scores(run.estimates, places, **rule)
    if run.descriptors is not None:
        similarity = run.descriptors @ memory.descriptors.T
        yield (
            "similarity.png",
            draw_similarity(similarity, frames=frames, places=places, radius=radius),
        )


def images_of_memory(memory: PlaceMemory, folder: Path | None = None) -> ImageOf:
    """Where a memory's images come from: a folder given, else where they lay when it was built."""
    frames: list[Frame] = []
    for session in memory.sessions():
        source = folder or memory.manifest.sources.get(session)
        if source is not None:
            frames += _frames_below(memory, session, Path(source))
    return images_of(frames)


def _frames_below(memory: PlaceMemory, session: str, source: Path) -> list[Frame]:
    """A session's frames with images; none where the source has gone."""
    if not source.exists():
        return []
    if is_bag(source) or (source.is_file() and is_video(source)):
        return list_frames(source, session=session)
    root = source if source.is_dir() else source.parent
    known = [p for p in memory.places if p.session == session and (root / p.name).is_file()]
    if not known:
        return []
    listed = list_frames(root, session=session, names=[place.name for place in known])
    return [
        Frame(frame.name, session, place.index, read=frame.read)
        for frame, place in zip(listed, known, strict=True)
    ]


def _evenly(estimates: Sequence[Estimate], most: int) -> list[Estimate]:
    return [estimates[int(i)] for i in sample_evenly(len(estimates), most)]
