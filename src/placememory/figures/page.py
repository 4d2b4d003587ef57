"""One HTML page with the result of a run; it needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from placememory._atomic import write_text
from placememory._estimate import Estimate
from placememory.figures._cards import bar, cards, filters, worst_first
from placememory.figures._images import ImageOf, no_images
from placememory.figures._outcome import outcomes
from placememory.figures._page_look import CSS, SCRIPT
from placememory.figures._style import to_png
from placememory.figures._verdict import judge
from placememory.memory import Place

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_PAGE_DPI = 110


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
    """Write the page: headline table, figures, and the frames with the worst failures first.

    Of an online run the cards, their order and the first bar are about the verdicts, with what
    came before each frame; a second bar counts the answers of each frame alone.

    Images are embedded as small JPEGs, some 6 MB in all at most for 126 frames; they are smaller
    where there are more frames. The same input gives the same bytes.

    Args:
        path: Where to; the page appears only when it is complete.
        title: Of the page.
        summary: Rows of a table: name, value and, if wanted, a note (see :func:`summary_rows`).
        notes: Paragraphs below the table, such as the protocol.
        figures: Caption and figure, or caption and the bytes of a PNG file.
        estimates: The frames.
        places: All places of the memory; they tell wrong from off the map.
        image_of: The image of a place (see :func:`images_of`).
        radius: Metres within which an answer is right; ``None`` judges nothing.
        heading: Degrees within which its rotation must be, too.
        limit: Most frames shown; the least interesting are left out, and the page says so.

    Returns:
        The path.

    Raises:
        PlaceMemoryError: The page cannot be written there.
    """
    alone = judge(estimates, places, radius, heading)
    fused = outcomes(estimates, places, radius) if any(e.belief for e in estimates) else []
    judged = worst_first(estimates, fused or alone)[:limit]
    body = [f"<header><h1>{escape(title)}</h1></header>"]
    body += [bar(fused, "Verdicts, each frame with those before it")] if fused else []
    body += [bar(alone, "Each frame alone" if fused else "")] if estimates else []
    body += [table(summary)] if summary else []
    body += [f'<p class="note">{escape(note)}</p>' for note in notes]
    body += ["<h2>Figures</h2>"] if figures else []
    body += [_figure(caption, figure) for caption, figure in figures]
    if estimates:
        shown = [verdict for _, verdict in judged]
        body.append(f"<h2>Frames, worst first</h2>{_cut(len(judged), len(estimates))}")
        body.append(filters(shown))
        body.append('<p class="muted" id="empty" hidden>No frame fits this choice.</p>')
        body.append('<div class="grid">\n')
        body += cards(judged, places, image_of, radius, heading)
        body.append(f"</div><script>{SCRIPT}</script>")
    write_text(Path(path), document(title, "\n".join(body)))
    return Path(path)


def document(title: str, body: str) -> str:
    """A whole page around a body."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of name, value and note."""
    lines = []
    for row in rows:
        name, value, note = (*row, "", "", "")[:3]
        lines.append(
            f'<tr><th scope="row">{escape(name)}</th><td class="value">{escape(value)}</td>'
            f'<td class="note">{escape(note)}</td></tr>'
        )
    return f"<table>{''.join(lines)}</table>"


def _figure(caption: str, figure: Figure | bytes) -> str:
    content = figure if isinstance(figure, bytes) else to_png(figure, dpi=_PAGE_DPI)
    data = base64.b64encode(content).decode("ascii")
    text = escape(caption)
    return (
        f'<figure class="wide"><img alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _cut(shown: int, total: int) -> str:
    if shown == total:
        return ""
    return f'<p class="muted">{shown:,} of {total:,} frames are shown, the worst of them first.</p>'
