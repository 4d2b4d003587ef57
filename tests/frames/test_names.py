"""What a file name tells."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placememory.frames.names import NameFacts, natural_key, parse_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vertex_005_000034_1751340273862754844.png", (5, 1751340273862754844, 34)),
        ("a/b/vertex_7.png", (7, None, None)),
        ("vertex_7_8.png", (7, None, 8)),
        ("vertex_x_8.png", (None, None, None)),
        ("1403636579763555584.png", (None, 1403636579763555584, None)),
        ("cam0/1403636579.763555584.png", (None, 1403636579763555584, None)),
        ("1403636579.1.jpg", (None, 1403636579100000000, None)),
        ("1403636579763555.png", (None, 1403636579763555, None)),  # 16 digits
        ("000012.png", (None, None, 12)),
        ("12/img.png", (None, None, None)),
        ("img12.png", (None, None, None)),
        ("", (None, None, None)),
        ("video.mp4#000012", (None, None, None)),
    ],
)
def test_numbers_in_names(name: str, expected: tuple) -> None:
    vertex_id, stamp, number = expected
    assert parse_name(name) == NameFacts(vertex_id, stamp, number)


@pytest.mark.parametrize(
    ("name", "x", "yaw"),
    [
        ("@0543256.96@4178906.70@10@S@37.7@-122.4@pano@@0@@@@201311@@.jpg", 543256.96, 90.0),
        ("@543256.96@4178906.70@10@S@@@@@90@@@@@.jpg", 543256.96, 0.0),
        ("day/@1@2@.jpg", 1.0, None),
    ],
)
def test_utm_names(name: str, x: float, yaw: float | None) -> None:
    pose = parse_name(name).pose
    assert (pose.x, pose.frame_id) == (x, "utm")
    found = None if math.isnan(pose.yaw) else round(math.degrees(pose.yaw), 9)
    assert found == yaw


@pytest.mark.parametrize("name", ["@.jpg", "@a@b@.jpg", "@nan@2@.jpg", "@1@inf@.jpg", "@1"])
def test_utm_names_that_are_none(name: str) -> None:
    assert parse_name(name) == NameFacts()


@pytest.mark.parametrize(
    "ordered",
    [
        ["img2.png", "img10.png", "img100.png"],
        ["1.png", "2.png", "10.png"],
        ["a/2.png", "a/10.png", "b/1.png"],
        ["cam1/9.png", "cam2/1.png", "cam10/1.png"],
        ["007.png", "7.png", "08.png"],
        ["1.png", "a.png", "ü.png"],
    ],
)
def test_natural_order(ordered: list[str]) -> None:
    shuffled = random.Random(1).sample(ordered, len(ordered))
    assert sorted(shuffled, key=natural_key) == ordered


@given(st.lists(st.text(alphabet="a1٣²/.", max_size=5), unique=True))
def test_natural_order_is_total(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)
    assert len({natural_key(name) for name in names}) == len(names)


@given(st.text())
def test_any_name_is_read(name: str) -> None:
    parse_name(name)
