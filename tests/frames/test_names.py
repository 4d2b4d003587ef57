"""What a file name tells."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placememory.frames.names import NameFacts, natural_key, order_names, parse_name, parse_names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vertex_005_000034_1751340273862754844.png", (5, 1751340273862754844, 34)),
        ("a/b/vertex_7.png", (7, None, None)),
        ("vertex_7_8.png", (7, None, 8)),
        ("vertex_x_8.png", (None, None, 8)),
        ("1403636579763555584.png", (None, 1403636579763555584, None)),
        ("cam0/1403636579.763555584.png", (None, 1403636579763555584, None)),
        ("1403636579.1.jpg", (None, 1403636579100000000, None)),
        ("1403636579763555.png", (None, 1403636579763555000, None)),  # microseconds
        ("1403636579763.png", (None, 1403636579763000000, None)),
        ("1403636579.png", (None, 1403636579000000000, None)),
        ("9999999999999999999.png", (None, None, 9999999999999999999)),  # beyond 292 years
        ("12500000000000000.png", (None, 12500000000000000, None)),  # nanoseconds of a simulation
        ("5123456789_ab.jpg", (None, None, 5123456789)),  # the number of a photograph
        ("000012.png", (None, None, 12)),
        ("12/img.png", (None, None, None)),
        ("img12.png", (None, None, 12)),
        ("img12_3.png", (None, None, None)),
        ("", (None, None, None)),
        ("video.mp4#000012", (None, None, 12)),
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


START = 1305031102
STEPS = [0, 75, 150, 275, 350, 425, 500, 575, 650, 725, 800, 905]  # milliseconds


def written(kind: str) -> list[str]:
    """Names of images at STEPS, as people write them."""
    names = []
    for ms in STEPS:
        second, rest = START + ms // 1000, ms % 1000
        names.append(
            {
                "s, trimmed": f"{second + rest / 1000!r}",
                "s, 6 digits": f"{second}.{rest:03d}000",
                "s, prefix": f"frame_{second}.{rest:03d}000",
                "s, suffix": f"{second}.{rest:03d}_left",
                "ms": f"{second}{rest:03d}",
                "us": f"cam-{second}{rest:03d}000",
                "ns": f"{second}{rest:03d}000000",
                "ns, prefix": f"left_{second}{rest:03d}000000_rect",
                "sec.nsec": f"{second}.{rest * 10**6}",
                "sec.nsec, padded": f"{second}.{rest:03d}000000",
                "sec_nsec": f"img_{second}_{rest * 10**6}",
                "sec-usec": f"{second}-{rest:03d}000",
                "sim": f"{ms / 1000:.3f}",
            }[kind]
            + ".jpg"
        )
    return names


@pytest.mark.parametrize(
    "kind",
    ["s, trimmed", "s, 6 digits", "s, prefix", "s, suffix", "ms", "us", "ns", "ns, prefix",
     "sec.nsec", "sec.nsec, padded", "sec_nsec", "sec-usec", "sim"],
)  # fmt: skip
def test_stamps_of_a_folder(kind: str) -> None:
    names = written(kind)
    start = 0 if kind == "sim" else START * 10**9
    read = parse_names(names)
    assert [facts.stamp for facts in read.facts] == [start + ms * 10**6 for ms in STEPS]
    assert read.warnings == ()
    assert order_names(random.Random(2).sample(names, len(names))) == names


@pytest.mark.parametrize("mark", [".", "_"])
def test_parts_of_a_second_that_could_be_both(mark: str) -> None:
    read = parse_names([f"{START}{mark}{part}.png" for part in ("123456789", "98765432")])
    assert len(read.warnings) == 1
    assert "read as " + ("decimals" if mark == "." else "whole nanoseconds") in read.warnings[0]
    assert "123456789 ns" in read.warnings[0]


@pytest.mark.parametrize(
    "parts", [["123456789", "223456788", "32345678", "423456789"], ["5", "25", "45", "65"]]
)
def test_parts_of_a_second_are_read_so_that_the_steps_are_even(parts: list[str]) -> None:
    """32345678 is no step on from 223456788, 0.32345678 is; and of 5, 25, 45 and 65 ms."""
    stamps = [facts.stamp for facts in parse_names([f"{START}.{p}.png" for p in parts]).facts]
    steps = [after - before for before, after in pairwise(stamps)]
    assert max(steps) - min(steps) < 10**6


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["1403636579_1.png", "1403636579_2.png"], [1403636579 * 10**9] * 2),  # and a counter
        (["1000000001_a.jpg", "2000000001_b.jpg"], [None, None]),  # years apart: photographs
        (["cover.jpg", "1403636579763555584.jpg"], [None, 1403636579763555584]),
        (["cover.jpg", "f1403636579.5.jpg", "1403636579.5.jpg"], [None, None, 1403636579500000000]),
        (["20240612_143015.jpg", "20240612_143016.jpg"], [None, None]),
        (["0001.5.png", "b.png"], [None, None]),
    ],
)
def test_names_that_are_not_all_stamps(names: list[str], expected: list) -> None:
    assert [facts.stamp for facts in parse_names(names).facts] == expected


def test_cameras_stay_together_and_counters_do_not() -> None:
    cameras = [f"{side}_{START + t}.5.png" for side in ("left", "right") for t in range(3)]
    folders = [f"cam{c}/{START}.{t}.png" for c in (0, 1) for t in (125, 2, 35)]
    counters = [f"{10 - i}_{START + i}.5.png" for i in range(4)]
    for names in (cameras, folders, counters):
        assert order_names(random.Random(3).sample(names, len(names))) == names


DRONE = [(120.1001 + 0.001 * i, 30.2001 + 0.0005 * i) for i in range(4)]


@pytest.mark.parametrize(
    ("template", "doubt"),
    [("@{0:.6f}@{1:.6f}@.jpg", ""), ("run/@{1:.6f}@{0:.6f}@x@.jpg", ""),
     ("@{2:.5f}@{1:.5f}@.jpg", "read as longitude and latitude in degrees, and not")],
)  # fmt: skip
def test_positions_in_degrees(template: str, doubt: str) -> None:
    names = [template.format(lon, lat, lon - 114.0) for lon, lat in DRONE]
    read = parse_names(names)
    poses = [facts.pose for facts in read.facts]
    assert all(pose.frame_id.startswith("geo:30.2009,") for pose in poses)
    apart = [poses[0].distance_to(pose) for pose in poses]
    np.testing.assert_allclose(apart, [0.0, 111.2, 222.4, 333.6], atol=0.5)
    assert [doubt in warning for warning in read.warnings] == ([True] if doubt else [])


@pytest.mark.parametrize(
    ("names", "warned"),
    [
        (["@584000.123456@4477000.123456@.jpg"], False),
        (["@1.25@3.50@.jpg", "@1.50@3.50@.jpg"], False),  # two decimals are no degrees
        (["@1.123456@3.123456@.jpg", "@42.1@3.5@.jpg"], False),  # 41 degrees apart
        (["@1.123456@3.123456@.jpg", "@5.123456@3.123456@.jpg"], True),
    ],
)
def test_positions_in_metres(names: list[str], warned: bool) -> None:
    read = parse_names(names)
    assert [facts.pose.frame_id for facts in read.facts] == ["utm"] * len(names)
    assert all(f"@{facts.pose.x}" in name for facts, name in zip(read.facts, names, strict=True))
    assert ["as degrees they would span 444 km" in w for w in read.warnings] == [True] * warned


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


@given(st.lists(st.text(alphabet="@._-#/a1203९", max_size=24), max_size=4))
def test_any_names_are_read(names: list[str]) -> None:
    assert len(parse_names(names).facts) == len(names)
    order_names(names)


@pytest.mark.parametrize("name", ["9" * 240 + ".png", f"vertex_{'9' * 200}.png", "@1e999@5@.png"])
def test_implausible_names_are_no_facts(name: str) -> None:
    facts = parse_name(name)
    assert (facts.vertex_id, facts.stamp, facts.pose) == (None, None, None)
