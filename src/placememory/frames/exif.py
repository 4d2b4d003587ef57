"""Positions in the EXIF data of photographs: latitude, longitude, and where the camera looked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from PIL import Image as PillowImage

from placememory.errors import PoseError
from placememory.frames.frame import Frame
from placememory.frames.geographic import local_poses
from placememory.frames.poses import PoseRecord, PoseTable

_GPS = 0x8825  # the EXIF tags
_LATITUDE, _LONGITUDE, _HEADING_OF_TRUE_NORTH, _HEADING = (1, 2), (3, 4), 16, 17
_LOOKED_AT = 3  # photographs, to see whether others may have positions

Degrees = tuple[float, float, float | None]


def read_gps(frame: Frame) -> Degrees | None:
    """Latitude, longitude and heading, in degrees, in the EXIF data of a frame's file.

    Returns:
        ``None`` where there is no file, no position in it, or the data is damaged. The heading is
        ``None`` where it is not known from true north.
    """
    if frame.path is None:
        return None
    try:
        with PillowImage.open(frame.path) as image:
            gps = image.getexif().get_ifd(_GPS)
        latitude, longitude = (_angle(gps, *tags) for tags in (_LATITUDE, _LONGITUDE))
        heading = float(gps[_HEADING]) if _HEADING in gps else None
    except Exception:  # anything, on damaged data; the pixels may be fine
        return None
    if not (math.isfinite(latitude) and math.isfinite(longitude)):
        return None
    magnetic = gps.get(_HEADING_OF_TRUE_NORTH, "T") == "M"
    return latitude, longitude, None if magnetic else heading


def has_gps(frames: Sequence[Frame]) -> bool:
    """Whether the first, the middle or the last of frames has a position in its file."""
    chosen = {0, len(frames) // 2, len(frames) - 1} if frames else set()
    return any(read_gps(frames[i]) is not None for i in sorted(chosen)[:_LOOKED_AT])


def read_exif_poses(frames: Sequence[Frame]) -> PoseTable:
    """Read the positions of photographs, in metres, to be joined to them by name.

    Raises:
        PoseError: None of them has a position.
    """
    found = [(frame.name, gps) for frame in frames if (gps := read_gps(frame)) is not None]
    poses = local_poses(
        [gps[0] for _, gps in found], [gps[1] for _, gps in found], [gps[2] for _, gps in found]
    )
    records = [
        PoseRecord(pose, name=name)
        for (name, _), pose in zip(found, poses, strict=True)
        if pose is not None
    ]
    if not records:
        raise PoseError(
            f"none of the {len(frames)} images has a GPS position in its EXIF data; was it removed "
            "when they were sent or scaled?"
        )
    return PoseTable(records, "EXIF")


def _angle(gps: dict[int, Any], reference: int, value: int) -> float:
    """Degrees of degrees, minutes and seconds."""
    degrees, minutes, seconds = (float(part) for part in gps[value])
    sign = -1.0 if gps[reference] in ("S", "W") else 1.0
    return sign * (degrees + minutes / 60 + seconds / 3600)
