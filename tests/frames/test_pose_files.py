"""Each pose format: order of the quaternion, direction of the pose, keys, and bad lines."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.errors import PlaceMemoryError, PoseError, SettingError
from placememory.frames import Pose, read_poses
from placememory.frames.pose import rotation_from_quaternion
from placememory.frames.poses import formats

# One pose, body in world, with a rotation whose quaternion has no two equal parts.
QX, QY, QZ, QW = (np.array([1.0, -3.0, 5.0, 8.0]) / np.linalg.norm([1, 3, 5, 8])).tolist()
TRUE = Pose(1.5, -2.25, 3.0, (QX, QY, QZ, QW))
NS = 1403636579763555584
R, T = TRUE.matrix()[:3, :3], TRUE.position
ROWS = " ".join(f"{v!r}" for v in TRUE.matrix()[:3].ravel().tolist())
INVERSE = " ".join(f"{v!r}" for v in (-R.T @ T).tolist())

MAPLAB = (
    "vertex index, timestamp [ns], position x [m], position y [m], position z [m], "
    "quaternion x, quaternion y, quaternion z, quaternion w, velocity x [m/s]\n"
)
FILES = {
    "tum": ("traj.txt", f"# t x y z\n1403636579.763555584 1.5 -2.25 3 {QX} {QY} {QZ} {QW}\n"),
    "kitti": ("00.txt", f"{ROWS}\n"),
    "euroc": (
        "data.csv",
        "#timestamp [ns], p_RS_R_x [m], p_RS_R_y [m], p_RS_R_z [m], q_RS_w [], q_RS_x [], q_RS_y []"
        f", q_RS_z []\n{NS},1.5,-2.25,3,{QW},{QX},{QY},{QZ},0,0,0\n",
    ),
    "maplab": ("vertices.csv", f"{MAPLAB}41, {NS}, 1.5, -2.25, 3, {QX}, {QY}, {QZ}, {QW}, 0\n"),
    "colmap": (
        "images.txt",
        f"# Image list\n7 {QW} {-QX} {-QY} {-QZ} {INVERSE} 1 db/a b.jpg\n1.0 2.0 -1 3.0 4.0 5\n",
    ),
    "csv-table": (
        "poses.csv",
        "name, x [m], y, z, qx, qy, qz, qw, stamp, vertex_id, session, floor\n"
        f'"a,b.png", 1.5, -2.25, 3, {QX}, {QY}, {QZ}, {QW}, {NS}, 41, run7, first\n',
    ),
    "coordinates": ("xy.txt", "1.5 -2.25\n"),
}
KEYS = {
    "tum": {"stamp": NS},
    "kitti": {"number": 0},
    "euroc": {"stamp": NS},
    "maplab": {"stamp": NS, "vertex_id": 41},
    "colmap": {"name": "db/a b.jpg"},
    "csv-table": {
        "name": "a,b.png",
        "stamp": NS,
        "vertex_id": 41,
        "session": "run7",
        "floor": "first",
    },
    "coordinates": {"number": 0},
}


def test_every_format_is_tested() -> None:
    assert set(FILES) == set(KEYS) == set(formats())


@pytest.fixture(params=sorted(FILES))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def check(path: Path, kind: str, format: str | None) -> None:  # noqa: A002
    (record,) = read_poses(path, format).records
    keys = ("name", "stamp", "vertex_id", "number", "session", "floor")
    assert {k: v for k in keys if (v := getattr(record, k)) is not None} == KEYS[kind]
    if kind == "coordinates":
        assert record.pose == Pose(1.5, -2.25)
        return
    np.testing.assert_allclose(record.pose.matrix(), TRUE.matrix(), atol=1e-9)


@pytest.mark.parametrize("guess", [False, True])
@pytest.mark.parametrize("change", ["", "crlf", "bom", "blank lines", "another name"])
def test_a_file_of_each_format(tmp_path: Path, kind: str, change: str, guess: bool) -> None:
    name, text = FILES[kind]
    text = text.replace("\n", "\r\n") if change == "crlf" else text
    text = "\ufeff" + text if change == "bom" else text
    text = "\n \n" + text + "\n\n" if change == "blank lines" and kind != "colmap" else text
    path = tmp_path / ("poses.dat" if change == "another name" else name)
    path.write_bytes(text.encode())
    check(path, kind, None if guess else kind)


@pytest.mark.parametrize("name", ["images.txt", "vertices.csv", "data.csv"])
def test_a_folder_stands_for_the_file_in_it(tmp_path: Path, name: str) -> None:
    (kind,) = (kind for kind, (usual, _) in FILES.items() if usual == name)
    (tmp_path / name).write_text(FILES[kind][1])
    check(tmp_path, kind, None)


BAD_LINES = {
    "tum": (
        ["1 2 3", "1 2 3 x 0 0 0 1", "t 0 0 0 0 0 0 1"],
        "1 0 0 0 0 0 0 0",
        "1 nan 0 0 0 0 0 1",
    ),
    "kitti": (["1 0 0", "1 0 0 0 0 1 0 0 0 0 x 0"], "2" + " 0" * 11, "1 0 0 nan 0 1 0 0 0 0 1 0"),
    "euroc": (
        ["1,2,3", "1.5,0,0,0,1,0,0,0", "7,0,0,x,1,0,0,0"],
        "7,0,0,0,0,0,0,0",
        "7,inf,0,0,1,0,0,0",
    ),
    "maplab": (
        ["1, 2, 3", "x, 2, 0, 0, 0, 0, 0, 0, 1, 0", "1, 2, 0, 0, y, 0, 0, 0, 1, 0"],
        "1, 2, 0, 0, 0, 0, 0, 0, 0, 0",
        "1, 2, nan, 0, 0, 0, 0, 0, 1, 0",
    ),
    "colmap": (
        ["7 1 0 0 0 1 2 3 1", "7 1 0 0 x 1 2 3 1 a.jpg"],
        "7 0 0 0 0 1 2 3 1 a.jpg",
        "7 1 0 0 0 nan 2 3 1 a.jpg",
    ),
    "csv-table": (
        [
            "a, 1, 2",
            "a, x, 0, 0, , , , , , , ,",
            "a, 1, 0, 0, , , , , , 5.5, ,",
            "a,1,0,0,,,,,z,,,",
        ],
        "a, 1, 2, 3, 0, 0, 0, 0, , , ,",
        "a, nan, 2, 3, , , , , , , ,",
    ),
    "coordinates": (["1", "1 2 3", "1 x"], "1 nan", "inf 2"),
}


@pytest.mark.parametrize("guess", [False, True])
def test_malformed_lines_are_named(tmp_path: Path, kind: str, guess: bool) -> None:
    name, text = FILES[kind]
    words, no_rotation, not_finite = BAD_LINES[kind]
    line = text.count("\n") + 1
    for bad in [*words, no_rotation, not_finite]:
        (tmp_path / name).write_text(text + bad + "\n")
        with pytest.raises(PoseError, match=rf"{name}:{line}: "):
            read_poses(tmp_path / name, None if guess else kind)


def test_files_that_hold_no_poses(tmp_path: Path, kind: str) -> None:
    name, text = FILES[kind]
    header = "".join(line for line in text.splitlines(True)[:1] if not line[0].isdigit())
    for content in ("", "# nothing\n", header if kind not in ("kitti", "coordinates") else "\n"):
        (tmp_path / name).write_text(content)
        with pytest.raises(PoseError, match="holds no poses"):
            read_poses(tmp_path / name, kind)


@pytest.mark.parametrize("content", [b"", b"hello\n", b"1 2 3\n", b"a,b,c\n1,2,3\n"])
def test_files_of_no_known_format(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "poses.dat").write_bytes(content)
    with pytest.raises(PoseError, match=r"poses\.dat: no known pose format fits; give .*tum"):
        read_poses(tmp_path / "poses.dat")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x01")
    for path in (tmp_path / "binary.txt", tmp_path / "missing.txt", tmp_path):
        with pytest.raises(PoseError, match=f"{path}: cannot read the pose file"):
            read_poses(path)
    with pytest.raises(SettingError, match="no pose format is called 'bag'; known: colmap"):
        read_poses(tmp_path / "binary.txt", "bag")


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from('01.-e ,#\n"\rnax[]\x00ü'), max_size=60))
def test_any_text_gives_poses_or_our_error(tmp_path_factory, text: str) -> None:
    path = tmp_path_factory.mktemp("text") / "poses.txt"
    path.write_text(text, newline="")
    for name in [None, *formats()]:
        try:
            assert read_poses(path, name).records
        except PlaceMemoryError as error:
            assert "poses.txt" in str(error)  # noqa: PT017


def test_a_huge_csv_field_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    path.write_text('name,x,y\n"' + "a" * 200_000 + "\n")
    with pytest.raises(PoseError, match=r"poses\.csv:\d+: field larger"):
        read_poses(path)


def test_seconds_lose_no_nanosecond(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    stamps = ["1403636579.763555585", str(NS), "12", "0.000000001"]
    path.write_text("stamp,x,y\n" + "".join(f"{stamp},0,0\n" for stamp in stamps))
    assert [r.stamp for r in read_poses(path).records] == [NS + 1, NS, 12 * 10**9, 1]


def test_a_table_with_yaw_and_empty_poses(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    path.write_text("name,x,y,yaw,floor\na,1,2,0.5,first\nb,,,,second\nc,3,4,,\n")
    a, b, c = read_poses(path).records
    assert a.pose.yaw == pytest.approx(0.5)
    assert (b.pose, b.floor) == (None, "second")
    assert math.isnan(c.pose.yaw)


@pytest.mark.parametrize("header", ["x,y", "name,y", "name,x"])
def test_a_table_needs_x_y_and_a_key(tmp_path: Path, header: str) -> None:
    (tmp_path / "p.csv").write_text(f"{header}\n1,2\n")
    with pytest.raises(PoseError, match=r"p\.csv: the header needs x, y and one of name"):
        read_poses(tmp_path / "p.csv", "csv-table")


def test_maplab_needs_its_columns(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("vertex index, timestamp [ns], position x [m]\n1, 2, 3\n")
    with pytest.raises(PoseError, match=r"v\.csv: the header has no column 'position y'"):
        read_poses(tmp_path / "v.csv")


def test_colmap_centres_are_minus_rt_t(tmp_path: Path) -> None:
    rotation = rotation_from_quaternion((QX, QY, QZ, QW))
    text = f"1 {QW} {QX} {QY} {QZ} 0.5 1 2 1 a.jpg\n\n2 1 0 0 0 1 2 3 1 b.jpg\n\n"
    (tmp_path / "images.txt").write_text(text)
    a, b = read_poses(tmp_path).records
    np.testing.assert_allclose(a.pose.position, -rotation.T @ [0.5, 1, 2], atol=1e-9)
    np.testing.assert_allclose(a.pose.matrix()[:3, :3], rotation.T, atol=1e-9)
    assert b.pose.position.tolist() == [-1, -2, -3]


def test_kitti_times_lie_beside_or_above(tmp_path: Path) -> None:
    path = tmp_path / "poses" / "00.txt"
    path.parent.mkdir()
    path.write_text(FILES["kitti"][1] * 2)
    (tmp_path / "times.txt").write_text("0.0\n1.03e-01\n")
    assert [r.stamp for r in read_poses(path).records] == [0, 103_000_000]
    (path.parent / "times.txt").write_text("0.0\n")
    with pytest.raises(PoseError, match=r"00\.txt: 2 poses but 1 lines in times\.txt"):
        read_poses(path)
