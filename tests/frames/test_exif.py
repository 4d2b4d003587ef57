"""Positions in photographs."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from placememory.errors import PoseError
from placememory.frames import FrameSelection, list_frames, resolve_frames
from placememory.frames.exif import has_gps, read_exif_poses, read_gps


def photograph(path: Path, gps: dict | None) -> None:
    picture = Image.fromarray(np.full((8, 8, 3), 90, np.uint8))
    exif = Image.Exif()
    if gps is not None:
        exif.get_ifd(0x8825).update(gps)
    picture.save(path, exif=exif)


def tags(lat: float, lon: float, **more: object) -> dict:
    def parts(value: float) -> tuple:
        value = abs(value)
        degrees, minutes = int(value), int(value % 1 * 60)
        return float(degrees), float(minutes), (value - degrees - minutes / 60) * 3600

    found = {1: "S" if lat < 0 else "N", 2: parts(lat), 3: "W" if lon < 0 else "E", 4: parts(lon)}
    return found | {{"reference": 16, "heading": 17}[name]: value for name, value in more.items()}


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".webp"])
@pytest.mark.parametrize(("lat", "lon"), [(46.5, 6.6), (-33.9, 151.2), (40.4, -79.9)])
def test_photographs_with_positions(tmp_path: Path, suffix: str, lat: float, lon: float) -> None:
    for i in range(3):
        more = {"heading": 90.0, "reference": "M" if i == 2 else "T"} if i else {}
        photograph(tmp_path / f"{i}{suffix}", tags(lat + 0.001 * i, lon, **more))
    frames = resolve_frames(tmp_path, "exif")
    assert [frame.pose.y for frame in frames] == pytest.approx([-111.1, 0, 111.1], abs=0.4)
    assert frames[0].pose.frame_id == f"geo:{lat + 0.001:g},{lon:g}"
    assert math.degrees(frames[1].pose.yaw) == pytest.approx(0, abs=0.01)
    assert [frame.pose.quaternion for frame in (frames[0], frames[2])] == [None, None]


@pytest.mark.parametrize("gps", [None, {}, {1: "N", 2: (46.0, 30.0, 0.0)},
                                 {1: "N", 2: (0.0, 0.0), 3: "E", 4: (6.0, 0.0, 0.0)}])  # fmt: skip
def test_photographs_without_positions(tmp_path: Path, gps: dict | None) -> None:
    photograph(tmp_path / "a.jpg", gps)
    frames = list_frames(tmp_path)
    assert read_gps(frames[0]) is None
    assert not has_gps(frames)
    with pytest.raises(PoseError, match="none of the 1 images has a GPS position in its EXIF"):
        read_exif_poses(frames)


def test_positions_that_are_not_asked_for_are_mentioned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photograph(tmp_path / "a.jpg", tags(46.5, 6.6))
    with caplog.at_level(logging.INFO, "placememory"):
        (frame,) = FrameSelection().list_frames(tmp_path)
    assert frame.pose is None
    assert "--poses exif takes them" in caplog.text
    (frame,) = FrameSelection(poses=Path("exif")).list_frames(tmp_path)
    assert frame.pose.frame_id == "geo:46.5,6.6"
