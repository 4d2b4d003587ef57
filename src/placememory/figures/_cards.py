"""The frames of a page: query and best match side by side, worst failures first."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape

from placememory._estimate import Estimate
from placememory.figures._images import ImageOf, frame_image, to_jpeg
from placememory.figures._names import shorten
from placememory.figures._verdict import Verdict, error, metres
from placememory.frames import Image
from placememory.memory import Candidate

CLASSES = {
    Verdict.RIGHT: "right",
    Verdict.WRONG: "wrong",
    Verdict.OFF_MAP: "off",
    Verdict.UNKNOWN: "unknown",
}
_ORDER = (Verdict.WRONG, Verdict.OFF_MAP, Verdict.UNKNOWN, Verdict.RIGHT)
_LARGEST, _SMALLEST, _CROWD = 300, 120, 126
_NAME = 64

Judged = tuple[Estimate, Verdict]


def worst_first(estimates: Sequence[Estimate], verdicts: Sequence[Verdict]) -> list[Judged]:
    """Wrong answers, then those off the map, each most similar first; right ones, least first."""

    def key(judged: Judged) -> tuple[int, float]:
        estimate, verdict = judged
        similarity = estimate.best.similarity if estimate.best is not None else -math.inf
        return _ORDER.index(verdict), similarity if verdict is Verdict.RIGHT else -similarity

    return sorted(zip(estimates, verdicts, strict=True), key=key)


def cards(
    judged: Sequence[Judged], image_of: ImageOf, radius: float | None, heading: float | None
) -> Iterator[str]:
    """The HTML of each frame; images are smaller where there are many."""
    longest = round(_LARGEST * min(1.0, math.sqrt(_CROWD / max(1, len(judged)))))
    for estimate, verdict in judged:
        yield _card(estimate, verdict, image_of, max(_SMALLEST, longest), (radius, heading))


def filters(verdicts: Sequence[Verdict]) -> str:
    """Buttons for the verdicts that occur, with their counts, and a search field."""
    counts = Counter(verdicts)
    kinds = [("all", "All", len(verdicts))]
    kinds += [(CLASSES[v], v.value.capitalize(), counts[v]) for v in _ORDER if counts[v]]
    buttons = "".join(
        f'<button type="button" data-verdict="{kind}" aria-pressed="{str(kind == "all").lower()}">'
        f"{label} ({count:,})</button>"
        for kind, label, count in kinds
    )
    field = '<input type="search" placeholder="Name of an image" aria-label="Name of an image">'
    return f'<div class="tools">{buttons}{field}</div>'


def bar(verdicts: Sequence[Verdict]) -> str:
    """One bar split by verdict, with its key."""
    counts = Counter(verdicts)
    present = [v for v in (Verdict.RIGHT, *_ORDER[:3]) if counts[v]]
    parts = "".join(
        f'<span class="fill-{CLASSES[v]}" style="flex:{counts[v]}"></span>' for v in present
    )
    key = "".join(
        f'<span class="{CLASSES[v]}">{v.mark} {counts[v]:,} {v.value}</span>' for v in present
    )
    return f'<div class="bar" aria-hidden="true">{parts}</div><div class="key">{key}</div>'


def _card(
    estimate: Estimate,
    verdict: Verdict,
    image_of: ImageOf,
    longest: int,
    rule: tuple[float | None, float | None],
) -> str:
    best = estimate.best
    names = f"{estimate.frame.name} {best.place.name if best is not None else ''}"
    kind = CLASSES[verdict]
    facts = []
    if best is not None:
        facts.append(f"similarity <b>{best.similarity:.3f}</b>")
        distance = metres(error(estimate.frame.pose, best.place.pose))
        facts += [f"error <b>{distance}</b>"] if distance else []
    query = _picture(frame_image(estimate.frame), "Query", estimate.frame.name, longest)
    match = ""
    if best is not None:
        match = _picture(image_of(best.place), "Best match", best.place.name, longest)
    return (
        f'<article class="card" data-verdict="{kind}" data-names="{escape(names)}">'
        f'<div class="head"><b class="{kind}">{verdict.mark} {verdict.value.capitalize()}</b>'
        f'<span class="muted">{" &middot; ".join(facts) or "no candidates"}</span></div>'
        f'<div class="pair">{query}{match}</div>{_others(estimate, rule)}</article>\n'
    )


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
    """The further candidates, folded away."""
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
    return f"<details><summary>{word} {ranks}</summary><ol>{items}</ol></details>"


def _other(estimate: Estimate, candidate: Candidate, right: bool | None) -> str:
    verdict = {True: Verdict.RIGHT, False: Verdict.WRONG, None: Verdict.UNKNOWN}[right]
    mark = "" if right is None else f' <span class="{CLASSES[verdict]}">{verdict.mark}</span>'
    away = metres(error(estimate.frame.pose, candidate.place.pose))
    name = escape(shorten(candidate.place.name, 40))
    similarity = f"{candidate.similarity:.3f}"
    text = f'{similarity}{mark} {away} <span class="muted">{name}</span>'
    return f"<li>{candidate.rank} &middot; {text}</li>"
