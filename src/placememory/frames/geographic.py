"""Latitude and longitude to metres: a plane that touches the earth at an origin, named by it.

Positions in degrees (WGS 84) become metres east and north of an origin. The plane is the transverse
Mercator projection whose centre is the origin, at scale 1, by Krueger's series to the fourth order:
lengths are right to 1 in 10,000 within 90 km of the origin. Altitudes are left out: satellite
altitudes are the worst of the three numbers, and a run that has none must be comparable with one
that has; so z is 0.

The frame of such poses is called by its origin, ``geo:46.52,6.57`` (latitude and longitude, as RFC
5870 writes them). A memory stores the name of its frame, so the origin goes wherever the memory
goes, and :func:`change_origin` brings the poses of another run to it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from placememory._types import Floats
from placememory.errors import PoseError
from placememory.frames.pose import Pose, turn_about_z

__all__ = [
    "FARTHEST",
    "Origin",
    "change_origin",
    "degrees_of_utm",
    "fit_origin",
    "local_poses",
    "yaw_of_heading",
]

FARTHEST = 1_000_000.0
"""Metres from its origin up to which a plane is used."""

_DIGITS = 4  # of an origin's degrees: 11 m
_STEP = 1e-5  # degrees: a metre, to see where north is
_FRAME = re.compile(r"^geo:(-?\d{1,2}(?:\.\d+)?),(-?\d{1,3}(?:\.\d+)?)$")
_RADIUS, _FLATTENING = 6378137.0, 1 / 298.257223563  # WGS 84
_N = _FLATTENING / (2 - _FLATTENING)
_E = 2 * math.sqrt(_N) / (1 + _N)
_A = _RADIUS / (1 + _N) * (1 + _N**2 / 4 + _N**4 / 64)
_ALPHA = (
    _N / 2 - 2 / 3 * _N**2 + 5 / 16 * _N**3 + 41 / 180 * _N**4,
    13 / 48 * _N**2 - 3 / 5 * _N**3 + 557 / 1440 * _N**4,
    61 / 240 * _N**3 - 103 / 140 * _N**4,
    49561 / 161280 * _N**4,
)
_BETA = (
    _N / 2 - 2 / 3 * _N**2 + 37 / 96 * _N**3 - 1 / 360 * _N**4,
    _N**2 / 48 + _N**3 / 15 - 437 / 1440 * _N**4,
    17 / 480 * _N**3 - 37 / 840 * _N**4,
    4397 / 161280 * _N**4,
)
_UTM_SCALE, _UTM_EAST, _UTM_SOUTH = 0.9996, 500_000.0, 10_000_000.0


@dataclass(frozen=True, slots=True)
class Origin:
    """A point of the earth, and the plane of metres east (x) and north (y) of it.

    Attributes:
        latitude: Degrees, -90 to 90.
        longitude: Degrees, -180 to 180.

    Raises:
        PoseError: A number is not finite or out of its range.

    Example:
        >>> origin = Origin(46.52, 6.57)
        >>> east, north = origin.to_metres(46.53, 6.57)
        >>> round(float(east), 1), round(float(north), 1), origin.frame_id
        (0.0, 1111.6, 'geo:46.52,6.57')
    """

    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        if not (abs(self.latitude) <= 90 and abs(self.longitude) <= 180):
            raise PoseError(
                f"({self.latitude}, {self.longitude}) is no latitude (-90 to 90) and longitude "
                "(-180 to 180) in degrees"
            )

    @classmethod
    def of_frame(cls, frame_id: str) -> Origin | None:
        """The origin that a frame is called by; ``None`` where it is called otherwise.

        Raises:
            PoseError: The name is that of an origin that cannot be.

        Example:
            >>> Origin.of_frame("geo:46.52,6.57"), Origin.of_frame("map")
            (Origin(latitude=46.52, longitude=6.57), None)
        """
        found = _FRAME.match(frame_id)
        return None if found is None else cls(float(found[1]), float(found[2]))

    @property
    def frame_id(self) -> str:
        """Name of the frame of poses in this plane."""
        return f"geo:{_plain(self.latitude)},{_plain(self.longitude)}"

    def to_metres(self, latitude: ArrayLike, longitude: ArrayLike) -> tuple[Floats, Floats]:
        """Metres east and north of the origin.

        Args:
            latitude: Degrees, any shape.
            longitude: Degrees, the same shape.

        Returns:
            float64 of that shape; NaN and infinite far from the origin.
        """
        _, north = _project(np.asarray(self.latitude), np.zeros(()))
        turned = (np.asarray(longitude, np.float64) - self.longitude + 180) % 360 - 180
        x, y = _project(np.asarray(latitude, np.float64), turned)
        return x, y - north

    def to_degrees(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Latitude and longitude in degrees of metres east and north of the origin.

        Args:
            x: Metres east, any shape.
            y: Metres north, the same shape.

        Returns:
            float64 of that shape.

        Example:
            >>> [round(float(v), 6) for v in Origin(-33.9, 151.2).to_degrees(250.0, -1000.0)]
            [-33.909015, 151.202703]
        """
        _, north = _project(np.asarray(self.latitude), np.zeros(()))
        latitude, turned = _unproject(np.asarray(x, np.float64), np.asarray(y, np.float64) + north)
        return latitude, (turned + self.longitude + 180) % 360 - 180


def local_poses(
    latitudes: ArrayLike,
    longitudes: ArrayLike,
    headings: Sequence[float | None] | None = None,
    origin: Origin | None = None,
) -> list[Pose | None]:
    """Poses in metres of positions in degrees.

    Args:
        latitudes: (N,) degrees.
        longitudes: (N,) degrees.
        headings: (N,) degrees clockwise from north, of the body's x axis; ``None`` or NaN where
            unknown.
        origin: Of the frame; by default the median position, to four decimals of a degree.

    Returns:
        N poses in the frame of the origin, z 0. ``None`` for a position that is not finite, out of
        range, exactly (0, 0), which devices write without a fix, or over 1000 km from the origin.

    Raises:
        PoseError: Lengths do not agree.

    Example:
        >>> first, none, second = local_poses([30.2, 0, 30.201], [120.1, 0, 120.101], [90, 0, None])
        >>> round(second.x - first.x, 1), round(second.y - first.y, 1), none, first.frame_id
        (96.3, 110.9, None, 'geo:30.2005,120.1005')
    """
    lat = np.asarray(latitudes, np.float64).reshape(-1)
    lon = np.asarray(longitudes, np.float64).reshape(-1)
    turns = [None] * len(lat) if headings is None else list(headings)
    if not len(lat) == len(lon) == len(turns):
        raise PoseError(f"{len(lat)} latitudes, {len(lon)} longitudes, {len(turns)} headings")
    valid = (np.abs(lat) <= 90) & (np.abs(lon) <= 180) & ((lat != 0) | (lon != 0))
    if not valid.any():
        return [None] * len(lat)
    origin = origin or _middle(lat[valid], lon[valid])
    x, y = origin.to_metres(np.where(valid, lat, 0.0), np.where(valid, lon, 0.0))
    north = _north(origin, lat, lon)
    near = np.isfinite(x) & np.isfinite(y) & (np.hypot(x, y) <= FARTHEST)
    poses: list[Pose | None] = [None] * len(lat)
    for i in np.flatnonzero(valid & near).tolist():
        pose, heading = Pose(float(x[i]), float(y[i]), frame_id=origin.frame_id), turns[i]
        if heading is not None and math.isfinite(heading):
            yaw = yaw_of_heading(heading) + float(north[i])
            pose = Pose.from_yaw(pose.x, pose.y, yaw, frame_id=pose.frame_id)
        poses[i] = pose
    return poses


def change_origin(pose: Pose, frame_id: str) -> Pose:
    """A pose in the frame of another origin; one that is in this frame already stays as it is.

    The rotation is turned by the angle between the norths of the two planes.

    Args:
        pose: In the frame of an origin.
        frame_id: Name of the other frame.

    Raises:
        PoseError: One of the two frames is not called by an origin, or the two are over 1000 km
            apart.

    Example:
        >>> (pose,) = local_poses([30.2], [120.1], [0.0])
        >>> moved = change_origin(pose, "geo:30.2,120.0")
        >>> round(moved.x), round(math.degrees(moved.yaw), 2)
        (9629, 90.05)
    """
    if pose.frame_id == frame_id:
        return pose
    old, new = Origin.of_frame(pose.frame_id), Origin.of_frame(frame_id)
    if old is None or new is None:
        raise PoseError(
            f"poses in the frame {pose.frame_id!r} cannot be brought to {frame_id!r}: only frames "
            "that are called by an origin (geo:LATITUDE,LONGITUDE) can"
        )
    lat, lon = old.to_degrees(pose.x, pose.y)
    x, y = (float(v) for v in new.to_metres(lat, lon))
    if not math.hypot(x, y) <= FARTHEST:
        raise PoseError(f"{pose.frame_id} and {frame_id} are over 1000 km apart")
    turn = float(_north(new, lat, lon) - _north(old, lat, lon))
    return turn_about_z(replace(pose, x=x, y=y, frame_id=frame_id), turn)


def fit_origin(pose: Pose | None, frame_id: str) -> Pose | None:
    """A pose in the frame of another origin, where both frames are called by one.

    Other poses, and none, stay as they are: what fits is for others to check.

    Raises:
        PoseError: The two origins are over 1000 km apart.

    Example:
        >>> fit_origin(Pose(0, 1000, frame_id="geo:46.5,6.5"), "geo:46.6,6.5").frame_id
        'geo:46.6,6.5'
        >>> fit_origin(Pose(0, 0), "geo:46.6,6.5").frame_id
        'map'
    """
    if pose is None or pose.frame_id == frame_id:
        return pose
    both = Origin.of_frame(pose.frame_id) and Origin.of_frame(frame_id)
    return pose if both is None else change_origin(pose, frame_id)


def degrees_of_utm(
    east: ArrayLike, north: ArrayLike, zone: int, *, south: bool = False
) -> tuple[Floats, Floats]:
    """Latitude and longitude in degrees of UTM coordinates (WGS 84).

    Args:
        east: Metres, with the usual 500,000 at the middle of the zone.
        north: Metres; with 10,000,000 at the equator on the southern hemisphere.
        zone: 1 to 60.
        south: Whether the coordinates are those of the southern hemisphere.

    Raises:
        PoseError: There is no such zone.

    Example:
        >>> [round(float(v), 6) for v in degrees_of_utm(448251.795, 5411932.678, 31)]
        [48.8582, 2.2945]
    """
    if not 1 <= zone <= 60:
        raise PoseError(f"UTM zones are 1 to 60, not {zone}")
    x = (np.asarray(east, np.float64) - _UTM_EAST) / _UTM_SCALE
    y = (np.asarray(north, np.float64) - (_UTM_SOUTH if south else 0.0)) / _UTM_SCALE
    latitude, turned = _unproject(x, y)
    return latitude, (turned + 6 * zone - 183 + 180) % 360 - 180


def yaw_of_heading(degrees: float) -> float:
    """Yaw in radians, counter-clockwise from east, of a heading clockwise from north.

    Example:
        >>> round(math.degrees(yaw_of_heading(90.0)), 9), round(math.degrees(yaw_of_heading(0.0)))
        (0.0, 90)
    """
    return math.radians(90.0 - degrees)


def _north(origin: Origin, latitude: Floats, longitude: Floats) -> Floats:
    """Radians from the y axis of a plane to true north, counter-clockwise; 0 at its origin."""
    south, north = np.maximum(latitude - _STEP, -90.0), np.minimum(latitude + _STEP, 90.0)
    first, second = origin.to_metres(south, longitude), origin.to_metres(north, longitude)
    turn: Floats = np.arctan2(first[0] - second[0], second[1] - first[1])
    return turn


def _middle(latitudes: Floats, longitudes: Floats) -> Origin:
    """The median position; longitudes are counted from the first, as they jump at 180."""
    first = longitudes[0]
    turned = float(np.median((longitudes - first + 180) % 360 - 180))
    longitude = (float(first) + turned + 180) % 360 - 180
    return Origin(round(float(np.median(latitudes)), _DIGITS), round(longitude, _DIGITS))


def _plain(degrees: float) -> str:
    """A number without an exponent, and without zeros at its end."""
    text = f"{degrees:.9f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _project(latitude: Floats, turned: Floats) -> tuple[Floats, Floats]:
    """Metres east of the central meridian and north of the equator; ``turned`` is from it."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        sine, turn = np.sin(np.radians(latitude)), np.radians(turned)
        conformal = np.sinh(np.arctanh(sine) - _E * np.arctanh(_E * sine))
        north = np.arctan2(conformal, np.cos(turn))
        east = np.arctanh(np.sin(turn) / np.sqrt(1 + conformal**2))
        xi, eta = _series(_ALPHA, north, east)
        return _A * (east + eta), _A * (north + xi)


def _unproject(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The inverse of :func:`_project`, in degrees."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        north, east = y / _A, x / _A
        xi, eta = _series(_BETA, north, east)
        north, east = north - xi, east - eta
        conformal = np.arcsinh(np.sin(north) / np.hypot(np.sinh(east), np.cos(north)))
        isometric = conformal
        for _ in range(8):  # each step gains a factor of 150
            isometric = conformal + _E * np.arctanh(_E * np.tanh(isometric))
        latitude = np.degrees(np.arcsin(np.tanh(isometric)))
        return latitude, np.degrees(np.arctan2(np.sinh(east), np.cos(north)))


def _series(factors: Sequence[float], north: Floats, east: Floats) -> tuple[Floats, Floats]:
    xi, eta = np.zeros_like(north), np.zeros_like(east)
    for j, factor in enumerate(factors, start=1):
        xi = xi + factor * np.sin(2 * j * north) * np.cosh(2 * j * east)
        eta = eta + factor * np.cos(2 * j * north) * np.sinh(2 * j * east)
    return xi, eta
