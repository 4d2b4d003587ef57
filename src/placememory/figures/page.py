"""The HTML page of retrieved windows, the surest failures first.

It is one file: style, script and images are embedded, and nothing is loaded from elsewhere.
The template is in ``templates/``; Jinja2 escapes every value.
"""

from __future__ import annotations

import base64
import functools
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image as PillowImage

from placememory._io import write_text
from placememory.figures.outcomes import ALONE_WORDS
from placememory.frames import Frame, Image
from placememory.memory import read_image
from placememory.metrics import Outcome

if TYPE_CHECKING:
    from jinja2 import Environment

_WINDOW_PIXELS = 200
_QUALITY = 68
_WINDOW_OUTCOMES = (Outcome.WRONG, Outcome.OFF_MAP, Outcome.CORRECT)


class Thumbnail(NamedTuple):
    """A small image in a page: its address, and its size in pixels."""

    uri: str
    width: int
    height: int


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
    page = (
        _templates()
        .get_template("windows.html")
        .render(
            title=title,
            summary=summary,
            notes=notes,
            counts=[(outcome, found[outcome]) for outcome in _WINDOW_OUTCOMES],
            words=ALONE_WORDS | {Outcome.OFF_MAP: "without a correct window"},
            total=len(windows),
            windows=ordered[:limit],
            thumbnail=lambda frame: thumbnail(read_image(frame), _WINDOW_PIXELS),
        )
    )
    write_text(Path(path), page)
    return Path(path)


def thumbnail(image: Image | None, longest: int) -> Thumbnail | None:
    """Make a small JPEG of an image.

    Args:
        image: (H, W, 3) uint8 RGB; ``None`` gives none.
        longest: Pixels of its longer side, at most.
    """
    if image is None:
        return None
    small = PillowImage.fromarray(image)
    small.thumbnail((longest, longest), PillowImage.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=_QUALITY, optimize=True)
    return Thumbnail(data_uri(buffer.getvalue(), "jpeg"), small.width, small.height)


def data_uri(content: bytes, kind: str) -> str:
    """The address that is the image itself.

    Example:
        >>> data_uri(b"abc", "png")
        'data:image/png;base64,YWJj'
    """
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


@functools.cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("placememory.figures"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
