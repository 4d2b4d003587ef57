"""Random furniture and lamps for a room, clear of its doors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from placememory.samples import _style as style
from placememory.samples._plan import Area, Rect, Thing, box, lamps, solid

_APPROACH = 1.25  # metres that stay free before doors and windows
_STEP = 0.25  # metres; every edge lies on this grid
_ISLAND_ROOM = 6.5  # metres; rooms with such sides have something in the middle
_AISLE = 2.0  # metres between what stands at the wall or in the middle and the other

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Look:
    """The few kinds of furniture and lamps that a building has.

    Attributes:
        cupboards: Textures of what is as high as the room.
        pictures: Textures of what hangs on walls.
        desks: Textures of sides and tops.
        crates: Likewise.
        column: Texture.
        lamp: Texture.
    """

    cupboards: Sequence[str]
    pictures: Sequence[str]
    desks: Sequence[tuple[str, str]]
    crates: Sequence[tuple[str, str]]
    column: str
    lamp: str


def random_look(rng: np.random.Generator) -> Look:
    """Two kinds of most things."""
    return Look(
        _some(rng, style.CUPBOARDS, 3),
        _some(rng, style.PICTURES, 2),
        _some(rng, style.DESKS, 2),
        _some(rng, style.CRATES, 2),
        _some(rng, style.COLUMNS, 1)[0],
        _some(rng, style.LAMPS, 1)[0],
    )


def _some(rng: np.random.Generator, known: Sequence[T], count: int) -> list[T]:
    return [known[int(i)] for i in rng.choice(len(known), count, replace=False)]


def furnish(
    rng: np.random.Generator, room: Area, look: Look, kept_free: Sequence[Rect]
) -> tuple[list[Area], list[Thing]]:
    """Furniture along the walls, in the middle of large rooms and in the corners.

    Args:
        rng: Of kinds, sizes and places.
        room: The room.
        look: The kinds there are.
        kept_free: Doors and windows, before which nothing stands.

    Returns:
        What is part of the plan, and what stands free.
    """
    x0, y0, x1, y1 = room.rect
    busy = [_grown(rect, _APPROACH) for rect in kept_free]
    pieces: list[Area] = []
    for horizontal in (True, False):
        for near in (True, False):
            for piece in _along_wall(rng, room, look, horizontal=horizontal, near=near):
                if not any(_overlap(piece.rect, other) for other in busy):
                    busy.append(_grown(piece.rect, 0.25))
                    pieces.append(piece)
    if min(x1 - x0, y1 - y0) >= _ISLAND_ROOM:
        pieces.append(_island(rng, room, look))
    corners = [(x, y) for x in (x0 + 0.75, x1 - 0.75) for y in (y0 + 0.75, y1 - 0.75)]
    things = []
    for x, y in corners:
        here = (x - 0.5, y - 0.5, x + 0.5, y + 0.5)
        if rng.random() < 0.2 and not any(_overlap(here, other) for other in busy):
            things.append(Thing(x, y, int(rng.choice(style.THINGS))))
    return pieces, things


def room_lamps(rng: np.random.Generator, room: Area, look: Look) -> list[Area]:
    """Panels in the ceiling: a row or a grid of squares of one size."""
    x0, y0, x1, y1 = room.rect
    size = float(rng.choice([0.5, 0.75, 1.0, 1.5]))
    gap = float(rng.uniform(2.5, 4.5))
    columns, rows = (max(1, int((side - 1) // gap)) for side in (x1 - x0, y1 - y0))
    xs, ys = _centred(x0, x1, columns, size), _centred(y0, y1, rows, size)
    return lamps(room, [(x, y, x + size, y + size) for x in xs for y in ys], look.lamp)


def _centred(low: float, high: float, count: int, size: float) -> list[float]:
    """Lower edges of ``count`` pieces, evenly spaced, on multiples of 1/32 m."""
    step = (high - low) / count
    return [round((low + (i + 0.5) * step - size / 2) * 32) / 32 for i in range(count)]


def _along_wall(
    rng: np.random.Generator, room: Area, look: Look, *, horizontal: bool, near: bool
) -> list[Area]:
    """Pieces along one wall of a room: the near one has the lower coordinate."""
    x0, y0, x1, y1 = room.rect
    low, high = (x0, x1) if horizontal else (y0, y1)
    at = low + _draw(rng, 0.0, 1.5)
    pieces: list[Area] = []
    while True:
        length = _draw(rng, 1.0, 3.0)
        if at + length > high:
            return pieces
        kind = str(rng.choice(["cupboard", "picture", "desk", "crate", "nothing"]))
        depth = {"picture": 0.125, "cupboard": 0.5, "desk": 0.75, "crate": 1.0}.get(kind, 0.0)
        if horizontal:
            rect = (at, y0, at + length, y0 + depth) if near else (at, y1 - depth, at + length, y1)
        else:
            rect = (x0, at, x0 + depth, at + length) if near else (x1 - depth, at, x1, at + length)
        if kind != "nothing":
            pieces.append(_piece(rng, room, look, rect, kind))
        at += length + _draw(rng, 0.25, 1.5)


def _piece(rng: np.random.Generator, room: Area, look: Look, rect: Rect, kind: str) -> Area:
    if kind == "picture":
        return solid(rect, str(rng.choice(look.pictures)))
    if kind == "cupboard":
        return solid(rect, str(rng.choice(look.cupboards)))
    pairs = look.desks if kind == "desk" else look.crates
    side, flat = pairs[int(rng.integers(len(pairs)))]
    heights = [0.875, 1.125] if kind == "desk" else [1.0, 2.0]
    return box(room, rect, float(rng.choice(heights)), side, flat)


def _island(rng: np.random.Generator, room: Area, look: Look) -> Area:
    """A table, a pile of crates or a column in the middle of a room."""
    x0, y0, x1, y1 = room.rect
    width, depth = (_draw(rng, 0.75, min(4.0, side - 2 * _AISLE)) for side in (x1 - x0, y1 - y0))
    column = rng.random() < 0.4
    if column:
        width = depth = 0.75
    reach = _AISLE + 0.25
    x = _draw(rng, x0 + reach, x1 - reach - width) if x1 - x0 > 2 * reach + width else x0 + reach
    y = _draw(rng, y0 + reach, y1 - reach - depth) if y1 - y0 > 2 * reach + depth else y0 + reach
    rect = (x, y, x + width, y + depth)
    if column:
        return solid(rect, look.column)
    return _piece(rng, room, look, rect, str(rng.choice(["desk", "crate"])))


def _draw(rng: np.random.Generator, low: float, high: float) -> float:
    return round(rng.uniform(low, high) / _STEP) * _STEP


def _grown(rect: Rect, by: float) -> Rect:
    x0, y0, x1, y1 = rect
    return x0 - by, y0 - by, x1 + by, y1 + by


def _overlap(a: Rect, b: Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
