"""The rooms of the sample building: a ring of eight rooms and halls around two inner rooms.

The mapping run drives the ring; the canteen and the gallery inside it are the stretch that only
the query run sees. All numbers are metres in the map frame.
"""

from __future__ import annotations

from placememory.samples._plan import Area, door, garden, window

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
