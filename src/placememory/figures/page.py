"""Style and script of the page; both are written into it, so that it needs nothing else."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from placememory._io import write_text
from placememory.figures.images import ImageOf, frame_image, no_images, to_jpeg
from placememory.figures.outcome import Outcome, outcomes
from placememory.figures.style import shorten, to_png
from placememory.figures.verdict import Verdict, error, judge, metres
from placememory.frames import Image
from placememory.localization.estimate import Estimate
from placememory.memory import Candidate, Place

CSS = """
:root { color-scheme: light dark; --bg: #fbfbfa; --card: #fff; --ink: #1f2933; --muted: #5f6b77;
  --line: #e1e5e9; --right: #00795a; --wrong: #b84d00; --off: #7a4fa3; --unknown: #5f6b77;
  --right-fill: #009e73; --wrong-fill: #d55e00; --off-fill: #8e63b5; --unknown-fill: #8a96a3; }
@media (prefers-color-scheme: dark) { :root { --bg: #14181c; --card: #1c2227; --ink: #e6eaee;
  --muted: #9aa6b2; --line: #2f373f; --right: #3ccfa4; --wrong: #ff9955; --off: #c3a0e6;
  --unknown: #9aa6b2; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 28px; line-height: 1.2; letter-spacing: -0.01em; margin: 0 0 4px;
  overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 48px 0 14px; }
p { margin: 0 0 8px; max-width: 78ch; }
.muted, figcaption, .note { color: var(--muted); }
.note { font-size: 13.5px; }
table { border-collapse: collapse; margin: 24px 0 12px; width: 100%; }
th, td { text-align: left; padding: 9px 24px 9px 0; border-bottom: 1px solid var(--line);
  vertical-align: baseline; overflow-wrap: anywhere; }
th { font-weight: 500; width: 20em; }
td.value { font-weight: 650; font-size: 17px; font-variant-numeric: tabular-nums;
  white-space: nowrap; width: 1%; }
tr:first-child .value { font-size: 26px; line-height: 1.1; letter-spacing: -0.01em; }
.label { margin: 22px 0 0; font-weight: 600; }
.bar { display: flex; height: 10px; gap: 2px; margin: 22px 0 8px; }
.label + .bar { margin-top: 6px; }
.bar span { border-radius: 2px; min-width: 3px; }
.key { display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 13.5px; }
.right { color: var(--right); } .wrong { color: var(--wrong); }
.off { color: var(--off); } .unknown, .silent, .refused { color: var(--unknown); }
.fill-right { background: var(--right-fill); } .fill-wrong { background: var(--wrong-fill); }
.fill-off { background: var(--off-fill); } .fill-unknown { background: var(--unknown-fill); }
.fill-silent { background: var(--unknown-fill); } .fill-refused { background: var(--line); }
figure { margin: 0 0 28px; }
figure.wide img { display: block; max-width: 100%; height: auto; background: #fff;
  border: 1px solid var(--line); border-radius: 8px; padding: 10px; }
figcaption { margin-top: 8px; font-size: 13.5px; }
.tools { display: flex; flex-wrap: wrap; gap: 8px; margin: 0 0 18px; align-items: center;
  position: sticky; top: 0; background: var(--bg); padding: 10px 0; z-index: 1; }
button, input { font: inherit; font-size: 14px; color: inherit; background: var(--card);
  border: 1px solid var(--line); border-radius: 999px; padding: 5px 14px; }
button { cursor: pointer; }
button[aria-pressed="true"] { background: var(--ink); border-color: var(--ink); color: var(--bg); }
input { flex: 1 1 160px; max-width: 300px; }
.grid { display: grid; gap: 16px;
  grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px 14px; min-width: 0; }
.card[hidden] { display: none; }
.head { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 12px;
  margin: 0 0 8px; font-variant-numeric: tabular-nums; }
.head b { font-weight: 650; white-space: nowrap; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; }
.pair.three { grid-template-columns: 1fr 1fr 1fr; }
.pair figure { margin: 0; min-width: 0; }
.pair img, .none { display: block; width: 100%; height: auto; border-radius: 4px; }
.pair img { max-height: 260px; object-fit: contain; background: #0001; }
.none { aspect-ratio: 4 / 3; display: grid; place-items: center; color: var(--muted);
  border: 1px dashed var(--line); font-size: 13px; }
.pair figcaption { font-size: 12px; margin-top: 4px; line-height: 1.35; overflow-wrap: anywhere; }
.pair figcaption b { font-weight: 600; color: var(--ink); }
details { margin-top: 8px; font-size: 12.5px; } summary { cursor: pointer; color: var(--muted); }
ol { list-style: none; margin: 4px 0 0; padding: 0; font-variant-numeric: tabular-nums; }
li { overflow-wrap: anywhere; }
@media (max-width: 640px) { main { padding: 24px 14px 60px; } td.note { display: block;
  padding-top: 0; } tr { display: block; border-bottom: 1px solid var(--line); padding: 8px 0; }
  th, td, td.value { display: block; border: 0; padding: 0; width: auto; }
  .pair.three { grid-template-columns: 1fr 1fr; } }
@media print { .tools { display: none; } .card { break-inside: avoid; } }
"""

SCRIPT = """
const cards = [...document.querySelectorAll('.card')];
const buttons = [...document.querySelectorAll('button[data-verdict]')];
const search = document.querySelector('input[type=search]');
const empty = document.getElementById('empty');
function update() {
  const wanted = buttons.find(b => b.getAttribute('aria-pressed') === 'true').dataset.verdict;
  const text = search.value.trim().toLowerCase();
  let shown = 0;
  for (const card of cards) {
    card.hidden = !((wanted === 'all' || card.dataset.verdict === wanted)
      && card.dataset.names.toLowerCase().includes(text));
    shown += !card.hidden;
  }
  empty.hidden = shown > 0;
}
for (const button of buttons) button.addEventListener('click', () => {
  for (const other of buttons) other.setAttribute('aria-pressed', String(other === button));
  update();
});
search.addEventListener('input', update);
"""


_LARGEST, _SMALLEST, _CROWD = 300, 120, 126
_NAME = 64

Judgement = Verdict | Outcome
Judged = tuple[Estimate, Judgement]


def worst_first(estimates: Sequence[Estimate], verdicts: Sequence[Judgement]) -> list[Judged]:
    """Wrong answers, then those off the map, each surest first; right ones, least sure first."""

    def key(judged: Judged) -> tuple[int, float]:
        estimate, verdict = judged
        sure = estimate.best.similarity if estimate.best is not None else -math.inf
        if estimate.probability is not None:
            sure = estimate.probability
        return verdict.rank, sure if verdict.kind == "right" else -sure

    return sorted(zip(estimates, verdicts, strict=True), key=key)


def cards(
    judged: Sequence[Judged],
    places: Sequence[Place],
    image_of: ImageOf,
    radius: float | None,
    heading: float | None,
) -> Iterator[str]:
    """The HTML of each frame; images are smaller where there are many."""
    known = {place.id: place for place in places}
    longest = round(_LARGEST * min(1.0, math.sqrt(_CROWD / max(1, len(judged)))))
    for estimate, verdict in judged:
        shown = _matches(estimate, known)
        pictures = [
            _picture(image_of(place), what, place.name, max(_SMALLEST, longest))
            for what, place in shown
        ]
        query = _picture(
            frame_image(estimate.frame), "Query", estimate.frame.name, max(_SMALLEST, longest)
        )
        names = " ".join([estimate.frame.name, *(place.name for _, place in shown)])
        wide = " three" if len(pictures) > 1 else ""
        yield (
            f'<article class="card" data-verdict="{verdict.kind}" data-names="{escape(names)}">'
            f'<div class="head"><b class="{verdict.kind}">{verdict.mark} '
            f'{verdict.value.capitalize()}</b><span class="muted">{_facts(estimate)}</span></div>'
            f'<div class="pair{wide}">{query}{"".join(pictures)}</div>'
            f"{_others(estimate, (radius, heading))}</article>\n"
        )


def filters(verdicts: Sequence[Judgement]) -> str:
    """Buttons for the verdicts that occur, with their counts, and a search field."""
    counts = Counter(verdicts)
    kinds = [("all", "All", len(verdicts))]
    kinds += [(v.kind, v.value.capitalize(), counts[v]) for v in _ranked(counts)]
    buttons = "".join(
        f'<button type="button" data-verdict="{kind}" aria-pressed="{str(kind == "all").lower()}">'
        f"{label} ({count:,})</button>"
        for kind, label, count in kinds
    )
    field = '<input type="search" placeholder="Name of an image" aria-label="Name of an image">'
    return f'<div class="tools">{buttons}{field}</div>'


def bar(verdicts: Sequence[Judgement], label: str = "") -> str:
    """One bar split by verdict, right ones first, with its key and what it counts."""
    counts = Counter(verdicts)
    present = sorted(_ranked(counts), key=lambda verdict: verdict.kind != "right")
    parts = "".join(
        f'<span class="fill-{v.kind}" style="flex:{counts[v]}"></span>' for v in present
    )
    key = "".join(
        f'<span class="{v.kind}">{v.mark} {counts[v]:,} {v.value}</span>' for v in present
    )
    name = f'<p class="label">{escape(label)}</p>' if label else ""
    return f'{name}<div class="bar" aria-hidden="true">{parts}</div><div class="key">{key}</div>'


def _ranked(counts: Counter[Judgement]) -> list[Judgement]:
    """Those that occur, worst first."""
    return sorted(counts, key=lambda verdict: verdict.rank)


def _matches(estimate: Estimate, known: Mapping[tuple[str, int], Place]) -> list[tuple[str, Place]]:
    """The place of the best hypothesis, and the best candidate where it is another one."""
    best = None if estimate.best is None else estimate.best.place
    if estimate.belief is None:
        return [] if best is None else [("Best match", best)]
    first = estimate.belief.best
    likely = None if first is None else known.get(first.place)
    shown = [] if likely is None else [("Most likely place", likely)]
    if best is not None and (likely is None or best.id != likely.id):
        shown.append(("Best of this frame alone", best))
    return shown


def _facts(estimate: Estimate) -> str:
    """Numbers of the answer that the card is about."""
    if estimate.belief is None:
        if estimate.best is None:
            return "no candidates"
        facts = [f"similarity <b>{estimate.best.similarity:.3f}</b>"]
        found = estimate.best.place.pose
    else:
        facts = [] if estimate.verdict == "located" else [str(estimate.verdict)]
        facts.append(f"probability <b>{estimate.probability:.2f}</b>")
        found = estimate.likely_pose
    distance = metres(error(estimate.frame.pose, found))
    facts += [f"error <b>{distance}</b>"] if distance else []
    facts += [escape(estimate.note)] if estimate.note else []
    return " &middot; ".join(facts)


def _picture(image: Image | None, what: str, name: str, longest: int) -> str:
    """A thumbnail with its name below it."""
    shown = '<div class="none">no image</div>'
    if image is not None:
        content, width, height = to_jpeg(image, longest)
        data = base64.b64encode(content).decode("ascii")
        shown = (
            f'<img alt="{what}: {escape(name)}" width="{width}" height="{height}" '
            f'src="data:image/jpeg;base64,{data}">'
        )
    caption = f'<b>{what}</b><br><span title="{escape(name)}">{escape(shorten(name, _NAME))}</span>'
    return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"


def _others(estimate: Estimate, rule: tuple[float | None, float | None]) -> str:
    """The candidates of the frame but the one that is shown, folded away."""
    rest = estimate.candidates[1:]
    if not rest:
        return ""
    radius, heading = rule
    unknown: list[bool | None] = [None] * len(estimate.candidates)
    rights = unknown if radius is None else estimate.rights(radius, heading)
    items = "".join(
        _other(estimate, candidate, right)
        for candidate, right in zip(rest, rights[1:], strict=True)
    )
    ranks = f"{rest[0].rank}" + (f" to {rest[-1].rank}" if len(rest) > 1 else "")
    word = "Candidates" if len(rest) > 1 else "Candidate"
    alone = "" if estimate.belief is None else " of this frame alone"
    return f"<details><summary>{word} {ranks}{alone}</summary><ol>{items}</ol></details>"


def _other(estimate: Estimate, candidate: Candidate, right: bool | None) -> str:
    verdict = {True: Verdict.RIGHT, False: Verdict.WRONG, None: Verdict.UNKNOWN}[right]
    mark = "" if right is None else f' <span class="{verdict.kind}">{verdict.mark}</span>'
    away = metres(error(estimate.frame.pose, candidate.place.pose))
    name = escape(shorten(candidate.place.name, 40))
    similarity = f"{candidate.similarity:.3f}"
    text = f'{similarity}{mark} {away} <span class="muted">{name}</span>'
    return f"<li>{candidate.rank} &middot; {text}</li>"


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
