"""Where the two runs drive: waypoints in metres, map frame."""

from __future__ import annotations

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
