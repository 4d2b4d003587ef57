"""Parts of a floor plan: rectangles in metres, painted one over the other.

A plan is data. ``level`` makes a level of it and ``grid`` an occupancy map, so the pictures and the
map cannot disagree. Textures are names of Freedoom 2, which ViZDoom carries.
"""

from __future__ import annotations

from dataclasses import dataclass

Rect = tuple[float, float, float, float]

STEP = 0.75  #: a floor higher than this cannot be driven over, metres
HEADROOM = 1.75  #: the least height that the robot passes under, metres


@dataclass(frozen=True, slots=True)
class Area:
    """One rectangle of the plan; later areas are painted over earlier ones.

    Attributes:
        rect: x0, y0, x1, y1 in metres, map frame, multiples of 1/32 m.
        floor: Height of the floor in metres.
        ceiling: Height of the ceiling in metres; not above ``floor`` means solid.
        wall: Texture of the walls that one sees from inside.
        flat: Texture of the floor.
        top: Texture of the ceiling.
        light: Brightness, 0 to 255.
        side: Texture that this area shows to its neighbours where it stands out of the floor,
            hangs from the ceiling or is solid; ``None`` continues the neighbour's wall.
        fixed_light: The light is the same in every run (lamps, daylight is not).
    """

    rect: Rect
    floor: float
    ceiling: float
    wall: str
    flat: str
    top: str
    light: int
    side: str | None = None
    fixed_light: bool = False

    @property
    def solid(self) -> bool:
        """Whether nothing can be inside."""
        return self.ceiling <= self.floor

    @property
    def drivable(self) -> bool:
        """Whether a robot can stand here."""
        return self.floor <= STEP and self.ceiling - self.floor >= HEADROOM


@dataclass(frozen=True, slots=True)
class Thing:
    """A free-standing object: its position in metres, its kind and its radius in metres."""

    x: float
    y: float
    kind: int
    radius: float = 0.5


@dataclass(frozen=True, slots=True)
class Door:
    """A door between two rooms, by their numbers."""

    rooms: tuple[int, int]
    rect: Rect

    @property
    def centre(self) -> tuple[float, float]:
        """x, y in metres."""
        x0, y0, x1, y1 = self.rect
        return (x0 + x1) / 2, (y0 + y1) / 2


@dataclass(frozen=True, slots=True)
class Floor:
    """A floor plan: a fixed one (``demonstration``), or a random one (``random_floor``).

    Attributes:
        areas: All of it, later ones painted over earlier ones.
        things: Free-standing objects.
        rooms: The rooms and halls without what stands in them.
        doors: Between the rooms; every room of a random plan can be reached through them.
        owners: Of a random plan: the room of each area, ``-1`` outside and in doors.
    """

    areas: tuple[Area, ...]
    things: tuple[Thing, ...]
    rooms: tuple[Area, ...]
    doors: tuple[Door, ...] = ()
    owners: tuple[int, ...] = ()


def solid(rect: Rect, side: str) -> Area:
    """A block from floor to ceiling: a wall, a cupboard, a column."""
    return Area(rect, 0, 0, side, "FLAT19", "FLAT19", 160, side)


def box(room: Area, rect: Rect, height: float, side: str, flat: str) -> Area:
    """Something that stands on the floor of a room: a desk, a crate, a counter."""
    return Area(rect, height, room.ceiling, room.wall, flat, room.top, room.light, side)


def lamps(room: Area, rects: list[Rect], top: str = "AQF062") -> list[Area]:
    """Bright panels in the ceiling, with a pool of light below."""
    light = min(255, room.light + 56)
    return [
        Area(r, room.floor, room.ceiling, room.wall, room.flat, top, light, None, True)
        for r in rects
    ]


def door(rect: Rect, side: str = "SHAWN02", flat: str = "FLAT23") -> Area:
    """An opening in a wall."""
    return Area(rect, 0, 2.75, side, flat, "FLAT23", 192, side)


def window(rect: Rect, frame: str = "SHAWN02") -> Area:
    """An opening in a wall above a sill."""
    return Area(rect, 0.9, 2.5, frame, "FLAT23", "FLAT23", 208, None)


def garden(rect: Rect) -> Area:
    """Grass below the sky."""
    return Area(rect, -0.25, 2.5, "A-CAMO1", "GRASS1", "F_SKY1", 224)
