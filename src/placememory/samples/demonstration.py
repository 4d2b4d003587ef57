"""The floor plan of the demonstration: a ring of eight rooms and halls around two inner rooms.

The mapping run drives the ring; the canteen and the gallery inside it are the stretch that only
the query run sees. All numbers are metres in the map frame.
"""

from __future__ import annotations

from placememory.samples.plan import (
    Area,
    Floor,
    Rect,
    Thing,
    box,
    door,
    garden,
    lamps,
    solid,
    window,
)

LOBBY = Area((0, 0, 9, 9), 0, 4, "CARLLF1", "AQF045", "FLOOR0_3", 192)
SOUTH_HALL = Area((9.5, 4, 22.5, 6.5), 0, 3.5, "BRICK12", "FLOOR0_1", "FLAT19", 184)
LIBRARY = Area((23, 0, 32, 8.5), 0, 4, "PANEL4", "A-MYWOOD", "CEIL1_1", 192)
EAST_HALL = Area((28, 9, 30.5, 14), 0, 3.5, "ESPIG1", "FLAT20", "FLAT19", 184)
WORKSHOP = Area((23, 14.5, 32, 23.5), 0, 5, "CEMENT3", "AQF051", "AQF055", 184)
NORTH_HALL = Area((9.5, 17.5, 22.5, 20), 0, 3.5, "BRICK11", "AQF048", "CEIL5_2", 192)
LAB = Area((0, 14.5, 9, 23.5), 0, 3, "SHAWN03", "FLOOR0_7", "FLAT18", 208)
WEST_HALL = Area((3.5, 9.5, 6, 14), 0, 3.5, "ESPITAN1", "FLOOR4_6", "FLAT19", 184)
CANTEEN = Area((15, 7, 22.5, 17), 0, 4, "STONEW5", "AQF047", "CEIL3_2", 200)
GALLERY = Area((9.5, 7, 14.5, 17), 0, 4, "ZZWOLF5", "FLAT5_3", "FLOOR0_2", 200)
OFFICES = [
    Area((9.5, 0, 15.5, 3.5), 0, 3.5, "STARTAN1", "FLOOR4_6", "FLAT19", 192),
    Area((16, 0, 22.5, 3.5), 0, 3.5, "ESPIBR1", "FLOOR1_6", "FLAT19", 192),
    Area((9.5, 20.5, 15.5, 23.5), 0, 3.5, "STARG1", "FLOOR7_2", "FLAT19", 200),
    Area((16, 20.5, 22.5, 23.5), 0, 3.5, "A-BROK28", "AQF047", "FLAT19", 200),
    Area((23, 9, 27.5, 14), 0, 3.5, "METAL2", "AQF053", "AQF055", 176),
]
ROOMS = [LOBBY, SOUTH_HALL, LIBRARY, EAST_HALL, WORKSHOP, NORTH_HALL, LAB, WEST_HALL]
ROOMS += [CANTEEN, GALLERY, *OFFICES]

DOORS = [
    door((9, 4.25, 9.5, 6.25)),
    door((22.5, 4.25, 23, 6.25)),
    door((28.25, 8.5, 30.25, 9)),
    door((28.25, 14, 30.25, 14.5)),
    door((22.5, 17.75, 23, 19.75)),
    door((9, 17.75, 9.5, 19.75)),
    door((3.75, 14, 5.75, 14.5)),
    door((3.75, 9, 5.75, 9.5)),
    door((19.5, 6.5, 21.5, 7)),
    door((14.5, 13, 15, 15)),
    door((12, 3.5, 13.5, 4)),
    door((18, 3.5, 19.5, 4)),
    door((12, 20, 13.5, 20.5)),
    door((18, 20, 19.5, 20.5)),
    door((27.5, 10.75, 28, 12.25)),
]
OUTSIDE = [
    garden((-1, -5, 10, -0.5)),
    garden((-4, 9.5, 3, 14)),
    garden((31, 9.5, 35, 13.5)),
    window((1.25, -0.5, 3.25, 0)),
    window((5.75, -0.5, 7.75, 0)),
    window((3, 10.5, 3.5, 13)),
    window((30.5, 10, 31, 13)),
]


def _panels(x0: float, x1: float, y0: float, y1: float, step: float, size: float) -> list[Rect]:
    """Square lamps of one size along the middle of a hall, one every ``step`` metres."""
    along_x = x1 - x0 > y1 - y0
    length, middle = (x1 - x0, (y0 + y1) / 2) if along_x else (y1 - y0, (x0 + x1) / 2)
    count = int(length // step)
    starts = [(i + 0.5) * length / count - size / 2 for i in range(count)]
    starts = [round(start * 32) / 32 for start in starts]
    low = round((middle - size / 2) * 32) / 32
    if along_x:
        return [(x0 + s, low, x0 + s + size, low + size) for s in starts]
    return [(low, y0 + s, low + size, y0 + s + size) for s in starts]


def _hall_lamps(room: Area, step: float = 3.0, size: float = 1.0) -> list[Area]:
    x0, y0, x1, y1 = room.rect
    return lamps(room, _panels(x0, x1, y0, y1, step, size))


LIGHTS = [
    *lamps(LOBBY, [(3.5, 3.5, 5.5, 5.5), (1, 7, 2, 8), (7, 7, 8, 8), (7, 1, 8, 2)]),
    *_hall_lamps(SOUTH_HALL),
    *lamps(LIBRARY, [(24, 5, 25, 6), (27, 5, 28, 6), (27, 1, 28, 1.5), (30, 3, 31, 5)]),
    *_hall_lamps(EAST_HALL, 2.5),
    *lamps(WORKSHOP, [(26, 17, 28, 19), (29, 16, 30, 17), (29, 19.5, 30, 20.5)], "AQF060"),
    *_hall_lamps(NORTH_HALL, 4.0, 0.75),
    *lamps(LAB, [(1, 16, 2, 22), (7, 16, 8, 22), (4, 17, 5, 18)], "AQF058"),
    *_hall_lamps(WEST_HALL, 2.0, 0.75),
    *lamps(CANTEEN, [(17, 8, 18, 9), (20, 11, 21, 12), (17, 13, 18, 14)]),
    *lamps(GALLERY, [(11.5, 8.5, 12.5, 9.5), (11.5, 11.5, 12.5, 12.5)]),
    *lamps(GALLERY, [(11.5, 14.5, 12.5, 15.5)]),
    *(area for office in OFFICES for area in _hall_lamps(office)),
]

FURNITURE = [
    # Lobby: reception desk, company sign, banners, four columns, a bench below the windows.
    box(LOBBY, (1, 6.25, 3, 6.875), 1.125, "PANCASE1", "FLOOR0_2"),
    solid((0, 1.5, 0.125, 5.5), "SHAWN1"),
    *(solid((8.875, y, 9, y + 2), "PANBLUE") for y in (1.75, 6.75)),
    *(solid((x, y, x + 0.75, y + 0.75), "MARBGRAY") for x in (2, 6.25) for y in (2, 6.75)),
    box(LOBBY, (3.5, 0, 5.5, 0.5), 0.875, "WOOD12", "FLOOR0_2"),
    # South hall: two cupboards, a notice, closed doors.
    solid((10.5, 6.375, 12.5, 6.5), "SPCDOOR3"),
    solid((15, 6.375, 17, 6.5), "SPCDOOR4"),
    box(SOUTH_HALL, (14, 4, 16, 4.5), 1.25, "CRSMB", "CRATOP1"),
    solid((20.5, 4, 22.5, 4.125), "GRAY2"),
    # Library: cases along the walls, two islands, a reading table.
    solid((31.5, 0.25, 32, 8.25), "PANBOOK"),
    solid((23, 0, 31, 0.5), "PANBOOK"),
    solid((23, 6.5, 27, 7), "PANBOOK"),
    box(LIBRARY, (24.5, 2, 28.5, 2.625), 2.25, "PANBOOK", "FLAT5_1"),
    box(LIBRARY, (25.5, 3.75, 27.5, 4.5), 0.875, "PANCASE2", "FLOOR0_2"),
    # East hall: a bench, lockers.
    box(EAST_HALL, (30, 10.25, 30.5, 12.75), 0.875, "WOOD12", "FLOOR0_2"),
    solid((28, 12.5, 28.125, 14), "SPCDOOR3"),
    # Workshop: crates in piles, a steel cabinet.
    box(WORKSHOP, (23.5, 15, 25.5, 17), 2, "CRATE1", "CRATOP2"),
    box(WORKSHOP, (25.5, 15, 26.5, 16), 1, "CRATINY", "CRATOP1"),
    box(WORKSHOP, (28, 21.5, 30, 23.5), 4, "CRATE3", "CRATOP2"),
    box(WORKSHOP, (30, 21, 32, 23), 2, "CRATE2", "CRATOP1"),
    box(WORKSHOP, (24, 21.5, 26, 23.5), 2, "CRATE1", "CRATOP2"),
    solid((31.5, 16, 32, 20), "COMPUTE1"),
    # North hall: shields on the brick, two wooden chests.
    solid((13, 17.5, 17, 17.625), "ZZWOLF13"),
    solid((14, 19.875, 18, 20), "ZZWOLF12"),
    box(NORTH_HALL, (18.5, 17.5, 20.5, 18), 1, "WOOD12", "FLOOR0_2"),
    # Lab: consoles along the walls, one island, racks.
    solid((0, 15.5, 0.5, 23.5), "COMPSTA1"),
    solid((0.5, 23, 8.5, 23.5), "COMPSTA2"),
    solid((8.5, 20.5, 9, 22.5), "SILVER3"),
    box(LAB, (3.5, 18.5, 6, 20), 1, "SILVER2", "COMP01"),
    # West hall: doors on the side without windows.
    solid((5.875, 10.5, 6, 12.5), "SPCDOOR4"),
    # Canteen: tables, the counter, two columns.
    *(box(CANTEEN, (15.75, y, 17.75, y + 0.875), 0.875, "WOOD12", "FLAT5_1") for y in (8, 10)),
    box(CANTEEN, (16.5, 16, 21.5, 16.5), 1.125, "GRAY7", "FLAT23"),
    solid((19, 10.5, 19.75, 11.25), "BRICK12"),
    solid((22.375, 9, 22.5, 13), "MURAL1"),
    # Gallery: pictures on wood, two plinths.
    solid((9.5, 8, 9.625, 12), "ZZWOLF6"),
    solid((9.5, 12.5, 9.625, 16.5), "ZZWOLF7"),
    solid((14.375, 8, 14.5, 12), "ZZWOLF8"),
    solid((10, 7, 14, 7.125), "ZZWOLF7B"),
    *(box(GALLERY, (13.25, y, 14, y + 0.75), 1, "MARBGRAY", "FLAT19") for y in (8, 11)),
    # Offices: desks, cupboards and shelves that one sees through the doors.
    *(box(OFFICES[0], (x, 1, x + 2, 1.75), 0.875, "PANCASE2", "FLOOR0_2") for x in (10, 13)),
    solid((11.5, 0, 15.5, 0.25), "PANBOOK"),
    box(OFFICES[1], (17.5, 1.25, 20, 2), 0.875, "PANCASE2", "FLOOR0_2"),
    solid((17, 0, 21, 0.125), "BIGMURAL"),
    box(OFFICES[2], (12, 22, 14, 22.75), 0.875, "PANCASE2", "FLOOR0_2"),
    solid((11, 23.25, 15, 23.5), "PANBOOK"),
    box(OFFICES[3], (17, 22.5, 21, 23.5), 1, "SILVER3", "FLAT23"),
    box(OFFICES[4], (23, 9, 25, 11), 2, "CRATE2", "CRATOP1"),
    solid((23, 11.5, 23.5, 13.5), "COMPUTE1"),
]


LAMP, TALL_LAMP, SHORT_LAMP, TREE, BUSH, BARREL = 2028, 85, 86, 54, 43, 2035

THINGS: list[Thing] = [
    Thing(2.5, -2.5, TREE),
    Thing(6.5, -3, TREE),
    Thing(1.5, 12, TREE),
    Thing(33, 11, TREE),
    Thing(0.75, 8.25, TALL_LAMP),
    Thing(8.25, 0.75, SHORT_LAMP),
    Thing(31, 15.25, BARREL),
    Thing(27, 22.5, BARREL),
    Thing(21.75, 16, LAMP),
    Thing(8.25, 15.25, TALL_LAMP),
    Thing(23.75, 7.75, LAMP),
]

FLOOR = Floor(
    areas=(*ROOMS, *DOORS, *OUTSIDE, *LIGHTS, *FURNITURE), things=tuple(THINGS), rooms=tuple(ROOMS)
)

Waypoints = tuple[tuple[float, float], ...]

_LIBRARY: Waypoints = ((28.8, 5.0), (29.2, 1.6), (30.5, 2.2), (30.2, 5.0), (29.25, 8.75))
_WORKSHOP: Waypoints = ((29.25, 14.75), (30.0, 18.0), (27.8, 20.0), (25.0, 18.75), (22.75, 18.75))
_LAB: Waypoints = ((9.25, 18.75), (7.5, 18.9), (7.3, 21.4), (2.0, 21.4), (2.0, 17.0), (4.75, 15.6))
_LOBBY: Waypoints = ((4.75, 14.25), (4.75, 9.25), (4.5, 6.5), (4.5, 3.0), (6.5, 4.4), (9.25, 5.25))
_INNER: Waypoints = ((20.5, 5.25), (20.5, 6.75), (20.8, 12.0), (20.0, 14.6), (18.0, 12.4))
_GALLERY: Waypoints = ((16.4, 14.0), (14.75, 14.0), (12.4, 13.6), (11.2, 11.5), (11.7, 9.3))

#: Once round the ring of rooms, from the lobby and back to it.
MAPPING: Waypoints = (*_LOBBY[2:], (22.75, 5.25), *_LIBRARY, *_WORKSHOP, *_LAB, *_LOBBY[:4])

#: Round the ring from the library on, then through the canteen and the gallery inside the ring.
QUERY: Waypoints = (*_LIBRARY, *_WORKSHOP, *_LAB, *_LOBBY, *_INNER, *_GALLERY)

START = (4.5, 5.0)
