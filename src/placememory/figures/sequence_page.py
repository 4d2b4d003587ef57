"""One HTML page of retrieved windows, failures first: query above, what was found below."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from placememory._io import write_text
from placememory.figures.images import frame_image, to_jpeg
from placememory.figures.page import document, table
from placememory.frames import Frame

_STYLE = """<style>.row { display: flex; gap: 6px; margin: 4px 0; }
.row img { flex: 1 1 0; min-width: 0; border-radius: 4px; }
.wide.card { margin: 0 0 16px; }</style>"""
_LONGEST = 200


@dataclass(frozen=True, slots=True, eq=False)
class ShownWindow:
    """A query window and the nearest window of the database.

    Attributes:
        query: Its frames, oldest first.
        found: Frames of the window that was found.
        distance: Between their descriptors.
        right: Whether it is right.
        has_match: Whether there was a right one.
    """

    query: Sequence[Frame]
    found: Sequence[Frame]
    distance: float
    right: bool
    has_match: bool


def write_sequence_page(
    path: Path | str,
    *,
    title: str,
    summary: Sequence[Sequence[str]] = (),
    notes: Sequence[str] = (),
    windows: Sequence[ShownWindow] = (),
    limit: int = 60,
) -> Path:
    """Write the page: headline table, then windows, the surest failures first.

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
    ordered = sorted(windows, key=lambda w: (w.right, not w.has_match, w.distance))
    wrong = sum(w.has_match and not w.right for w in windows)
    off = sum(not w.has_match for w in windows)
    body = [f"<header><h1>{escape(title)}</h1></header>", table(summary), _STYLE]
    body += [f'<p class="note">{escape(note)}</p>' for note in notes]
    body.append(
        f"<h2>Windows, the surest failures first</h2><p class='muted'>{wrong:,} wrong, {off:,} "
        f"without a right window, {len(windows) - wrong - off:,} right; "
        f"{min(limit, len(windows)):,} of {len(windows):,} are shown.</p>"
    )
    body += [_card(window) for window in ordered[:limit]]
    write_text(Path(path), document(title, "\n".join(body)))
    return Path(path)


def _card(window: ShownWindow) -> str:
    kind = "right" if window.right else "wrong" if window.has_match else "off"
    word = {"right": "right", "wrong": "wrong", "off": "no right window"}[kind]
    return (
        f'<section class="card wide"><div class="head"><b class="{kind}">{word}</b>'
        f"<span>distance {window.distance:.4f}</span></div>"
        f"{_row('query', window.query)}{_row('found', window.found)}</section>"
    )


def _row(word: str, frames: Sequence[Frame]) -> str:
    names = f"{frames[0].name} to {frames[-1].name}"
    pictures = "".join(_picture(frame) for frame in frames)
    return f'<div class="muted">{word}: {escape(names)}</div><div class="row">{pictures}</div>'


def _picture(frame: Frame) -> str:
    image = frame_image(frame)
    if image is None:
        return f'<div class="none">{escape(frame.name)}</div>'
    content, width, height = to_jpeg(image, _LONGEST)
    data = base64.b64encode(content).decode("ascii")
    name = escape(frame.name, quote=True)
    return (
        f'<img alt="{name}" width="{width}" height="{height}" src="data:image/jpeg;base64,{data}">'
    )
