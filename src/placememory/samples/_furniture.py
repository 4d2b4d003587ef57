"""What stands in the rooms of the sample building, and its lamps."""

from __future__ import annotations

from placememory.samples import _rooms as rooms
from placememory.samples._plan import Area, Rect, Thing, box, lamps, solid


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
    *lamps(rooms.LOBBY, [(3.5, 3.5, 5.5, 5.5), (1, 7, 2, 8), (7, 7, 8, 8), (7, 1, 8, 2)]),
    *_hall_lamps(rooms.SOUTH_HALL),
    *lamps(rooms.LIBRARY, [(24, 5, 25, 6), (27, 5, 28, 6), (27, 1, 28, 1.5), (30, 3, 31, 5)]),
    *_hall_lamps(rooms.EAST_HALL, 2.5),
    *lamps(rooms.WORKSHOP, [(26, 17, 28, 19), (29, 16, 30, 17), (29, 19.5, 30, 20.5)], "AQF060"),
    *_hall_lamps(rooms.NORTH_HALL, 4.0, 0.75),
    *lamps(rooms.LAB, [(1, 16, 2, 22), (7, 16, 8, 22), (4, 17, 5, 18)], "AQF058"),
    *_hall_lamps(rooms.WEST_HALL, 2.0, 0.75),
    *lamps(rooms.CANTEEN, [(17, 8, 18, 9), (20, 11, 21, 12), (17, 13, 18, 14)]),
    *lamps(rooms.GALLERY, [(11.5, 8.5, 12.5, 9.5), (11.5, 11.5, 12.5, 12.5)]),
    *lamps(rooms.GALLERY, [(11.5, 14.5, 12.5, 15.5)]),
    *(area for office in rooms.OFFICES for area in _hall_lamps(office)),
]

FURNITURE = [
    # Lobby: reception desk, company sign, banners, four columns, a bench below the windows.
    box(rooms.LOBBY, (1, 6.25, 3, 6.875), 1.125, "PANCASE1", "FLOOR0_2"),
    solid((0, 1.5, 0.125, 5.5), "SHAWN1"),
    *(solid((8.875, y, 9, y + 2), "PANBLUE") for y in (1.75, 6.75)),
    *(solid((x, y, x + 0.75, y + 0.75), "MARBGRAY") for x in (2, 6.25) for y in (2, 6.75)),
    box(rooms.LOBBY, (3.5, 0, 5.5, 0.5), 0.875, "WOOD12", "FLOOR0_2"),
    # South hall: two cupboards, a notice, closed doors.
    solid((10.5, 6.375, 12.5, 6.5), "SPCDOOR3"),
    solid((15, 6.375, 17, 6.5), "SPCDOOR4"),
    box(rooms.SOUTH_HALL, (14, 4, 16, 4.5), 1.25, "CRSMB", "CRATOP1"),
    solid((20.5, 4, 22.5, 4.125), "GRAY2"),
    # Library: cases along the walls, two islands, a reading table.
    solid((31.5, 0.25, 32, 8.25), "PANBOOK"),
    solid((23, 0, 31, 0.5), "PANBOOK"),
    solid((23, 6.5, 27, 7), "PANBOOK"),
    box(rooms.LIBRARY, (24.5, 2, 28.5, 2.625), 2.25, "PANBOOK", "FLAT5_1"),
    box(rooms.LIBRARY, (25.5, 3.75, 27.5, 4.5), 0.875, "PANCASE2", "FLOOR0_2"),
    # East hall: a bench, lockers.
    box(rooms.EAST_HALL, (30, 10.25, 30.5, 12.75), 0.875, "WOOD12", "FLOOR0_2"),
    solid((28, 12.5, 28.125, 14), "SPCDOOR3"),
    # Workshop: crates in piles, a steel cabinet.
    box(rooms.WORKSHOP, (23.5, 15, 25.5, 17), 2, "CRATE1", "CRATOP2"),
    box(rooms.WORKSHOP, (25.5, 15, 26.5, 16), 1, "CRATINY", "CRATOP1"),
    box(rooms.WORKSHOP, (28, 21.5, 30, 23.5), 4, "CRATE3", "CRATOP2"),
    box(rooms.WORKSHOP, (30, 21, 32, 23), 2, "CRATE2", "CRATOP1"),
    box(rooms.WORKSHOP, (24, 21.5, 26, 23.5), 2, "CRATE1", "CRATOP2"),
    solid((31.5, 16, 32, 20), "COMPUTE1"),
    # North hall: shields on the brick, two wooden chests.
    solid((13, 17.5, 17, 17.625), "ZZWOLF13"),
    solid((14, 19.875, 18, 20), "ZZWOLF12"),
    box(rooms.NORTH_HALL, (18.5, 17.5, 20.5, 18), 1, "WOOD12", "FLOOR0_2"),
    # Lab: consoles along the walls, one island, racks.
    solid((0, 15.5, 0.5, 23.5), "COMPSTA1"),
    solid((0.5, 23, 8.5, 23.5), "COMPSTA2"),
    solid((8.5, 20.5, 9, 22.5), "SILVER3"),
    box(rooms.LAB, (3.5, 18.5, 6, 20), 1, "SILVER2", "COMP01"),
    # West hall: doors on the side without windows.
    solid((5.875, 10.5, 6, 12.5), "SPCDOOR4"),
    # Canteen: tables, the counter, two columns.
    *(
        box(rooms.CANTEEN, (15.75, y, 17.75, y + 0.875), 0.875, "WOOD12", "FLAT5_1")
        for y in (8, 10)
    ),
    box(rooms.CANTEEN, (16.5, 16, 21.5, 16.5), 1.125, "GRAY7", "FLAT23"),
    solid((19, 10.5, 19.75, 11.25), "BRICK12"),
    solid((22.375, 9, 22.5, 13), "MURAL1"),
    # Gallery: pictures on wood, two plinths.
    solid((9.5, 8, 9.625, 12), "ZZWOLF6"),
    solid((9.5, 12.5, 9.625, 16.5), "ZZWOLF7"),
    solid((14.375, 8, 14.5, 12), "ZZWOLF8"),
    solid((10, 7, 14, 7.125), "ZZWOLF7B"),
    *(box(rooms.GALLERY, (13.25, y, 14, y + 0.75), 1, "MARBGRAY", "FLAT19") for y in (8, 11)),
    # Offices: desks, cupboards and shelves that one sees through the doors.
    *(box(rooms.OFFICES[0], (x, 1, x + 2, 1.75), 0.875, "PANCASE2", "FLOOR0_2") for x in (10, 13)),
    solid((11.5, 0, 15.5, 0.25), "PANBOOK"),
    box(rooms.OFFICES[1], (17.5, 1.25, 20, 2), 0.875, "PANCASE2", "FLOOR0_2"),
    solid((17, 0, 21, 0.125), "BIGMURAL"),
    box(rooms.OFFICES[2], (12, 22, 14, 22.75), 0.875, "PANCASE2", "FLOOR0_2"),
    solid((11, 23.25, 15, 23.5), "PANBOOK"),
    box(rooms.OFFICES[3], (17, 22.5, 21, 23.5), 1, "SILVER3", "FLAT23"),
    box(rooms.OFFICES[4], (23, 9, 25, 11), 2, "CRATE2", "CRATOP1"),
    solid((23, 11.5, 23.5, 13.5), "COMPUTE1"),
]

AREAS: list[Area] = [*rooms.ROOMS, *rooms.DOORS, *rooms.OUTSIDE, *LIGHTS, *FURNITURE]

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
