"""The frames of a page: query and match side by side, worst failures first."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from placememory._estimate import Estimate
from placememory.figures._images import ImageOf, frame_image, to_jpeg
from placememory.figures._names import shorten
from placememory.figures._outcome import Outcome
from placememory.figures._verdict import Verdict, error, metres
from placememory.frames import Image
from placememory.memory import Candidate, Place

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
