"""The HTML pages: a run's frames, and retrieved windows, the worst failures first.

A page is one file: style, script and images are embedded, and nothing is loaded from elsewhere.
The templates are in ``templates/``; Jinja2 escapes every value.
"""

from __future__ import annotations

import base64
import functools
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image as PillowImage

from placememory._io import write_text
from placememory.figures.outcomes import (
    ALONE_WORDS,
    FUSED_WORDS,
    error,
    judge,
    judge_candidates,
    metres,
)
from placememory.figures.style import shorten, to_png
from placememory.frames import Frame, Image
from placememory.localization.estimate import Estimate
from placememory.memory import ImageOf, Place, no_images, read_image
from placememory.metrics import Outcome

_PAGE_DPI = 110
_LARGEST, _SMALLEST, _CROWD = 300, 120, 126  # pixels of a thumbnail; frames that fit at the largest
_WINDOW_PIXELS = 200
_QUALITY = 68
_WINDOW_OUTCOMES = (Outcome.WRONG, Outcome.OFF_MAP, Outcome.CORRECT)

Judged = tuple[Estimate, Outcome]


def write_page(
    path: Path | str,
    *,
    title: str,
    summary: Sequence[Sequence[str]] = (),
    notes: Sequence[str] = (),
    figures: Sequence[tuple[str, Figure | bytes]] = (),
    estimates: Sequence[Estimate] = (),
    places: Sequence[Place] = (),
    image_of: ImageOf = no_images,
    radius: float | None = None,
    heading: float | None = None,
    limit: int = 500,
) -> Path:
    """Write the page of a run: headline table, figures, and its frames, the worst failures first.

    Of an online run the cards, their order and the first bar are about the verdicts, which use the
    frames before each one; a second bar counts the answers of each frame alone.

    Images are embedded as small JPEGs, some 6 MB in all at most for 126 frames; they are smaller
    where there are more frames. The same input gives the same bytes.

    Args:
        path: Where to; the page appears only when it is complete.
        title: Of the page.
        summary: Rows of a table: name, value and, if wanted, a note.
        notes: Paragraphs below the table, such as the protocol.
        figures: Caption and figure, or caption and the bytes of a PNG file.
        estimates: The frames.
        places: All places of the memory, to distinguish wrong from off the map.
        image_of: The image of a place (see :func:`images_of`).
        radius: Metres within which an answer is correct; ``None`` judges nothing.
        heading: Degrees within which its rotation must be, too.
        limit: Most frames shown; the least interesting are left out, and the page says so.

    Returns:
        The path.

    Raises:
        PlaceMemoryError: The page cannot be written there.
    """
    outcomes = judge(estimates, places, radius, heading)
    judged = worst_first(estimates, outcomes)[:limit]
    words, bars = ALONE_WORDS, [(_counts(outcomes, Outcome.CORRECT), ALONE_WORDS, "")]
    if any(estimate.belief is not None for estimate in estimates):
        words = FUSED_WORDS
        alone = _counts(judge(estimates, places, radius, heading, alone=True), Outcome.CORRECT)
        label = "Verdicts, each frame with those before it"
        bars = [(bars[0][0], words, label), (alone, ALONE_WORDS, "Each frame alone")]
    return _render(
        path,
        "run.html",
        title=title,
        summary=summary,
        notes=notes,
        words=words,
        bars=bars if estimates else [],
        figures=[(caption, _png_uri(figure)) for caption, figure in figures],
        total=len(estimates),
        shown=len(judged),
        choices=_counts([outcome for _, outcome in judged]),
        cards=_cards(judged, places, image_of, radius, heading),
    )


def worst_first(estimates: Sequence[Estimate], outcomes: Sequence[Outcome]) -> list[Judged]:
    """Wrong answers, then those off the map, each surest first; correct ones, least sure first."""

    def key(judged: Judged) -> tuple[int, float]:
        estimate, outcome = judged
        sure = estimate.best.similarity if estimate.best is not None else -math.inf
        if estimate.probability is not None:
            sure = estimate.probability
        return outcome.rank, sure if outcome is Outcome.CORRECT else -sure

    return sorted(zip(estimates, outcomes, strict=True), key=key)


@dataclass(frozen=True, slots=True, eq=False)
class ShownWindow:
    """A query window and the nearest window of the database.

    Attributes:
        query: Its frames, oldest first.
        found: Frames of the window that was found.
        distance: Between their descriptors.
        right: Whether it is correct.
        has_match: Whether there was a correct one.
    """

    query: Sequence[Frame]
    found: Sequence[Frame]
    distance: float
    right: bool
    has_match: bool

    @property
    def outcome(self) -> Outcome:
        """Whether it is correct, wrong, or had no correct window."""
        return Outcome.of(answered=True, correct=self.right, on_map=self.has_match)


def write_sequence_page(
    path: Path | str,
    *,
    title: str,
    summary: Sequence[Sequence[str]] = (),
    notes: Sequence[str] = (),
    windows: Sequence[ShownWindow] = (),
    limit: int = 60,
) -> Path:
    """Write the page of retrieved windows: headline table, then windows, surest failures first.

    Args:
        path: Where to; the page appears only when it is complete.
        title: Of the page.
        summary: Rows of a table: name, value, note.
        notes: Paragraphs below the table, such as the protocol.
        windows: What was found.
        limit: Most windows shown; their images are embedded.

    Returns:
        The path.

    Raises:
        PlaceMemoryError: The page cannot be written there.
    """
    ordered = sorted(windows, key=lambda window: (window.outcome.rank, window.distance))
    found = Counter(window.outcome for window in windows)
    return _render(
        path,
        "windows.html",
        title=title,
        summary=summary,
        notes=notes,
        counts=[(outcome, found[outcome]) for outcome in _WINDOW_OUTCOMES],
        words=ALONE_WORDS | {Outcome.OFF_MAP: "without a correct window"},
        total=len(windows),
        windows=ordered[:limit],
        thumbnail=lambda frame: _thumbnail(read_image(frame), _WINDOW_PIXELS),
    )


@functools.cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("placememory.figures"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters.update(shorten=shorten, thousands="{:,}".format)
    templates.globals.update(metres=lambda true, found: metres(error(true, found)))
    return templates


def _render(path: Path | str, template: str, **values: Any) -> Path:
    write_text(Path(path), _templates().get_template(template).render(values))
    return Path(path)


class _Thumbnail(NamedTuple):
    uri: str
    width: int
    height: int


def _thumbnail(image: Image | None, longest: int) -> _Thumbnail | None:
    if image is None:
        return None
    small = PillowImage.fromarray(image)
    small.thumbnail((longest, longest), PillowImage.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=_QUALITY, optimize=True)
    return _Thumbnail(_uri(buffer.getvalue(), "jpeg"), small.width, small.height)


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _png_uri(figure: Figure | bytes) -> str:
    return _uri(figure if isinstance(figure, bytes) else to_png(figure, dpi=_PAGE_DPI), "png")


def _counts(outcomes: Sequence[Outcome], first: Outcome | None = None) -> list[tuple[Outcome, int]]:
    """Count the outcomes that occur, worst first but for one that comes before all."""
    counts = Counter(outcomes)
    order = sorted(counts, key=lambda outcome: (outcome is not first, outcome.rank))
    return [(outcome, counts[outcome]) for outcome in order]


def _cards(
    judged: Sequence[Judged],
    places: Sequence[Place],
    image_of: ImageOf,
    radius: float | None,
    heading: float | None,
) -> Iterator[dict[str, Any]]:
    """Values for the template, frame by frame; images are smaller where there are many."""
    known = {place.id: place for place in places}
    largest = round(_LARGEST * min(1.0, math.sqrt(_CROWD / max(1, len(judged)))))
    longest = max(_SMALLEST, largest)
    outcome_of = {True: Outcome.CORRECT, False: Outcome.WRONG, None: None}
    for estimate, outcome in judged:
        frame, matches = estimate.frame, _matches(estimate, known)
        shown = [("Query", frame.name, read_image(frame))]
        shown += [(what, place.name, image_of(place)) for what, place in matches]
        yield {
            "estimate": estimate,
            "outcome": outcome,
            "names": " ".join(name for _, name, _ in shown),
            "pictures": [(what, name, _thumbnail(image, longest)) for what, name, image in shown],
            "others": [
                (candidate, outcome_of[correct])
                for candidate, correct in zip(
                    estimate.candidates, judge_candidates(estimate, radius, heading), strict=True
                )
            ][1:],
        }


def _matches(estimate: Estimate, by_id: dict[tuple[str, int], Place]) -> list[tuple[str, Place]]:
    """The place of the best hypothesis, and the best candidate where it is another one."""
    best = None if estimate.best is None else estimate.best.place
    if estimate.belief is None:
        return [] if best is None else [("Best match", best)]
    first = estimate.belief.best
    likely = None if first is None else by_id.get(first.place)
    shown = [] if likely is None else [("Most likely place", likely)]
    if best is not None and (likely is None or best.id != likely.id):
        shown.append(("Best of this frame alone", best))
    return shown
