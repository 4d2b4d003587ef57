"""Each pose format: order of the quaternion, direction of the pose, keys, and bad lines."""

from __future__ import annotations

import importlib
import math
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from placememory.errors import MissingExtraError, PlaceMemoryError, PoseError, SettingError
from placememory.frames import Pose, PoseTable, read_poses
from placememory.frames.pose import rotation_from_quaternion
from placememory.frames.poses import formats

# One pose, body in world, with a rotation whose quaternion has no two equal parts.
QX, QY, QZ, QW = (np.array([1.0, -3.0, 5.0, 8.0]) / np.linalg.norm([1, 3, 5, 8])).tolist()
TRUE = Pose(1.5, -2.25, 3.0, (QX, QY, QZ, QW))
NS = 1403636579763555584
R, T = TRUE.matrix()[:3, :3], TRUE.position
ROWS = " ".join(f"{v!r}" for v in TRUE.matrix()[:3].ravel().tolist())
ROLL, PITCH, YAW = Rotation.from_quat((QX, QY, QZ, QW)).as_euler("xyz").tolist()
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
    "g2o": ("graph.g2o", f"VERTEX_SE3:QUAT 41 1.5 -2.25 3 {QX} {QY} {QZ} {QW}\nEDGE_SE3 1 2\n"),
    "hloc": ("results.txt", f"db/a.jpg {QW} {-QX} {-QY} {-QZ} {INVERSE}\n"),
    "nclt": ("groundtruth.csv", f"{NS // 1000},1.5,2.25,-3,{ROLL!r},{-PITCH!r},{-YAW!r}\n"),
    "odm": ("geo.txt", "EPSG:4326\na.jpg 6.57 46.52 400 30 0 0\nb.jpg 6.58 46.52 400 30 0 0\n"),
    "tartanair": ("pose_left.txt", f"1.5 2.25 -3 {QX} {-QY} {-QZ} {QW}\n"),
}
KEYS = {
    "g2o": {"vertex_id": 41, "number": 41},
    "hloc": {"name": "db/a.jpg"},
    "nclt": {"stamp": NS // 1000 * 1000},
    "odm": {"name": "a.jpg"},
    "tartanair": {"number": 0},
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
    record, *more = read_poses(path, format).records
    assert len(more) == (kind == "odm")
    keys = ("name", "stamp", "vertex_id", "number", "session", "floor")
    assert {k: v for k in keys if (v := getattr(record, k)) is not None} == KEYS[kind]
    if kind == "coordinates":
        assert record.pose == Pose(1.5, -2.25)
        return
    if kind == "odm":
        assert record.pose.distance_to(more[0].pose) == pytest.approx(767.2, abs=0.5)
        assert math.degrees(record.pose.yaw) == pytest.approx(60.0, abs=0.01)
        assert record.pose.frame_id == "geo:46.52,6.575"
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
    "tum": ["1 2 3", "1 2 3 x 0 0 0 1", "t 0 0 0 0 0 0 1", f"{'1' * 10000} 0 0 0 0 0 0 1",
            "1e999999999 0 0 0 0 0 0 1", "nan 0 0 0 0 0 0 1"],
    "kitti": ["1 0 0", "1 0 0 0 0 1 0 0 0 0 x 0", "2" + " 0" * 11],
    "euroc": ["1,2,3", "1.5,0,0,0,1,0,0,0", "7,0,0,x,1,0,0,0"],
    "maplab": ["1, 2, 3", "x, 2, 0, 0, 0, 0, 0, 0, 1, 0", "1, 2, 0, 0, y, 0, 0, 0, 1, 0"],
    "colmap": ["7 1 0 0 0 1 2 3 1", "7 1 0 0 x 1 2 3 1 a.jpg"],
    "csv-table": ["a, 1, 2", "a, x, 0, 0, , , , , , , ,", "a, 1, 0, 0, , , , , , 5.5, ,",
                  "a,1,0,0,,,,,z,,,", f"a,1,0,0,,,,,,{'9' * 5000},,"],
    "coordinates": ["1", "1 2 3", "1 x"],
    "g2o": ["VERTEX_SE2 1 2", "VERTEX_SE2 x 1 2 3", "VERTEX_SE2 1 2 3 y"],
    "hloc": ["a.jpg 1 0 0 0 1 2", "a.jpg 1 0 0 0 1 2 z"],
    "nclt": ["1,2,3", "1,0,0,0,0,0,x", "1e999999999,0,0,0,0,0,0"],
    "odm": ["c.jpg 1", "c.jpg 1 y"],
    "tartanair": ["1 2 3", "0 0 0 x 0 0 1"],
}  # fmt: skip


@pytest.mark.parametrize("guess", [False, True])
def test_malformed_lines_are_named(tmp_path: Path, kind: str, guess: bool) -> None:
    name, text = FILES[kind]
    line = text.count("\n") + 1
    text = text.replace("#timestamp [ns]", "#time of day") if kind == "euroc" else text
    for bad in BAD_LINES[kind]:
        (tmp_path / name).write_text(text + bad + "\n")
        with pytest.raises(PoseError, match=rf"{name}:{line}: ") as raised:
            read_poses(tmp_path / name, None if guess and kind != "euroc" else kind)
        assert len(str(raised.value)) < 400


NO_POSE = {
    "tum": ["1 nan 0 0 0 0 0 1", "1 nan nan nan nan nan nan nan"],
    "kitti": ["1 0 0 nan 0 1 0 0 0 0 1 0"],
    "euroc": ["7,inf,0,0,1,0,0,0"],
    "maplab": ["1, 2, nan, 0, 0, 0, 0, 0, 1, 0"],
    "colmap": ["7 1 0 0 0 nan 2 3 1 a.jpg", "7 0 0 0 0 1 2 3 1 a.jpg"],
    "csv-table": ["a, nan, 2, 3, , , , , , , ,"],
    "coordinates": ["1 nan", "inf 2"],
    "g2o": ["VERTEX_SE2 1 nan 0 0"],
    "hloc": ["c.jpg 0 0 0 0 1 2 3", "c.jpg 1 0 0 0 nan 2 3"],
    "nclt": ["1,nan,nan,nan,nan,nan,nan"],
    "odm": ["c.jpg nan nan", "c.jpg 0 0"],
    "tartanair": ["nan 0 0 0 0 0 1"],
}
NO_ROTATION = {
    "tum": "1 5 0 0 0 0 0 0",
    "euroc": "7,5,0,0,0,0,0,0",
    "maplab": "1, 2, 5, 0, 0, 0, 0, 0, 0, 0",
    "csv-table": "a, 5, 2, 3, 0, 0, nan, 0, , , ,",
    "g2o": "VERTEX_SE3:QUAT 9 5 0 0 0 0 0 0",
    "nclt": "1,5,0,0,nan,nan,nan",
    "tartanair": "5 0 0 0 0 0 0",
}


def test_rows_without_a_pose_are_left_out_and_counted(tmp_path: Path, kind: str) -> None:
    name, text = FILES[kind]
    line = text.count("\n") + 1
    count = len(read_with(tmp_path / name, text).records)
    for bad in NO_POSE[kind]:
        table = read_with(tmp_path / name, f"{text}{bad}\n")
        assert len(table.records) == count
        where = "" if kind == "colmap" else f" (first line {line})"
        assert f"1 rows hold no finite pose and are left out{where}" in table.notes[-1]
    if kind in NO_ROTATION:
        table = read_with(tmp_path / name, f"{text}{NO_ROTATION[kind]}\n")
        assert (table.records[-1].pose.x, table.records[-1].pose.quaternion) == (5, None)
        assert "1 rows hold no rotation; their positions are used" in table.notes[-1]


def read_with(path: Path, text: str) -> PoseTable:
    path.write_text(text)
    return read_poses(path)


def test_a_file_of_rows_without_poses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PoseError, match=r"holds no poses; 2 rows hold no finite pose"):
        read_with(tmp_path / "t.txt", "1 nan 0 0 0 0 0 1\n2 nan 0 0 0 0 0 1\n")


S = 1403636579
RELATIVES = {
    "rtabmap": "#timestamp x y z qx qy qz qw id\n{s} {p} {q} 7\n",
    "rtabmap without a header": "{s} {p} {q} 7\n",
    "openvins": "# timestamp(s) tx ty tz qx qy qz qw Pr11 Pr12\n{s} {p} {q} 0.1 0.2\n",
    "covariances without a header": "{s} {p} {q}" + " 0.1" * 12 + "\n",
    "header without #": "timestamp tx ty tz qx qy qz qw\n{s} {p} {q}\n",
    "header nobody knows": "when a b c d e f g\n{s} {p} {q}\n",
    "commas": "timestamp,tx,ty,tz,qx,qy,qz,qw\n{s},{p_},{q_}\n",
    "commas without a header": "{s},{p_},{q_}\n",
    "semicolons, commas as points": "time;x;y;z;qx;qy;qz;qw\n{;}\n",
    "tabs and quotes": '"time [s]"\t"x"\t"y"\t"z"\t"qx"\t"qy"\t"qz"\t"qw"\n{t}\n',
    "w first, by name": "# t x y z qw qx qy qz\n{s} {p} {w}\n",
    "ORB-SLAM3": "{ns} {p} {q}\n",
    "ORB-SLAM3 with a point": "{ns}.000000 {p} {q}\n",
    "milliseconds": "{ms} {p} {q}\n",
    "units": "time_ms,x_mm,y [cm],z (m),qx,qy,qz,qw\n{ms},1500,-225,3,{q_}\n",
    "VINS": "{ns},{p_},{w_},0.1,0,0,\n",
    "VINS loop": "{ns},{p_},{w_},\n",
    "rostopic echo -p": "%time,field.header.seq,field.header.stamp,field.pose.pose.position.x,"
    "field.pose.pose.position.y,field.pose.pose.position.z,field.pose.pose.orientation.x,"
    "field.pose.pose.orientation.y,field.pose.pose.orientation.z,field.pose.pose.orientation.w\n"
    "{ns},1,{ns},{p_},{q_}\n",
    "sec and nsec": "secs,nsecs,x,y,z,qx,qy,qz,qw\n1403636579,763000000,{p_},{q_}\n",
    "EuRoC without units": "#timestamp, p_RS_R_x, p_RS_R_y, p_RS_R_z, q_RS_w, q_RS_x, q_RS_y, "
    "q_RS_z\n{ns},{p_},{w_}\n",
    "16 numbers and a stamp": "{ns} {rows} 0 0 0 1\n",
    "MulRan": "{ns},{rows_}\n",
}


@pytest.mark.parametrize("relative", sorted(RELATIVES))
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_relatives_of_formats(tmp_path: Path, relative: str, encoding: str) -> None:
    numbers = ["1403636579.763", "1.5", "-2.25", "3", *(f"{q:.9f}" for q in (QX, QY, QZ, QW))]
    parts = {
        "s": numbers[0],
        "ms": "1403636579763",
        "ns": "1403636579763000000",
        "p": "1.5 -2.25 3",
        "q": f"{QX} {QY} {QZ} {QW}",
        "w": f"{QW} {QX} {QY} {QZ}",
        "rows": ROWS,
        ";": ";".join(numbers).replace(".", ","),
        "t": "\t".join(numbers),
    }
    parts |= {f"{key}_": parts[key].replace(" ", ",") for key in ("p", "q", "w", "rows")}
    text = RELATIVES[relative]
    for key, value in parts.items():
        text = text.replace("{" + key + "}", value)
    (tmp_path / "poses.csv").write_bytes(text.encode(encoding))
    (record,) = read_poses(tmp_path / "poses.csv").records
    assert record.stamp == 1403636579763000000
    np.testing.assert_allclose(record.pose.matrix(), TRUE.matrix(), atol=1e-6)


@pytest.mark.parametrize(
    ("text", "stamps"),
    [
        ("1.5 1 2 3\n2.5 2 2 3\n", [1.5, 2.5]),
        (f"{S}000000000,1,2,3\n{S}500000000,2,2,3\n", [S, S + 0.5]),
        ("#timestamp [ns], p_RS_R_x [m], p_RS_R_y [m], p_RS_R_z [m]\n5,1,2,3\n", [5e-9]),
        ("stamp,x,y\n33000000,1,2\n66000000,2,2\n99000000,2,2\n", [0.033, 0.066, 0.099]),
    ],
)
def test_positions_alone(tmp_path: Path, text: str, stamps: list[float]) -> None:
    records = read_with(tmp_path / "p.txt", text).records
    assert [record.stamp for record in records] == [round(stamp * 1e9) for stamp in stamps]
    assert (records[0].pose.x, records[0].pose.y, records[0].pose.quaternion) == (1, 2, None)


def test_cambridge_landmarks(tmp_path: Path) -> None:
    """x y z is the centre of the camera, and the quaternion turns the world into it."""
    for header in (
        "Visual Landmark Dataset V1\nImageFile, Camera Position [X Y Z W P Q R]\n\n",
        "",
    ):
        text = f"{header}seq1/frame00001.png 1.5 -2.25 3 {QW} {-QX} {-QY} {-QZ}\n"
        (record,) = read_with(tmp_path / "dataset_train.txt", text).records
        assert record.name == "seq1/frame00001.png"
        np.testing.assert_allclose(record.pose.matrix(), TRUE.matrix(), atol=1e-9)


@pytest.mark.parametrize("line", ["VERTEX_SE2 3 1 2 0.5", "VERTEX2 3 1 2 0.5",
                                  "VERTEX3 3 1 2 0 0 0 0.5"])  # fmt: skip
def test_pose_graphs_in_the_plane(tmp_path: Path, line: str) -> None:
    text = f"FIX 0\n{line}\nEDGE_SE2 0 1 1 0 0 1 0 0 1 0 1\n"
    (record,) = read_with(tmp_path / "g.txt", text).records
    assert (record.vertex_id, record.pose.x, record.pose.y) == (3, 1, 2)
    assert record.pose.yaw == pytest.approx(0.5)


def colmap_binary(images: list[tuple[str, list[float]]]) -> bytes:
    """``images.bin`` as COLMAP writes it."""
    content = struct.pack("<Q", len(images))
    for i, (name, values) in enumerate(images):
        content += struct.pack("<I7dI", i + 1, *values, 1) + name.encode() + b"\0"
        content += struct.pack("<Q", i) + struct.pack("<ddQ", 1.0, 2.0, 2**64 - 1) * i
    return content


@pytest.mark.parametrize("where", ["", "sparse/0", "0", "sparse"])
def test_a_binary_colmap_model(tmp_path: Path, where: str) -> None:
    pose = [QW, -QX, -QY, -QZ, *(-R.T @ T).tolist()]
    content = colmap_binary([("db/a.jpg", pose), ("ü b.jpg", [1, 0, 0, 0, 1, 2, 3])])
    folder = tmp_path / where
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "images.bin").write_bytes(content)
    for path in (tmp_path, folder / "images.bin"):
        first, second = read_poses(path).records
        assert (first.name, second.name) == ("db/a.jpg", "ü b.jpg")
        np.testing.assert_allclose(first.pose.matrix(), TRUE.matrix(), atol=1e-9)
        assert second.pose.position.tolist() == [-1, -2, -3]
    for cut in (3, 40, 90, len(content) - 3):
        (folder / "images.bin").write_bytes(content[:cut])
        with pytest.raises(PoseError, match=r"images\.bin: cut short or no COLMAP model"):
            read_poses(tmp_path)


@pytest.mark.parametrize("kind_of_file", ["pipe", "device"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind_of_file: str) -> None:
    path = Path("/dev/zero")
    if kind_of_file == "pipe":
        path = tmp_path / "poses.csv"
        os.mkfifo(path)
    with pytest.raises(PoseError, match=r"it is a (pipe|device); give a file"):
        read_poses(path)


YAWS = {
    "yaw": ([0, 90, 180, 270], [0, 90, 180, -90], "yaw reaches 270, more than a turn"),
    "yaw_deg": ([0, 3, 5, 6], [0, 3, 5, 6], ""),
    "yaw [deg]": ([0, 3, 5, 6], [0, 3, 5, 6], ""),
    "yaw (rad)": ([0, 1, -1, 3], [0, 57.296, -57.296, 171.887], ""),
    "theta": ([0, 1, -1, 3], [0, 57.296, -57.296, 171.887], ""),
    "heading": ([0, 90, 180, 270], [90, 0, -90, 180], ""),
    "bearing": ([0, 1, 2, 6], [90, 89, 88, 84], "bearing is at most 6: read as degrees; if"),
    "heading_rad": ([0, 1, 2, 6], [90, 32.704, -24.592, 106.225], ""),
}


@pytest.mark.parametrize("column", sorted(YAWS))
def test_angles_without_a_unit(tmp_path: Path, column: str) -> None:
    written, degrees, note = YAWS[column]
    rows = "".join(f"{i}.jpg,{i},0,{yaw}\n" for i, yaw in enumerate(written))
    table = read_with(tmp_path / "p.csv", f"name,x,y,{column}\n{rows}")
    found = [math.degrees(record.pose.yaw) for record in table.records]
    assert [(a - b + 180) % 360 - 180 for a, b in zip(found, degrees, strict=True)] == (
        pytest.approx([0] * 4, abs=1e-2)
    )
    assert [note in text for text in table.notes] == [True] * bool(note)


@pytest.mark.parametrize(("column", "value"), [("yaw", 400), ("yaw_rad", 7), ("heading", -361)])
def test_angles_beyond_a_turn_are_refused(tmp_path: Path, column: str, value: float) -> None:
    with pytest.raises(PoseError, match=rf"p\.csv: {column} reaches \d+, which is more th"):
        read_with(tmp_path / "p.csv", f"name,x,y,{column}\na,1,2,{value}\n")


@pytest.mark.parametrize(
    "header", ["image,latitude,longitude", "filename;lon;lat", "stamp lat[deg] lng[deg]",
               "name,lat_rad,lon_rad", "SourceFile,GPSLatitude,GPSLongitude"],
)  # fmt: skip
def test_degrees_of_latitude_and_longitude(tmp_path: Path, header: str) -> None:
    mark = next((m for m in ",; " if m in header), ",")
    rows = ""
    for i in range(3):
        lat, lon = 46.0 + 0.001 * i, 6.6
        if "rad" in header:
            lat, lon = math.radians(lat), math.radians(lon)
        pair = (lon, lat) if "lon;lat" in header else (lat, lon)
        rows += mark.join([f"{i}", *(f"{v:.10f}" for v in pair)]) + "\n"
    table = read_with(tmp_path / "p.csv", f"{header}\n{rows}")
    poses = [record.pose for record in table.records]
    assert [pose.frame_id for pose in poses] == ["geo:46.001,6.6"] * 3
    np.testing.assert_allclose([pose.y for pose in poses], [-111.15, 0, 111.15], atol=0.05)


def test_latitudes_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(PoseError, match=r"p\.csv:2: a latitude of 465200 is beyond 90 degrees"):
        read_with(tmp_path / "p.csv", "name,lat,lon\na,465200,6\n")
    text = "name,lat,lon,heading\na,46.0,6.0,90\nb,0,0,90\nc,,,\n"
    table = read_with(tmp_path / "p.csv", text)
    assert [(r.name, r.pose is None) for r in table.records] == [("a", False), ("c", True)]
    assert table.records[0].pose.yaw == pytest.approx(0, abs=1e-6)
    assert "1 rows hold no finite pose" in table.notes[0]


def test_eastings_are_metres(tmp_path: Path) -> None:
    text = "filename,easting,northing,heading\na.jpg,500000,4649776.2,90\n"
    (record,) = read_with(tmp_path / "p.csv", text).records
    assert (record.pose.x, record.pose.y, record.pose.frame_id) == (500000, 4649776.2, "utm")
    assert record.pose.yaw == pytest.approx(0)


def test_an_ins_has_its_yaw_clockwise_from_north(tmp_path: Path) -> None:
    """RobotCar's ins.csv: microseconds; north, east, down."""
    header = "timestamp,ins_status,latitude,longitude,altitude,northing,easting,down,roll,pitch,yaw"
    row = "1418132416737115,INS_SOLUTION_GOOD,51.76,-1.26,113,5735843.5,619999.25,-113,0,0,1.570796"
    (record,) = read_with(tmp_path / "ins.csv", f"{header}\n{row}\n").records
    assert record.stamp == 1418132416737115000
    assert (record.pose.x, record.pose.y) == (619999.25, 5735843.5)
    assert record.pose.yaw == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    "projection", ["WGS84 UTM 32N", "EPSG:32632", "+proj=utm +zone=32 +ellps=WGS84 +datum=WGS84"]
)
def test_geolocation_files_in_utm(tmp_path: Path, projection: str) -> None:
    """500000 is on the meridian of 9 degrees east, and grid and true distances differ by 1/2500."""
    text = f"{projection}\na.jpg 500000 5150000\nb.jpg 500000 5151000\n"
    first, second = (r.pose for r in read_with(tmp_path / "geo.txt", text).records)
    assert first.frame_id.endswith(",9")
    assert second.y - first.y == pytest.approx(1000 / 0.9996, abs=1e-3)


def test_another_projection_needs_pyproj(tmp_path: Path) -> None:
    text = "EPSG:2056\na.jpg 2600000 1200000\nb.jpg 2600100 1200000\n"
    try:
        import pyproj  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match=r"EPSG:2056 .*placememory\[geo\]"):
            read_with(tmp_path / "geo.txt", text)
        return
    first, second = (r.pose for r in read_with(tmp_path / "geo.txt", text).records)
    assert second.x - first.x == pytest.approx(100, abs=0.01)


def test_metres_that_look_like_degrees_are_noted(tmp_path: Path) -> None:
    rows = "".join(f"{i}.jpg,{6.6 + i / 1e4:.6f},{46.5 + i / 1e4:.6f}\n" for i in range(5))
    assert (
        "x and y span 0.0004 m: if they are degrees"
        in (read_with(tmp_path / "p.csv", f"name,x,y\n{rows}").notes[0])
    )
    rows = "".join(f"{i}.jpg,{6.6 + i:.6f},{46.5 + i:.6f}\n" for i in range(5))
    assert read_with(tmp_path / "p.csv", f"name,x,y\n{rows}").notes == ()


def test_files_that_hold_no_poses(tmp_path: Path, kind: str) -> None:
    name, text = FILES[kind]
    header = "".join(line for line in text.splitlines(True)[:1] if not line[0].isdigit())
    bare = kind in ("kitti", "coordinates", "g2o", "hloc", "tartanair", "nclt")
    for content in ("", "# nothing\n", "\n" if bare else header):
        (tmp_path / name).write_text(content)
        with pytest.raises(PoseError, match=r"holds no poses|the first line is a projection"):
            read_poses(tmp_path / name, kind)


@pytest.mark.parametrize(
    ("content", "first", "nearest"),
    [
        (b"", "it is empty", ""),
        (b"hello\n", "its first line is 'hello'", "csv-table"),
        (b"1 2 3\n", "its first line is '1 2 3'", "coordinates"),
        (b"a,b,c\n1,2,3\n", "its first line is 'a,b,c'", "csv-table"),
        (b"1 2 3 4 5 6\n", "its first line is '1 2 3 4 5 6'", "tartanair"),
        (b"# who\na.jpg 1 2\n", "its first line is 'a.jpg 1 2'", "hloc"),
    ],
)
def test_files_of_no_known_format(tmp_path: Path, content: bytes, first: str, nearest: str) -> None:
    (tmp_path / "poses.dat").write_bytes(content)
    with pytest.raises(PoseError, match=r"poses\.dat: no known pose format fits; .*tum") as raised:
        read_poses(tmp_path / "poses.dat")
    assert first in str(raised.value)
    assert nearest in str(raised.value).partition("; give the format")[0]


def test_the_example_of_a_format_is_one_of_it() -> None:
    """Or its header; the example of a projection and of a header hold no pose themselves."""
    for name in formats():
        reader = importlib.import_module(f"placememory.frames.poses.{name.replace('-', '_')}")
        assert reader.matches(Path("poses.dat"), [reader.EXAMPLE]), name


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\xff\x00\x01")
    for path in (tmp_path / "binary.txt", tmp_path / "missing.txt", tmp_path):
        with pytest.raises(PoseError, match=f"{path}: (cannot be read|it is a folder)"):
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
    stamps = ["1403636579.763555585", "1403636579.763555584", "12", "0.000000001"]
    path.write_text("stamp,x,y\n" + "".join(f"{stamp},0,0\n" for stamp in stamps))
    assert [r.stamp for r in read_poses(path).records] == [NS + 1, NS, 12 * 10**9, 1]
    path.write_text(f"stamp,x,y\n1403636579.7,0,0\n1403636579.8,0,0\n{NS},0,0\n")
    with pytest.raises(PoseError, match=rf"p.*csv: {NS} is no stamp in seconds, as the others"):
        read_poses(path)


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
