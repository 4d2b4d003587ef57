"""A table with a header: a key (name, stamp, vertex, number) and x y, easting northing, or lat lon.

Columns are found by their names, in any order: ``name,x,y[,z][,yaw | qx,qy,qz,qw][,stamp][,session]
[,floor][,vertex_id]`` and the names that TUM, EuRoC, maplab, ROS, RobotCar and GPS loggers give
them. Units in brackets or behind an underscore are honoured (``x [mm]``, ``yaw_deg``); without one
they are metres and radians, and what is too large for that is degrees. A heading is in degrees
clockwise from north. Latitude and longitude become metres; so the frame has an origin.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from placememory.errors import PoseError
from placememory.frames.geographic import local_poses, yaw_of_heading
from placememory.frames.pose import Pose
from placememory.frames.poses._rows import Rows, turn_of
from placememory.frames.poses._table import PoseTable
from placememory.frames.tables import Header, csv_rows, find_header, numbers, read_head, whole
from placememory.frames.units import radians_of

EXAMPLE = "name,x,y,yaw"

_AXES = ("x", "y", "z")
_ROLES: dict[str, tuple[str, ...]] = {
    "name": (
        "name", "image", "image_name", "image_file", "image_path", "imagefile", "img", "img_name",
        "img_path", "filename", "file_name", "file", "path", "photo", "sourcefile", "label", "key",
    ),
    "stamp": (
        "stamp", "timestamp", "time_stamp", "timestamps", "time", "t", "ts", "utime", "unix_time",
        "unix_timestamp", "header_stamp", "field_header_stamp",
    ),
    "sec": ("sec", "secs", "stamp_sec", "stamp_secs", "header_stamp_sec", "header_stamp_secs"),
    "nsec": (
        "nsec", "nsecs", "nanosec", "stamp_nsec", "stamp_nsecs", "stamp_nanosec",
        "header_stamp_nsec", "header_stamp_nsecs", "header_stamp_nanosec",
    ),
    "vertex_id": ("vertex_id", "vertex_index", "vertex"),
    "number": ("frame", "frame_number", "frame_index", "frame_no", "index", "idx", "number"),
    "session": ("session",),
    "floor": ("floor", "level"),
    "east": ("easting", "east", "utm_east", "utm_easting", "utm_e", "utm_x"),
    "north": ("northing", "north", "utm_north", "utm_northing", "utm_n", "utm_y"),
    "down": ("down",),
    "lat": ("latitude", "lat", "gps_lat", "gps_latitude", "gpslatitude", "field_latitude"),
    "lon": (
        "longitude", "lon", "lng", "long", "gps_lon", "gps_lng", "gps_longitude", "gpslongitude",
        "field_longitude",
    ),
    "qw": ("qw", "q_w", "quat_w", "quaternion_w", "rotation_w", "orientation_w", "q_rs_w", "rot_w"),
    "roll": ("roll",),
    "pitch": ("pitch",),
    "yaw": ("yaw", "theta", "psi"),
    "heading": (
        "heading", "bearing", "course", "compass", "compass_angle", "azimuth", "ca",
        "gpsimgdirection",
    ),
}  # fmt: skip
_POINTS = ("*", "t*", "p*", "pos_*", "position_*", "p_*", "t_*", "translation_*", "p_rs_r_*")
for _axis in _AXES:
    _ROLES[_axis] = tuple(name.replace("*", _axis) for name in _POINTS)
    _ROLES[f"q{_axis}"] = tuple(name[:-1] + _axis for name in _ROLES["qw"])
_ROLE_OF = {name: role for role, names in _ROLES.items() for name in names}
_KEYS = ("name", "stamp", "sec", "vertex_id", "number")
_POSITIONS = (("x", "y"), ("east", "north"), ("lat", "lon"))
_ROTATION = ("qx", "qy", "qz", "qw")
_UNITS = {
    "deg": "deg", "degree": "deg", "degrees": "deg", "°": "deg", "rad": "rad", "radian": "rad",
    "radians": "rad", "m": "m", "mm": "mm", "cm": "cm", "km": "km", "meter": "m", "metre": "m",
    "meters": "m", "metres": "m", "s": "seconds", "sec": "seconds", "seconds": "seconds",
    "ms": "milliseconds", "us": "microseconds", "µs": "microseconds", "ns": "nanoseconds",
    "nsec": "nanoseconds",
}  # fmt: skip
_LENGTHS = {"": 1.0, "m": 1.0, "mm": 1e-3, "cm": 1e-2, "km": 1e3}
_ROS = re.compile(r"_(position|orientation|translation|rotation)_([xyzw])$")


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether the header has a position and a key."""
    header = find_header(head)
    return header is not None and _is_complete(_roles(header))


def _is_complete(roles: Mapping[str, str]) -> bool:
    return any(set(pair) <= roles.keys() for pair in _POSITIONS) and any(
        key in roles for key in _KEYS
    )


def read(path: Path) -> PoseTable:
    """Read a pose table; frames are joined by name, else vertex id, else stamp, else number."""
    header = find_header(read_head(path).splitlines())
    columns = {} if header is None else _roles(header)
    if header is None or not _is_complete(columns):
        if header is None or not next(csv_rows(path), None):
            raise PoseError(f"{path}: the file holds no poses")
        raise PoseError(
            f"{path}: the header needs x, y and one of name, stamp, vertex_id; it has "
            f"{', '.join(header.names)[:200]}"
        )
    return _Reader(path, header, columns).read()


def _roles(header: Header) -> dict[str, str]:
    """Columns by their roles; the first of several."""
    found: dict[str, str] = {}
    for name in header.names:
        role = _ROLE_OF.get(_split_unit(name)[0])
        if role is not None:
            found.setdefault(role, name)
    return found


def _split_unit(name: str) -> tuple[str, str]:
    """A name as roles are looked up, and the unit behind an underscore.

    Example:
        >>> _split_unit("Yaw_deg"), _split_unit("field.pose.pose.position.x")
        (('yaw', 'deg'), ('position_x', ''))
    """
    plain = re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_")
    ros = _ROS.search(plain)
    if ros:
        return f"{ros[1]}_{ros[2]}", ""
    stem, _, unit = plain.rpartition("_")
    if plain not in _ROLE_OF and stem in _ROLE_OF and unit in _UNITS:
        return stem, _UNITS[unit]
    return plain, ""


class _Reader:
    """Reads one table, column by column where the meaning of a column hangs on all its values."""

    def __init__(self, path: Path, header: Header, columns: Mapping[str, str]) -> None:
        self.path = path
        self.columns = columns
        self.units = {
            role: _split_unit(name)[1] or _UNITS.get(header.units[header.names.index(name)], "")
            for role, name in columns.items()
        }
        self.lines: list[int] = []
        self.rows: list[dict[str, str]] = []
        for line, row in csv_rows(path):
            self.lines.append(line)
            self.rows.append({role: row[name] for role, name in columns.items()})
        self.made = Rows(path)

    def read(self) -> PoseTable:
        if "x" in self.columns and "y" in self.columns:
            positions, frame_id = self._lengths(_AXES), "map"
        elif "east" in self.columns and "north" in self.columns:
            positions, frame_id = self._lengths(("east", "north", "")), "utm"
        else:
            return self._read_degrees()
        turns = self._turns(compass=False)
        for i, (line, row) in enumerate(zip(self.lines, self.rows, strict=True)):
            position = positions[i]
            if position is None:
                self.made.keep(line, None, **self._keys(i, row))
                continue
            self.made.add(line, position, turns(i), frame_id=frame_id, **self._keys(i, row))
        self._doubt_metres([position for position in positions if position is not None])
        return self.made.table(self._stamp_unit())

    def _read_degrees(self) -> PoseTable:
        both = [self._angles(role) for role in ("lat", "lon")]
        for values, role, largest in zip(both, ("latitude", "longitude"), (90, 180), strict=True):
            for line, value in zip(self.lines, values, strict=True):
                if abs(value) > largest:
                    raise PoseError(
                        f"{self.path}:{line}: a {role} of {value:g} is beyond {largest} degrees; "
                        "metres are called easting and northing"
                    )
        turns = self._turns(compass=True)
        headings = [_heading_of(turns(i)) for i in range(len(self.rows))]
        poses = local_poses(both[0], both[1], headings)
        for i, (line, row, pose) in enumerate(zip(self.lines, self.rows, poses, strict=True)):
            if pose is None and row["lat"] and row["lon"]:
                self.made.leave_out(line)
                continue
            self.made.keep(line, pose, **self._keys(i, row))
        return self.made.table(self._stamp_unit())

    def _keys(self, i: int, row: Mapping[str, str]) -> dict[str, Any]:
        line = self.lines[i]
        keys: dict[str, Any] = {
            "name": row.get("name") or None,
            "session": row.get("session") or None,
            "floor": row.get("floor") or None,
            "stamp": row.get("stamp") or None,
        }
        if row.get("vertex_id"):
            keys["vertex_id"] = whole(self.path, line, row["vertex_id"])
        if row.get("number") and not {"name", "stamp", "sec"} & row.keys():
            keys["number"] = whole(self.path, line, row["number"])
        if row.get("sec") and row.get("nsec") and not row.get("stamp"):
            second, part = (whole(self.path, line, row[role]) for role in ("sec", "nsec"))
            keys["stamp"] = f"{second}.{part:09d}"
        elif row.get("sec") and not row.get("stamp"):
            keys["stamp"] = row["sec"]
        return keys

    def _stamp_unit(self) -> str:
        unit = self.units.get("stamp", "")
        return unit if unit.endswith("seconds") else ""

    def _numbers(self, role: str) -> list[float]:
        """Values of a column; NaN where one is empty, or there is no such column."""
        if role not in self.columns:
            return [math.nan] * len(self.rows)
        return [
            numbers(self.path, line, [row[role]])[0] if row[role] else math.nan
            for line, row in zip(self.lines, self.rows, strict=True)
        ]

    def _lengths(self, roles: Sequence[str]) -> list[tuple[float, float, float] | None]:
        """Positions in metres; ``None`` where x or y is empty."""
        columns = []
        for role in roles:
            unit = self.units.get(role, "")
            if unit not in _LENGTHS:
                raise PoseError(f"{self.path}: {self.columns[role]} is a length, and not in {unit}")
            columns.append([value * _LENGTHS[unit] for value in self._numbers(role)])
        first, second, third = columns
        has_third = roles[2] in self.columns
        return [
            (first[i], second[i], third[i] if has_third and row[roles[2]] else 0.0)
            if row[roles[0]] and row[roles[1]]
            else None
            for i, row in enumerate(self.rows)
        ]

    def _angles(self, role: str) -> list[float]:
        """Degrees of latitude or longitude."""
        values = self._numbers(role)
        return [math.degrees(v) for v in values] if self.units[role] == "rad" else values

    def _turns(self, *, compass: bool) -> Callable[[int], tuple[float, float, float, float] | None]:
        """The rotation of each row, x y z w; ``None`` where none is written.

        Args:
            compass: Whether a yaw is a heading, as beside latitude and longitude.
        """
        if set(_ROTATION) <= self.columns.keys():
            parts = [self._numbers(role) for role in _ROTATION]
            written = [all(row[role] for role in _ROTATION) for row in self.rows]
            return lambda i: (
                (parts[0][i], parts[1][i], parts[2][i], parts[3][i]) if written[i] else None
            )
        role = "yaw" if "yaw" in self.columns else "heading"
        if role not in self.columns:
            return lambda _: None
        down = "down" in self.columns and role == "yaw"  # of an INS: north, east, down
        clockwise = role == "heading" or compass or down
        yaws = self._radians(role, usual="deg" if clockwise and not down else "rad")
        written = [bool(row[role]) for row in self.rows]
        if clockwise:
            if role == "yaw":
                self.made.notes.append("yaw is read as a heading, clockwise from north")
            yaws = [yaw_of_heading(math.degrees(yaw)) for yaw in yaws]
            return lambda i: turn_of(0.0, 0.0, yaws[i]) if written[i] else None
        rolls, pitches = (
            self._radians(name) if name in self.columns else [0.0] * len(yaws)
            for name in ("roll", "pitch")
        )
        return lambda i: turn_of(rolls[i], pitches[i], yaws[i]) if written[i] else None

    def _radians(self, role: str, usual: str = "rad") -> list[float]:
        said = self.units[role]
        unit: Literal["", "deg", "rad"] = "deg" if said == "deg" else "rad" if said == "rad" else ""
        try:
            angles, note = radians_of(self._numbers(role), self.columns[role], unit, usual)
        except PoseError as error:
            raise PoseError(f"{self.path}: {error}") from error
        self.made.notes += [note] if note else []
        return angles

    def _doubt_metres(self, positions: list[tuple[float, float, float]]) -> None:
        """Note where x and y look like degrees: within their range, fine, and close together."""
        flat = [(x, y) for x, y, _ in positions if math.isfinite(x) and math.isfinite(y)]
        if len(flat) < 3 or "x" not in self.columns:
            return
        spans = [max(p[i] for p in flat) - min(p[i] for p in flat) for i in (0, 1)]
        sizes = [max(abs(p[i]) for p in flat) for i in (0, 1)]
        fine = sum(
            len(row["x"].partition(".")[2]) >= 5 and len(row["y"].partition(".")[2]) >= 5
            for row in self.rows
        )
        in_range = max(sizes) <= 180 and min(sizes) <= 90 and min(sizes) > 1
        if in_range and max(spans) < 0.5 and 2 * fine > len(flat):
            self.made.notes.append(
                f"x and y span {max(spans):g} m: if they are degrees, call the columns longitude "
                "and latitude"
            )


def _heading_of(turn: tuple[float, float, float, float] | None) -> float | None:
    """Degrees clockwise from north of a level rotation."""
    if turn is None or not all(map(math.isfinite, turn)):
        return None
    return 90.0 - math.degrees(Pose(0, 0, 0, turn).yaw)
