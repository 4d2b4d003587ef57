"""Poses find their frames by key, never by row."""

from __future__ import annotations

from pathlib import Path

import pytest

from placememory.errors import PoseError
from placememory.frames import Frame, Pose, PoseRecord, PoseTable, read_poses

SECOND = 1_000_000_000


def frame(name: str, **fields: object) -> Frame:
    return Frame(name, "run", 0, **fields)


def xs(frames: list[Frame]) -> list[float | None]:
    return [f.pose.x if f.pose else None for f in frames]


def test_a_vertex_id_is_no_row_number(tmp_path: Path) -> None:
    """The second mission of a maplab export: ids go on where the first ended."""
    path = tmp_path / "vertices.csv"
    path.write_text(
        "vertex index, timestamp [ns], position x [m], position y [m], position z [m]\n"
        + "".join(f"{i}, {i}, {i}.5, 0, 0\n" for i in (102, 100, 101))
    )
    frames = [frame(f"vertex_{i}.png", vertex_id=i) for i in (100, 101, 102, 0, 1, 2)]
    joined, report = read_poses(path).join(frames)
    assert xs(joined) == [100.5, 101.5, 102.5, None, None, None]
    assert (report.total, report.by) == (6, {"vertex id": 3})
    assert report.without == ("vertex_0.png", "vertex_1.png", "vertex_2.png")
    assert str(report) == (
        "3 of 6 frames have a pose (3 by vertex id); without a pose, first vertex_0.png"
    )


def test_a_number_is_no_position_in_the_folder() -> None:
    table = PoseTable([PoseRecord(Pose(i, 0), number=i) for i in range(10)])
    joined, report = table.join([frame("000007.png"), frame("000002.png"), frame("a.png")])
    assert xs(joined) == [7, 2, None]
    assert report.by == {"number": 2}


@pytest.mark.parametrize(
    ("records", "name", "expected"),
    [
        (["run/a.png"], "run/a.png", 0),
        (["a.png"], "run/a.png", 0),
        (["run/a.png"], "a.png", 0),
        (["data/run/a.png"], "run/a.png", 0),
        (["cam0/a.png"], "cam1/a.png", None),
        (["xrun/a.png"], "run/a.png", None),
        (["a"], "a.png", 0),
        (["A.PNG"], "a.png", 0),
        (["RUN/A.jpeg"], "run/a.png", 0),
        (["x/run/a"], "run/a.jpg", 0),
        (["a.jpg", "a.png"], "a.webp", None),
        (["1.05", "1.06"], "1.05.jpg", 0),
        (["cam0/A"], "cam1/a.png", None),
        (["cam0/a.png", "cam1/a.png"], "a.png", None),
        (["x/cam0/a.png", "x/cam1/a.png"], "cam1/a.png", 1),
        (["cam0/a.png", "a.png"], "a.png", 1),
        (["b.png"], "a.png", None),
    ],
)
def test_names(records: list[str], name: str, expected: int | None) -> None:
    table = PoseTable([PoseRecord(Pose(i, 0), name=n) for i, n in enumerate(records)])
    (joined,), _ = table.join([frame(name)])
    assert xs([joined]) == [expected]


@pytest.mark.parametrize(
    ("stamp", "max_gap", "expected"),
    [
        (10 * SECOND, 0.05, 10),
        (10 * SECOND + 50_000_000, 0.05, 10),
        (10 * SECOND + 50_000_001, 0.05, None),
        (10 * SECOND - 50_000_000, 0.05, 10),
        (10 * SECOND - 50_000_001, 0.05, None),
        (10 * SECOND + 400_000_000, 0.5, 10),
        (10 * SECOND + 600_000_000, 0.5, 11),
        (10 * SECOND, 0.0, 10),
        (0, 1.0, None),
        (99 * SECOND, 1.0, None),
    ],
)
def test_stamps_within_the_gap(stamp: int, max_gap: float, expected: int | None) -> None:
    unsorted = [PoseRecord(Pose(t, 0), stamp=t * SECOND) for t in (12, 10, 13, 11)]
    joined, _ = PoseTable(unsorted).join([frame("a.png", stamp=stamp)], max_gap=max_gap)
    assert xs(joined) == [expected]


def test_a_name_wins_over_a_vertex_id_over_a_stamp_over_a_number() -> None:
    keys = [{"name": "7.png"}, {"vertex_id": 5}, {"stamp": SECOND}, {"number": 7}]
    one = frame("7.png", vertex_id=5, stamp=SECOND)
    ways = ["name", "vertex id", "stamp", "number"]
    for first in range(4):
        records = [PoseRecord(Pose(i, 0), **keys[i]) for i in reversed(range(first, 4))]
        joined, report = PoseTable(records).join([one])
        assert xs(joined) == [first]
        assert report.by == {ways[first]: 1}


@pytest.mark.parametrize("key", [{"name": "a"}, {"vertex_id": 5}, {"number": 5}])
def test_two_poses_for_one_key_are_refused(key: dict) -> None:
    same = PoseRecord(Pose(1, 2), **key)
    PoseTable([same, same])
    with pytest.raises(PoseError, match=r"p\.csv: ('a'|5) occurs twice with different poses"):
        PoseTable([same, PoseRecord(Pose(1, 3), **key)], "p.csv")


def test_what_a_record_knows_reaches_the_frame() -> None:
    record = PoseRecord(Pose(1, 2), "a.png", 5, SECOND, session="lobby", floor="first")
    (joined,), _ = PoseTable([record]).join([frame("a.png", floor="ground")])
    assert (joined.vertex_id, joined.stamp) == (5, SECOND)
    assert (joined.session, joined.floor) == ("lobby", "first")
    (own,), _ = PoseTable([record]).join([frame("a.png", vertex_id=8, stamp=9)])
    assert (own.vertex_id, own.stamp) == (8, 9)


def test_a_pose_of_the_file_name_is_kept_where_the_table_has_none() -> None:
    table = PoseTable([PoseRecord(Pose(9, 9), name="a.png")])
    joined, report = table.join([frame("a.png", pose=Pose(1, 1)), frame("b.png", pose=Pose(2, 2))])
    assert xs(joined) == [9, 2]
    assert report.by == {"name": 1, "file name": 1}
    assert report.without == ()


def test_poses_of_another_mission_are_noticed() -> None:
    table = PoseTable([PoseRecord(Pose(i, 0), vertex_id=i, stamp=i * SECOND) for i in range(4)])
    right = [frame(str(i), vertex_id=i, stamp=i * SECOND + 5) for i in range(4)]
    wrong = [frame(str(i), vertex_id=i, stamp=(i + 100) * SECOND) for i in range(4)]
    assert table.join(right)[1].warnings == ()
    (warning,) = table.join(wrong)[1].warnings
    assert "4 of 4 frames found a vertex by id whose stamp differs" in warning


START = 1_700_000_000 * SECOND


def stamped(*stamps: int) -> PoseTable:
    return PoseTable([PoseRecord(Pose(i, 0), stamp=stamp) for i, stamp in enumerate(stamps)], "p")


@pytest.mark.parametrize("power", [3, 6, 9, -3, -6, -9])
@pytest.mark.parametrize("start", [START, 40 * SECOND])
def test_stamps_in_another_unit_are_fitted(power: int, start: int) -> None:
    own = [start + i * SECOND for i in range(5)]
    other = [stamp * 10**power if power > 0 else stamp // 10**-power for stamp in own]
    frames = [frame(f"{i}.png", stamp=stamp) for i, stamp in enumerate(own)]
    joined, report = stamped(*other).join(frames)
    assert xs(joined) == [0, 1, 2, 3, 4]
    assert f"multiplied by 10^{-power}" in report.warnings[0]
    assert "the images are from" in report.warnings[0]


def test_stamps_that_meet_are_not_fitted_and_few_never() -> None:
    frames = [frame(f"{i}.png", stamp=START + i * SECOND) for i in range(5)]
    _, report = stamped(START, 5, 6).join(frames)
    assert (report.by, report.warnings) == ({"stamp": 1}, ())
    assert stamped(0, 1).join([frame("a.png", stamp=0)])[1].warnings == ()
    assert stamped(7, 8).join(frames[:1])[1].warnings == ()


@pytest.mark.parametrize("unit", [1, 1000, 10**6, 10**9])
def test_numbers_that_span_the_times_of_the_poses_are_stamps(unit: int) -> None:
    numbers = [0, 25, 50, 75, 100]
    frames = [frame(f"img_{number:05d}.png") for number in numbers]
    joined, report = stamped(*(number * unit for number in numbers)).join(frames)
    assert xs(joined) == [0, 1, 2, 3, 4]
    assert "the numbers in the names are read as stamps in" in report.warnings[0]
    few = [frame(f"img_{number:05d}.png") for number in range(30)]  # they span a part
    assert stamped(*(number * unit for number in numbers)).join(few)[1].joined == 0


@pytest.mark.parametrize(
    ("first", "count", "expected"), [(0, 3, 0), (1, 3, 1), (7, 3, 7), (1, 2, 0)]
)
def test_rows_are_counted_from_the_first_number(first: int, count: int, expected: int) -> None:
    """Only where there are as many images as rows: part of a run keeps its numbers."""
    table = PoseTable([PoseRecord(Pose(i, 0), number=i) for i in range(3)])
    frames = [frame(f"f_{first + i}.png") for i in range(count)]
    joined, report = table.join(frames)
    assert xs(joined) == [first + i - expected for i in range(count)]
    assert [f"rows are counted from {first}" in w for w in report.warnings] == [True] * (
        expected > 0
    )


NAMED = [PoseRecord(Pose(i, 0), name=f"left_{i:06d}.png") for i in range(3)]
CAUSES = {
    "prefix": (
        NAMED,
        "000001.png",
        r"like '00000.\.png', .* 'left_0.*differ by the prefix 'left_'",
    ),
    "folder": (
        [PoseRecord(Pose(i, 0), name=f"cam1/{i}.png") for i in range(3)],
        "cam0/1.png",
        "differ by the folder",
    ),
    "suffix": (
        [PoseRecord(Pose(i, 0), name=f"{i:06d}_rect.png") for i in range(3)],
        "000001.png",
        "differ by the suffix '_rect'",
    ),
    "hours": (
        [PoseRecord(Pose(i, 0), stamp=START + 7200 * SECOND) for i in range(3)],
        START,
        r"from 2023-11-14 22:13:20\.000 UTC to .* the poses from 2023-11-15 00:13.*2 hours apart",
    ),
    "another day": (
        [PoseRecord(Pose(i, 0), stamp=START + 90000 * SECOND) for i in range(3)],
        START,
        "same clock, and the same run",
    ),
    "own start": (
        [PoseRecord(Pose(i, 0), stamp=i * SECOND) for i in range(3)],
        START + 12345,
        "one counts from 1970",
    ),
    "gap": (
        [PoseRecord(Pose(i, 0), stamp=START + i * SECOND) for i in (-9, 9)],
        START + SECOND,
        r"8 s \(median\) from the nearest pose.*--max-gap 8.1",
    ),
    "no stamps": (
        [PoseRecord(Pose(0, 0), stamp=START)],
        "hall.png",
        "'hall.png', which is no stamp",
    ),
    "no vertices": ([PoseRecord(Pose(0, 0), vertex_id=5)], "a.png", "of vertices such as 5"),
    "no numbers": ([PoseRecord(Pose(0, 0), number=0)], "a.png", "row i of the 1 rows belongs to"),
}


@pytest.mark.parametrize("cause", sorted(CAUSES))
def test_the_cause_is_said_where_nothing_joins(cause: str) -> None:
    records, key, words = CAUSES[cause]
    one = frame(key) if isinstance(key, str) else frame("x.png", stamp=key)
    _, report = PoseTable(records, "p.csv").join([one])
    with pytest.raises(PoseError, match=rf"^p\.csv: none of 1 frames finds a pose: .*{words}"):
        report.check()


@pytest.mark.parametrize(("found", "fine"), [(0, False), (1, False), (2, True), (20, True)])
def test_under_a_tenth_is_refused(found: int, fine: bool) -> None:
    table = PoseTable([PoseRecord(Pose(i, 0), name=f"{i:04d}.png") for i in range(found)], "p.csv")
    _, report = table.join([frame(f"{i:04d}.png") for i in range(20)])
    if fine:
        report.check()
        assert report.cause == ""
    else:
        with pytest.raises(PoseError, match=r"p\.csv: (none|only 1) of 20 frames finds a pose: "):
            report.check()
