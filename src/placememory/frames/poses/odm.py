"""OpenDroneMap ``geo.txt``: a projection, then ``name x y [z] [yaw pitch roll] [accuracies]``.

The projection is ``EPSG:4326`` (x is the longitude, y the latitude), UTM as ``WGS84 UTM 32N``,
``EPSG:32632`` or ``+proj=utm +zone=32``, or any other where the package pyproj is installed. Yaw is
in degrees clockwise from north. Positions become metres in a frame that has an origin.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from placememory._registry import require
from placememory.errors import PoseError
from placememory.frames.geographic import degrees_of_utm, local_poses
from placememory.frames.poses._rows import Rows
from placememory.frames.poses._table import PoseTable
from placememory.frames.tables import data_lines, numbers

EXAMPLE = "EPSG:4326"
_UTM = re.compile(
    r"^(?:WGS84\s+UTM\s+(?P<zone>\d{1,2})\s*(?P<side>[NS])"
    r"|EPSG:32(?P<code>[67])(?P<number>\d\d)"
    r"|\+proj=utm\s+\+zone=(?P<proj>\d{1,2})(?P<south>.*\+south)?.*)$",
    re.IGNORECASE,
)
_PROJECTION = re.compile(r"^(?:EPSG:\d+|\+proj=.*|WGS84\s+UTM.*)$", re.IGNORECASE)
_HEADING = 3  # word after the name


def matches(path: Path, head: Sequence[str]) -> bool:
    """Whether the first line is a projection."""
    return bool(head) and _PROJECTION.match(head[0]) is not None


def read(path: Path) -> PoseTable:
    """Read a geolocation file; frames are joined by name."""
    lines = list(data_lines(path))
    if not lines or not _PROJECTION.match(lines[0][1]):
        raise PoseError(f"{path}: the first line is a projection, such as EPSG:4326")
    projection, names, places, headings = lines[0][1], [], [], []
    for line, text in lines[1:]:
        name, *words = text.split()
        values = numbers(path, line, words)
        if len(values) < 2:
            raise PoseError(f"{path}:{line}: a name and x y are expected")
        names.append((line, name))
        places.append((values[0], values[1]))
        headings.append(values[_HEADING] if len(values) >= 6 else None)
    lat, lon = _degrees(path, projection, [x for x, _ in places], [y for _, y in places])
    rows = Rows(path)
    for (line, name), pose in zip(names, local_poses(lat, lon, headings), strict=True):
        if pose is None:
            rows.leave_out(line)
        else:
            rows.keep(line, pose, name=name)
    return rows.table()


def _degrees(
    path: Path, projection: str, x: Sequence[float], y: Sequence[float]
) -> tuple[Sequence[float], Sequence[float]]:
    """Latitude and longitude."""
    if projection.upper() in ("EPSG:4326", "+PROJ=LATLONG", "+PROJ=LONGLAT"):
        return y, x
    utm = _UTM.match(projection)
    if utm:
        zone = int(utm["zone"] or utm["number"] or utm["proj"])
        south = utm["side"] in ("S", "s") or utm["code"] == "7" or bool(utm["south"])
        lat, lon = degrees_of_utm(x, y, zone, south=south)
        return lat.tolist(), lon.tolist()
    pyproj = require("pyproj", extra="geo", purpose=f"Positions in {projection}")
    try:
        change = pyproj.Transformer.from_crs(projection, "EPSG:4326", always_xy=True)
    except pyproj.exceptions.CRSError as error:
        raise PoseError(f"{path}: the projection {projection!r} is not known ({error})") from error
    lons, lats = change.transform(x, y)
    return lats, lons
