"""Degrees to metres and back, against values computed by PROJ 9.8, and against each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.errors import PoseError
from placememory.frames import Pose
from placememory.frames.geographic import Origin, change_origin, degrees_of_utm, local_poses

near = st.floats(-2, 2)


@settings(max_examples=100, deadline=None)
@given(st.floats(-80, 80), st.floats(-180, 180), near, near)
def test_degrees_come_back(lat: float, lon: float, north: float, east: float) -> None:
    origin = Origin(lat, lon)
    there = origin.to_degrees(*origin.to_metres(lat + north, lon + east))
    assert there[0] == pytest.approx(lat + north, abs=1e-9)
    assert (there[1] - lon - east + 180) % 360 - 180 == pytest.approx(0, abs=1e-9)


PROJ = [  # origin, position, +proj=tmerc +k=1 +ellps=WGS84
    ((46.52, 6.57), (46.53, 6.59), (1534.407259, 1111.810074)),
    ((-33.9, 151.2), (-34.9, 150.1), (-100541.150974, -111481.874787)),
    ((70, 179.9), (70.2, -179.8), (11346.069763, 22340.605120)),
    ((0.0, 0.1), (-0.3, 0.5), (44527.554150, -33173.099629)),
]


@pytest.mark.parametrize(("origin", "position", "metres"), PROJ)
def test_metres_are_those_of_proj(origin: tuple, position: tuple, metres: tuple) -> None:
    np.testing.assert_allclose(Origin(*origin).to_metres(*position), metres, atol=1e-5)


@pytest.mark.parametrize(
    ("utm", "degrees"),
    [
        ((448251.795, 5411932.678, 31, False), (48.85820000295362, 2.2944999971506292)),
        ((334000.5, 6250000.1, 56, True), (-33.877290232409926, 151.20514270707076)),
    ],
)
def test_utm_is_that_of_proj(utm: tuple, degrees: tuple) -> None:
    east, north, zone, south = utm
    np.testing.assert_allclose(degrees_of_utm(east, north, zone, south=south), degrees, atol=1e-10)
    with pytest.raises(PoseError, match="zones are 1 to 60, not 0"):
        degrees_of_utm(east, north, 0)


@pytest.mark.parametrize("lon", [179.9995, -179.9995, 12.0])
def test_a_run_over_the_date_line_is_one_run(lon: float) -> None:
    poses = local_poses([10.0] * 3, [lon, (lon + 0.001 + 180) % 360 - 180, lon])
    assert poses[0].distance_to(poses[1]) == pytest.approx(109.6, abs=0.1)
    assert poses[0].distance_to(poses[2]) == 0


@pytest.mark.parametrize("bad", [(0, 0), (91, 0), (10, 181), (math.nan, 1), (-30.0, -60.0)])
def test_positions_that_are_none(bad: tuple) -> None:
    poses = local_poses([30.0, bad[0], 30.001], [120.0, bad[1], 120.0])
    assert poses[1] is None
    assert poses[0].distance_to(poses[2]) == pytest.approx(110.9, abs=0.1)
    assert local_poses([bad[0], math.nan], [bad[1], 5.0])[1] is None


def test_another_origin_keeps_distances_and_headings() -> None:
    first = local_poses([46.5, 46.51], [6.5, 6.52], [10.0, 200.0])
    second = [change_origin(pose, "geo:46.6,6.9") for pose in first]
    again = local_poses([46.5, 46.51], [6.5, 6.52], [10.0, 200.0], Origin(46.6, 6.9))
    for moved, direct in zip(second, again, strict=True):
        assert moved.distance_to(direct) < 1e-6
        assert moved.angle_to(direct) < 1e-5
        assert moved.frame_id == direct.frame_id == "geo:46.6,6.9"
    assert second[0].distance_to(second[1]) == pytest.approx(first[0].distance_to(first[1]), 1e-4)
    turned = second[0].yaw - first[0].yaw  # the meridians of the origins, 6.51 and 6.9, meet
    assert math.degrees(turned) == pytest.approx(-0.39 * math.sin(math.radians(46.5)), abs=1e-3)


@pytest.mark.parametrize(
    ("pose", "frame_id", "message"),
    [
        (Pose(1, 2), "geo:1,2", "frame 'map' cannot be brought to 'geo:1,2'"),
        (Pose(1, 2, frame_id="geo:1,2"), "map", "only frames that are called by an origin"),
        (Pose(1, 2, frame_id="geo:1,2"), "geo:60,2", "over 1000 km apart"),
        (Pose(1, 2, frame_id="geo:1,2"), "geo:95,2", "is no latitude"),
    ],
)
def test_frames_that_cannot_be_made_one(pose: Pose, frame_id: str, message: str) -> None:
    with pytest.raises(PoseError, match=message):
        change_origin(pose, frame_id)
    assert change_origin(pose, pose.frame_id) is pose


def test_the_name_of_a_frame_gives_its_origin() -> None:
    for origin in (Origin(46.52, 6.57), Origin(-0.00001, -179.5), Origin(0, 0), Origin(90, 180)):
        found = Origin.of_frame(origin.frame_id)
        assert found == origin
    for name in ("map", "utm", "geo:", "geo:1", "geo:1,x", "geo:1,2,3", "xgeo:1,2"):
        assert Origin.of_frame(name) is None
