"""One self-contained HTML page of a localised run: numbers, figures, and every frame."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from placememory._atomic import write_text
from placememory._localize import Estimate
from placememory.figures._images import ImageOf, frame_image, to_jpeg
from placememory.figures._verdict import Verdict, error, judge, metres
from placememory.frames import Image
from placememory.memory import Place

_THUMBNAIL = 240
_MOST_FRAMES = 400
_WORST_FIRST = (Verdict.WRONG, Verdict.OFF_MAP, Verdict.UNKNOWN, Verdict.RIGHT)
_CLASSES = {
    Verdict.RIGHT: "right",
    Verdict.WRONG: "wrong",
    Verdict.OFF_MAP: "off-map",
    Verdict.UNKNOWN: "unknown",
}


def write_page(
    path: Path,
    *,
    title: str,
    subtitle: str,
    rows: Sequence[tuple[str, str, str]],
    protocol: str,
    figures: Sequence[tuple[str, bytes]],
    estimates: Sequence[Estimate],
    places: Sequence[Place],
    image_of: ImageOf,
    radius: float | None,
    heading: float | None = None,
) -> Path:
    """Write the page; it loads nothing from anywhere.

    Args:
        path: The ``.html`` file.
        title: Heading.
        subtitle: One line under it.
        rows: What, value and interval, for the table.
        protocol: The rules behind the numbers.
        figures: Captions and PNG files; the first is drawn large.
        estimates: The run. Wrong answers come first, the most similar of them at the top; at most
            400 frames are shown.
        places: All places of the memory, to tell wrong answers from frames off the map.
        image_of: Where the images of places come from.
        radius: Metres within which an answer is right; ``None`` judges nothing.
        heading: Degrees within which its rotation must be, too.

    Returns:
        The path.

    Raises:
        PlaceMemoryError: It cannot be written.
    """
    verdicts = judge(estimates, places, radius, heading)
    ordered = worst_first(estimates, verdicts)[:_MOST_FRAMES]
    template = Template(files("placememory.figures").joinpath("page.html").read_text("utf-8"))
    text = template.substitute(
        title=escape(title),
        subtitle=escape(subtitle),
        table=_table(rows),
        protocol=escape(protocol),
        figures="\n".join(_figure(i, *figure) for i, figure in enumerate(figures)),
        filters="\n".join(_filters(verdicts)),
        frames="\n".join(_frame(e, verdict, image_of) for e, verdict in ordered),
    )
    write_text(path, text)
    return path


def worst_first(
    estimates: Sequence[Estimate], verdicts: Sequence[Verdict]
) -> list[tuple[Estimate, Verdict]]:
    """Wrong, off the map, not judged, right; within each the most similar first."""
    pairs = zip(estimates, verdicts, strict=True)
    return sorted(pairs, key=lambda p: (_WORST_FIRST.index(p[1]), -_similarity(p[0])))


def _similarity(estimate: Estimate) -> float:
    return estimate.best.similarity if estimate.best is not None else -1.0


def _table(rows: Sequence[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    cells = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr><th></th><th>value</th><th>95% interval</th></tr>{cells}</table>"


def _figure(index: int, caption: str, png: bytes) -> str:
    wide = ' class="wide"' if index == 0 else ""
    source = _data("image/png", png)
    return (
        f'<figure{wide}><img src="{source}" alt="{escape(caption)}" loading="lazy">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _filters(verdicts: Sequence[Verdict]) -> list[str]:
    buttons = [f'<button data-show="all" aria-pressed="true">all {len(verdicts)}</button>']
    for verdict in _WORST_FIRST:
        count = sum(v is verdict for v in verdicts)
        if count:
            label = f"{verdict.mark} {verdict.value} {count}"
            buttons.append(
                f'<button data-show="{_CLASSES[verdict]}" aria-pressed="false">{label}</button>'
            )
    return buttons


def _frame(estimate: Estimate, verdict: Verdict, image_of: ImageOf) -> str:
    best, frame = estimate.best, estimate.frame
    away = metres(error(frame.pose, estimate.pose))
    similarity = f"{best.similarity:.3f}" if best is not None else "no answer"
    right = _panel(image_of(best.place), best.place.name) if best else _panel(None, "no answer")
    return (
        f'<article class="frame {_CLASSES[verdict]}"><header>'
        f"<b>{verdict.mark} {verdict.value}</b><span>{similarity}{' · ' if away else ''}{away}"
        f'</span></header><div class="pair">{_panel(frame_image(frame), frame.name)}{right}'
        "</div></article>"
    )


def _panel(image: Image | None, name: str) -> str:
    if image is None:
        picture = '<div class="none">no image</div>'
    else:
        jpeg, width, height = to_jpeg(image, _THUMBNAIL)
        source = _data("image/jpeg", jpeg)
        picture = f'<img src="{source}" width="{width}" height="{height}" alt="" loading="lazy">'
    return f'<div>{picture}<div class="name">{escape(name)}</div></div>'


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
