"""Bags as people have them: edited metadata, broken definitions, split files, names, topics."""

from __future__ import annotations

import shutil
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_types_from_msg

from placememory.errors import BagError, ImageError
from placememory.frames import list_frames, read_bag_info, read_bag_poses, stream_bag
from placememory.frames.bags import bag_to_join, is_bag, list_bag, pose_topics
from tests.frames.bags.write import ROS2, SECOND, START, Messages, drive, pixels, write_bag

COUNT = 6
PACKET = get_types_from_msg(
    "std_msgs/Header header\nint32 width\nint32 height\nstring encoding\nuint64 pts\nuint8 flags\n"
    "bool is_bigendian\nuint8[] data",
    "ffmpeg_image_transport_msgs/msg/FFMPEGPacket",
)
if "ffmpeg_image_transport_msgs/msg/FFMPEGPacket" not in ROS2.fielddefs:
    ROS2.register(PACKET)


def check_drive(path: Path, count: int = COUNT) -> None:
    frames = list_frames(path, topic="/camera/image_raw")
    assert len(frames) == count
    for i in (0, count - 1, 2):
        np.testing.assert_array_equal(frames[i].image(), pixels(i))
    assert (
        read_bag_info(path).find_topic("/odom", ("nav_msgs/msg/Odometry",), "").count == count + 1
    )
    assert read_bag_poses(path, "/odom").span is not None


def edit(path: Path, *changes: tuple[str, str]) -> None:
    text = (path / "metadata.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (path / "metadata.yaml").write_text(text)


QOS = "offered_qos_profiles: "


@pytest.mark.parametrize("kind", ["sqlite", "mcap"])
@pytest.mark.parametrize("packed", [None, "FILE", "MESSAGE"])
def test_metadata_with_another_quality_of_service(
    tmp_path: Path, kind: str, packed: str | None
) -> None:
    made = Messages(kind)
    if packed == "MESSAGE" and kind == "mcap":
        pytest.skip("MCAP packs chunks")
    rows: list[tuple[str, int, Any]] = []
    for i in range(COUNT + 1):
        rows.append(("/odom", START + i, made.odometry(START + i, 0.1 * i, 0.0, 0.0)))
        if i < COUNT:
            rows.append(("/camera/image_raw", START + i, made.rgb(START + i, pixels(i))))
    path = write_bag(tmp_path / "a", kind, rows, packed)
    other = (
        "[{history: 1, depth: 1, reliability: 1, durability: 1, deadline: {sec: 9, nsec: 0}, "
        "lifespan: {sec: 9, nsec: 0}, liveliness: 1, liveliness_lease_duration: {sec: 9, nsec: 0}, "
        "avoid_ros_namespace_conventions: false}]"
    )
    edit(path, (f"{QOS}[]", f"{QOS}{other}"))
    check_drive(path)


@pytest.mark.parametrize("kind", ["sqlite", "mcap"])
def test_fewer_messages_than_the_metadata_counts(tmp_path: Path, kind: str) -> None:
    path = drive(tmp_path / "a", kind, COUNT).path
    edit(path, (f"message_count: {COUNT}\n", f"message_count: {COUNT + 20}\n"))
    for read in (lambda: list_frames(path), lambda: list(stream_bag(path))):
        with pytest.raises(BagError, match=r"/camera/image_raw there are 26 messages by metadata"):
            read()
    assert len(read_bag_poses(path, "/odom").poses) == COUNT + 1
    told: list[BagError] = []
    assert len(list_frames(path, on_damage=told.append)) == COUNT
    assert len(told) == 1


def test_a_topic_that_is_in_the_metadata_alone(tmp_path: Path) -> None:
    path = drive(tmp_path / "a", "mcap", COUNT).path
    edit(path, ("name: /odom", "name: /gone"))
    with pytest.raises(BagError, match=r"/gone there are 7 messages by metadata.yaml, and 0"):
        list_frames(path)


def test_a_file_that_the_metadata_names_and_is_not_there(tmp_path: Path) -> None:
    path = drive(tmp_path / "a", "mcap", COUNT).path
    shutil.move(path / "a.mcap", path / "b.mcap")
    with pytest.raises(BagError, match=r"metadata.yaml names a.mcap, which is not there"):
        list_frames(path)
    (path / "metadata.yaml").unlink()
    check_drive(path)


DEFINITIONS = {
    "a service": "=" * 80 + "\nSRV: example/AddTwoInts\nint64 a\nint64 b\n---\nint64 sum\n",
    "empty": "",
    "garbage": "\x00 no definition ] {",
    "unknown types": "other_msgs/Thing thing\n",
}


@pytest.mark.parametrize("what", DEFINITIONS)
@pytest.mark.parametrize("kind", ["sqlite", "mcap"])
def test_a_definition_that_cannot_be_read_costs_no_other_topic(
    tmp_path: Path, kind: str, what: str
) -> None:
    made = Messages(kind)
    plugin = StoragePlugin.MCAP if kind == "mcap" else StoragePlugin.SQLITE3
    with Writer(tmp_path / "a", version=9, storage_plugin=plugin) as writer:
        events = writer.add_connection(
            "/add/_service_event", "example/srv/AddTwoInts_Event", msgdef=DEFINITIONS[what],
            rihs01="RIHS01_" + "0" * 64,
        )  # fmt: skip
        camera = writer.add_connection("/c", "sensor_msgs/msg/Image", typestore=ROS2)
        for i in range(COUNT):
            writer.write(events, START + i, b"\0\1\0\0" + bytes(20))
            image = made.rgb(START + i, pixels(i))
            writer.write(camera, START + i, ROS2.serialize_cdr(image, image.__msgtype__))
    frames = list_frames(tmp_path / "a")
    for i, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image(), pixels(i))
    assert len(frames) == COUNT
    assert {topic.name for topic in read_bag_info(tmp_path / "a").topics} == {
        "/c",
        "/add/_service_event",
    }


def rows_of(first: int, count: int) -> list[tuple[str, int, Any]]:
    made = Messages("ros1")
    stamps = [START + i * SECOND // 10 for i in range(first, first + count)]
    return [
        ("/c", stamp, made.rgb(stamp, pixels(i))) for i, stamp in enumerate(stamps, start=first)
    ]


@pytest.mark.parametrize("names", [("run_0", "run_1", "run_2"), ("b_10", "b_9", "b_2")])
def test_a_folder_of_split_ros1_bags(tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = tmp_path / "split"
    folder.mkdir()
    for i, name in enumerate(names):
        write_bag(folder / name, "ros1", rows_of(3 * i, 3))
    frames = list_frames(folder)
    assert [frame.name for frame in frames] == [f"split#{i:06d}" for i in range(9)]
    for i in (0, 8, 4):
        np.testing.assert_array_equal(frames[i].image(), pixels(i))
    assert [frame.stamp for frame in stream_bag(folder)] == [frame.stamp for frame in frames]
    assert [b.stamp - a.stamp for a, b in pairwise(frames)] == [SECOND // 10] * 8


def test_a_folder_of_images_with_a_ros1_bag_is_one_of_images(tmp_path: Path) -> None:
    write_bag(tmp_path / "a", "ros1", rows_of(0, 3))
    assert is_bag(tmp_path)
    (tmp_path / "photo.JPG").touch()
    assert not is_bag(tmp_path)
    (tmp_path / "photo.JPG").unlink()
    (tmp_path / "images").mkdir()
    assert not is_bag(tmp_path)


@pytest.mark.parametrize(
    ("kind", "name"), [("ros1", "RUN.BAG"), ("mcap", "RUN.MCAP"), ("sqlite", "Run.Db3")]
)
def test_suffixes_in_capitals(tmp_path: Path, kind: str, name: str) -> None:
    path = drive(tmp_path / "a", kind, COUNT).path
    file = path if path.is_file() else next(path.glob("a.*"))
    shutil.copy(file, tmp_path / name)
    check_drive(tmp_path / name)


@pytest.mark.parametrize("kind", ["mcap", "sqlite"])
def test_the_metadata_stands_for_its_folder(tmp_path: Path, kind: str) -> None:
    path = drive(tmp_path / "walk", kind, COUNT).path
    check_drive(path / "metadata.yaml")
    frame = list_frames(path / "metadata.yaml")[0]
    assert (frame.name, frame.session) == ("walk#000000", "walk")
    assert next(iter(stream_bag(path / "metadata.yaml"))).session == "walk"
    assert read_bag_info(path / "metadata.yaml").path == path


@pytest.mark.parametrize(
    ("kind", "packed"), [("sqlite", "MESSAGE"), ("sqlite", "FILE"), ("mcap", "FILE")]
)
def test_compression_without_metadata(tmp_path: Path, kind: str, packed: str) -> None:
    made = Messages(kind)
    rows: list[tuple[str, int, Any]] = [
        ("/camera/image_raw", START + i, made.rgb(START + i, pixels(i))) for i in range(COUNT)
    ]
    rows += [
        ("/odom", START + i, made.odometry(START + i, 0.0, 0.0, 0.0)) for i in range(COUNT + 1)
    ]
    path = write_bag(tmp_path / "a", kind, rows, packed)
    (path / "metadata.yaml").unlink()
    check_drive(path)
    check_drive(next(path.iterdir()))


# Poses.


def posed(made: Messages, name: str, stamp: int, i: int) -> Any:
    if name == "geometry_msgs/PointStamped":
        return made.make(
            name,
            header=made.header(stamp, "map"),
            point=made.make("geometry_msgs/Point", x=0.5 * i, y=1.0, z=0.0),
        )
    if name == "geometry_msgs/PoseArray":
        poses = [made.pose(0.5 * i, 1.0, 0.1 * i)]
        return made.make(name, header=made.header(stamp, "map"), poses=poses)
    poses = [
        made.make(
            "geometry_msgs/PoseStamped",
            header=made.header(stamp - (i - j) * SECOND // 10, "map"),
            pose=made.pose(0.5 * j, 1.0, 0.1 * j),
        )
        for j in range(i + 1)
    ]
    return made.make(name, header=made.header(stamp, "map"), poses=poses)


RARE = ["geometry_msgs/PointStamped", "geometry_msgs/PoseArray", "nav_msgs/Path"]


@pytest.mark.parametrize("kind", ["mcap", "sqlite", "ros1"])
@pytest.mark.parametrize("name", RARE)
def test_paths_arrays_and_points(tmp_path: Path, kind: str, name: str) -> None:
    made = Messages(kind)
    stamps = [START + i * SECOND // 10 for i in range(COUNT)]
    rows = [("/p", stamp, posed(made, name, stamp, i)) for i, stamp in enumerate(stamps)]
    track = bag_to_join(write_bag(tmp_path / "a", kind, rows), "auto")
    assert track is not None
    for i, stamp in enumerate(stamps):
        pose = track.at(stamp)
        assert pose is not None
        assert (pose.x, pose.y, pose.frame_id) == (pytest.approx(0.5 * i), 1.0, "map")
        assert (pose.quaternion is None) == ("Point" in name)


@pytest.mark.parametrize("kind", ["mcap", "sqlite", "ros1"])
def test_satellite_fixes_become_metres(tmp_path: Path, kind: str) -> None:
    made = Messages(kind)
    status = {"status": [0, -1, 2, 0], "latitude": [46.5, 80.0, 46.5001, float("nan")]}
    rows = []
    for i in range(4):
        fields: dict[str, Any] = {"status": status["status"][i], "service": 1}
        message = made.make(
            "sensor_msgs/NavSatFix", header=made.header(START + i, "gps"),
            status=made.make("sensor_msgs/NavSatStatus", **fields),
            latitude=status["latitude"][i], longitude=6.6 + 1e-4 * i, altitude=400.0,
            position_covariance=np.zeros(9), position_covariance_type=0,
        )  # fmt: skip
        rows.append(("/fix", START + i, message))
    track = bag_to_join(write_bag(tmp_path / "a", kind, rows), "auto")
    assert track is not None
    first, last = track.at(START), track.at(START + 2)
    assert track.span == (START, START + 2)  # no fix, and a position that is none, are left out
    assert first.frame_id.startswith("geo:46.5")
    assert last.x - first.x == pytest.approx(2e-4 * 111_320 * np.cos(np.radians(46.5)), rel=0.01)
    assert last.y - first.y == pytest.approx(1e-4 * 111_170, rel=0.01)


def test_they_are_only_taken_by_themselves_where_there_is_nothing_else(tmp_path: Path) -> None:
    made = Messages("mcap")
    rows = [("/odom", START, made.odometry(START, 0.0, 0.0, 0.0))]
    rows += [(f"/{i}", START, posed(made, name, START, 1)) for i, name in enumerate(RARE)]
    path = write_bag(tmp_path / "a", "mcap", rows)
    assert [topic.name for topic in pose_topics(read_bag_info(path))] == ["/odom"]
    assert read_bag_poses(path, "/0").at(START).x == 0.5


def test_a_plan_and_particles_are_no_poses(tmp_path: Path) -> None:
    made = Messages("mcap")
    plan = posed(made, "nav_msgs/Path", START, 4)
    for pose in plan.poses:
        pose.header.stamp.sec = 0
        pose.header.stamp.nanosec = 0
    cloud = posed(made, "geometry_msgs/PoseArray", START, 0)
    cloud.poses.append(cloud.poses[0])
    path = write_bag(tmp_path / "a", "mcap", [("/plan", START, plan), ("/cloud", START, cloud)])
    with pytest.raises(BagError, match=r"/plan.*it is a plan, not a way"):
        read_bag_poses(path, "/plan")
    with pytest.raises(BagError, match=r"/cloud.*has 2 poses without times"):
        read_bag_poses(path, "/cloud")


# Video in messages.


def packets(codec: str, count: int, size: tuple[int, int] = (64, 48)) -> list[tuple[bytes, bool]]:
    av = pytest.importorskip("av", reason="the extra 'video' is not installed")
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = *size, "yuv420p"
    context.time_base, context.gop_size = Fraction(1, 10), 5
    context.options = {"tune": "zerolatency"}
    if codec == "libx265":
        context.options["x265-params"] = "log-level=none"
    found = []
    for i in range(count):
        image = np.full((size[1], size[0], 3), 20 + 10 * i, np.uint8)
        frame = av.VideoFrame.from_ndarray(image, "rgb24")
        frame.pts = i
        found += context.encode(frame)
    found += context.encode(None)
    return [(bytes(packet), packet.is_keyframe) for packet in found]


def level(image: np.ndarray) -> int:
    assert image.shape == (48, 64, 3)
    return round((float(image.mean()) - 20) / 10)


@pytest.mark.parametrize("form", ["packet", "compressed"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_video_in_messages(tmp_path: Path, codec: str, form: str) -> None:
    made, count = Messages("mcap"), 18
    encoding = {"libx264": "h264", "libx265": "hevc"}[codec]
    rows = []
    for i, (data, key) in enumerate(packets(codec, count)):
        message = made.compressed(START + i, data, encoding)
        if form == "packet":
            message = made.make(
                "ffmpeg_image_transport_msgs/FFMPEGPacket", header=message.header, width=64,
                height=48, encoding=codec, pts=i, flags=int(key), is_bigendian=False,
                data=message.data,
            )  # fmt: skip
        rows.append(("/video", START + i, message))
    path = write_bag(tmp_path / "a", "mcap", rows)
    frames = list_bag(path)
    assert [level(frame.image()) for frame in frames] == list(range(count))
    for i in (11, 3, 17, 0, 9, 8):
        assert level(frames[i].image()) == i
    assert [level(frame.image()) for frame in stream_bag(path)] == list(range(count))


def test_packets_of_garbage_and_the_ones_after(tmp_path: Path) -> None:
    made = Messages("mcap")
    found = [data for data, _ in packets("libx264", 12)]
    found[2:5] = [b"garbage" * 9] * 3
    rows = [("/v", START + i, made.compressed(START + i, d, "h264")) for i, d in enumerate(found)]
    frames = list_bag(write_bag(tmp_path / "a", "mcap", rows))
    with pytest.raises(ImageError, match=r"a#000003 \(/v\).*of h264 cannot be decoded.* text"):
        frames[3].image()
    for i in (0, 1, 5, 11):
        assert level(frames[i].image()) == i
