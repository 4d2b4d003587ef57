"""The page of a run as one file: the browser page of the service, with its data embedded.

The page's own files lie in ``serve/page``; here they are put into one, and what the service would
answer is put beside them. Images are small JPEGs, as many as a fixed size allows.
"""

from __future__ import annotations

import html
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image as PillowImage

from placememory._io import write_text
from placememory.figures.page import data_uri, thumbnail
from placememory.frames import Image, Pose
from placememory.localization.estimate import Estimate
from placememory.maps import OccupancyGrid
from placememory.memory import ImageOf, Place, PlaceMemory, read_image
from placememory.metrics import Outcome

_LARGEST, _SMALLEST, _CROWD = 300, 160, 70  # pixels of an image; frames that fit at the largest
_IMAGES = 2_400_000  # characters of all images together
_GROUND = 2048  # pixels of the longer side of the map
_CANDIDATES, _HYPOTHESES = 6, 5
_RUN = "run"
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
_LINKED = re.compile(
    r'<link rel="stylesheet" href="static/([\w.]+)">|<script src="static/([\w.]+)"></script>'
)
_PAGE = files("placememory") / "serve" / "page"


def write_run_page(
    path: Path,
    memory: PlaceMemory,
    estimates: Sequence[Estimate],
    outcomes: Sequence[Outcome],
    *,
    title: str,
    summary: Sequence[Sequence[str]],
    notes: Sequence[str],
    figures: Sequence[tuple[str, bytes]],
    image_of: ImageOf,
    grid: OccupancyGrid | None,
    radius: float,
) -> Path:
    """Write the page of a run: map, timeline, each frame beside its match, and the numbers.

    Nothing is loaded from elsewhere. Images of wrong answers come first, the surest first of all,
    then those of frames spread evenly over the run, until they have 2.4 MB; the notes say how many
    there are. The same input gives the same bytes.

    Args:
        path: Where to; the page appears only when it is complete.
        memory: The memory that answered.
        estimates: The frames, in order.
        outcomes: Of each, as :func:`placememory.figures.judge` gives them.
        title: Of the page.
        summary: Rows of a table: name, value, note.
        notes: Paragraphs below the table.
        figures: Caption and bytes of a PNG file of further figures.
        image_of: The images of places.
        grid: The map.
        radius: Metres within which an answer is correct.

    Returns:
        The path.

    Raises:
        PlaceMemoryError: The page cannot be written there.
    """
    places = memory.places
    rows = {place.id: row for row, place in enumerate(places)}
    likely = [_likely(estimate, rows) for estimate in estimates]
    images, shown = _images(estimates, outcomes, places, likely, rows, image_of)
    left_out = [] if shown == len(estimates) else [
        f"Images of {shown:,} of {len(estimates):,} frames are in this file: those of wrong "
        "answers first, then those of frames spread over the run."
    ]  # fmt: skip
    ground, picture = _ground(grid)
    data = {
        "map": {
            "memory": Path(memory.uri).name,
            "frame_id": memory.manifest.frame_id,
            "revision": memory.revision,
            "encoder": memory.card.name,
            "places": len(places),
            "sessions": [
                {"name": name, "count": count} for name, count in memory.sessions().items()
            ],
            "image": ground,
        },
        "places": _place_columns(places, list(memory.sessions())),
        "run": {
            "name": _RUN,
            "frames": len(estimates),
            "columns": _run_columns(estimates, outcomes, likely),
            "radius": radius,
        },
        "frames": [_detail(estimate, rows) for estimate in estimates],
        "images": {**picture, **images},
        "report": {
            "title": title,
            "summary": [list(row) for row in summary],
            "notes": [*notes, *left_out],
            "figures": [
                {"caption": caption, "image": data_uri(png, "png")} for caption, png in figures
            ],
        },
    }
    write_text(path, _page(title, data))
    return path


def _page(title: str, data: dict[str, Any]) -> str:
    """The page with its style, its scripts and the data in it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    inserted = False

    def embed(link: re.Match[str]) -> str:
        nonlocal inserted
        style, script = link.groups()
        if style:
            return f"<style>\n{(_PAGE / style).read_text(encoding='utf-8')}</style>"
        first = "" if inserted else f"<script>window.PLACEMEMORY = {text};</script>\n"
        inserted = True
        return f"{first}<script>\n{(_PAGE / script).read_text(encoding='utf-8')}</script>"

    page = (_PAGE / "index.html").read_text(encoding="utf-8")
    page = re.sub(r"default-src 'none';[^\"]*", _POLICY, page, count=1)
    page = page.replace("<title>placememory</title>", f"<title>{html.escape(title)}</title>")
    return _LINKED.sub(embed, page)


def _place_columns(places: Sequence[Place], sessions: list[str]) -> dict[str, Any]:
    number = {name: i for i, name in enumerate(sessions)}
    return {
        "total": len(places),
        "offset": 0,
        "session": [number[place.session] for place in places],
        "index": [place.index for place in places],
        "name": [place.name for place in places],
        **_columns("", (place.pose for place in places), yaw=True),
    }


def _run_columns(
    estimates: Sequence[Estimate], outcomes: Sequence[Outcome], likely: Sequence[int | None]
) -> dict[str, Any]:
    return {
        "name": [estimate.frame.name for estimate in estimates],
        "stamp": [estimate.frame.stamp for estimate in estimates],
        "verdict": [estimate.verdict for estimate in estimates],
        "reason": [estimate.reason for estimate in estimates],
        "outcome": [outcome.kind for outcome in outcomes],
        **_columns("", (estimate.pose for estimate in estimates), yaw=True),
        **_columns("h", (estimate.hypothesis for estimate in estimates)),
        **_columns("t", (estimate.frame.pose for estimate in estimates)),
        "probability": [_round(estimate.probability) for estimate in estimates],
        "error": [_error(estimate) for estimate in estimates],
        "place": list(likely),
        "similarity": [
            None if estimate.best is None else _round(estimate.best.similarity)
            for estimate in estimates
        ],
        "image": [estimate.frame.read is not None for estimate in estimates],
    }


def _columns(prefix: str, poses: Iterable[Pose | None], *, yaw: bool = False) -> dict[str, Any]:
    """X and y (and yaw) of poses, ``None`` where there is none."""
    known = list(poses)
    found = {
        f"{prefix}{axis}": [None if pose is None else _round(getattr(pose, axis)) for pose in known]
        for axis in "xy"
    }
    if yaw:
        found["yaw"] = [
            None if pose is None or pose.quaternion is None else _round(pose.yaw) for pose in known
        ]
    return found


def _detail(estimate: Estimate, rows: dict[tuple[str, int], int]) -> dict[str, Any]:
    """What the columns do not say of a frame; places are named by their rows."""
    spread, belief = estimate.covariance, estimate.belief
    detail: dict[str, Any] = {
        "candidates": [
            [rows.get(candidate.place.id, -1), _round(candidate.similarity)]
            for candidate in estimate.candidates[:_CANDIDATES]
        ],
        "hypotheses": None if belief is None else [
            [rows.get(guess.place, -1), _round(guess.weight),
             *(map(_round, guess.position[:2]) if guess.position else (None, None))]
            for guess in belief.hypotheses[:_HYPOTHESES]
        ],
    }  # fmt: skip
    if estimate.pose is not None and spread is not None:
        detail["covariance"] = [_round(float(value)) for value in spread.ravel()[:8]]
    if estimate.note:
        detail["note"] = estimate.note
    if estimate.age:
        detail["age"] = _round(estimate.age)
    return detail


def _likely(estimate: Estimate, rows: dict[tuple[str, int], int]) -> int | None:
    """Row of the place of the best hypothesis; of a frame alone, of its best candidate."""
    if estimate.belief is not None:
        best = estimate.belief.best
        return None if best is None else rows.get(best.place)
    return None if estimate.best is None else rows.get(estimate.best.place.id)


def _error(estimate: Estimate) -> float | None:
    true, found = estimate.frame.pose, estimate.judged
    return None if true is None or found is None else _round(true.distance_to(found))


def _round(value: float | None) -> float | None:
    """Millimetres, and tenths of a per cent."""
    return None if value is None or not math.isfinite(value) else round(value, 4)


def _order(estimates: Sequence[Estimate], outcomes: Sequence[Outcome]) -> list[int]:
    """Frames whose images matter most first: wrong ones, surest first, then evenly spread ones."""

    def sureness(row: int) -> float:
        estimate = estimates[row]
        best = -math.inf if estimate.best is None else estimate.best.similarity
        return best if estimate.probability is None else estimate.probability

    bits = max(1, (len(estimates) - 1).bit_length())
    spread = sorted(range(len(estimates)), key=lambda row: int(f"{row:0{bits}b}"[::-1], 2))
    wrong = [row for row in spread if outcomes[row] in (Outcome.WRONG, Outcome.OFF_MAP)]
    wrong.sort(key=lambda row: (outcomes[row].rank, -sureness(row), row))
    known = set(wrong)
    return [*wrong, *(row for row in spread if row not in known)]


def _images(
    estimates: Sequence[Estimate],
    outcomes: Sequence[Outcome],
    places: Sequence[Place],
    likely: Sequence[int | None],
    rows: dict[tuple[str, int], int],
    image_of: ImageOf,
) -> tuple[dict[str, str], int]:
    """Images by their address in the service, and of how many frames; as many as fit."""
    longest = max(_SMALLEST, round(_LARGEST * math.sqrt(_CROWD / max(_CROWD, len(estimates)))))
    order = _order(estimates, outcomes)
    found: dict[str, str] = {}
    room, shown = _IMAGES, 0

    def add(key: str, image: Image | None) -> None:
        nonlocal room
        if (small := thumbnail(image, longest)) is not None:
            found[key] = small.uri
            room -= len(small.uri)

    def add_place(row: int) -> None:
        key = _place_key(places[row])
        if key not in found:
            add(key, image_of(places[row]))

    for row in order:
        if room > 0:
            shown += 1
            add(f"api/runs/{_RUN}/frames/{row}/image", read_image(estimates[row].frame))
            if (place := likely[row]) is not None:
                add_place(place)
    for place in _candidates((estimates[row] for row in order), rows):
        if room > 0:
            add_place(place)
    return found, shown


def _candidates(estimates: Iterable[Estimate], rows: dict[tuple[str, int], int]) -> Iterator[int]:
    """Rows of the candidates that the page shows."""
    for estimate in estimates:
        for candidate in estimate.candidates[:_CANDIDATES]:
            if candidate.place.id in rows:
                yield rows[candidate.place.id]


def _place_key(place: Place) -> str:
    session = quote(place.session, safe="!*'()")  # as encodeURIComponent does
    return f"api/places/{session}/{place.index}/image"


def _ground(grid: OccupancyGrid | None) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """What the service would say of the map, and its image: light is free."""
    if grid is None:
        return None, {}
    picture = PillowImage.fromarray((255 * grid.lightness).round().astype(np.uint8))
    picture.thumbnail((_GROUND, _GROUND), PillowImage.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    told = {
        "url": "/api/map/image",
        "width": grid.width,
        "height": grid.height,
        "resolution": grid.resolution,
        "origin": list(grid.origin),
    }
    return told, {"api/map/image": data_uri(buffer.getvalue(), "png")}
