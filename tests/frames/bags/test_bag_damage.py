"""Damaged bags: our error says what to do, and what lies before the damage is read."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from placememory.errors import BagError, ImageError, InputError
from placememory.frames import list_frames, read_bag_info, read_bag_poses, stream_bag
from placememory.frames.bags.storage import WholeRecords
from tests.frames.bags.write import KINDS, ROS2, START, Messages, drive, pixels, write_bag

RAW = pixels(0, 300, 400)  # chunks are of a megabyte, so that there are several
COUNT = 24


def big_mcap(folder: Path) -> Path:
    """A file of several chunks."""
    made = Messages("mcap")
    with Writer(folder / "big", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        camera = writer.add_connection("/c", "sensor_msgs/msg/Image", typestore=ROS2)
        odom = writer.add_connection("/odom", "nav_msgs/msg/Odometry", typestore=ROS2)
        for i in range(COUNT):
            image = made.rgb(START + i, np.roll(RAW, i, axis=0))
            writer.write(camera, START + i, ROS2.serialize_cdr(image, image.__msgtype__))
            moved = made.odometry(START + i, float(i), 0.0, 0.0)
            writer.write(odom, START + i, ROS2.serialize_cdr(moved, moved.__msgtype__))
    return folder / "big" / "big.mcap"


def cut(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path


def collect(path: Path, into: list[int]) -> None:
    for frame in stream_bag(path):
        into.append(frame.index)


@pytest.mark.parametrize("share", [0.5, 0.99])
@pytest.mark.parametrize("folder", [False, True])
def test_a_cut_mcap_is_read_up_to_the_cut(tmp_path: Path, share: float, folder: bool) -> None:
    path = big_mcap(tmp_path)
    cut(path, int(path.stat().st_size * share))
    if folder:
        (path.parent / "metadata.yaml").unlink()
        path = path.parent
    with pytest.raises(BagError, match=r"end is missing or damaged .*`mcap recover big.mcap -o"):
        list_frames(path)
    told: list[BagError] = []
    frames = list_frames(path, on_damage=told.append)
    assert len(told) == 1
    assert "messages can be read, the last" in str(told[0])
    assert COUNT * share * 0.6 < len(frames) < COUNT + (share > 0.9)
    for i in (0, len(frames) - 1, 3):
        np.testing.assert_array_equal(frames[i].image(), np.roll(RAW, i, axis=0))
    streamed: list[int] = []
    with pytest.raises(BagError, match="end is missing"):
        collect(path, streamed)
    assert streamed == list(range(len(frames)))
    poses = read_bag_poses(path, on_damage=told.append)
    assert poses.at(START + 2).x == 2.0
    with pytest.raises(BagError, match="end is missing"):
        read_bag_poses(path)


def test_an_mcap_whose_summary_is_garbage(tmp_path: Path) -> None:
    path = big_mcap(tmp_path)
    data = bytearray(path.read_bytes())
    data[-28:-20] = struct.pack("<Q", 2**60)
    path.write_bytes(data)
    told: list[BagError] = []
    assert len(list_frames(path, on_damage=told.append)) == COUNT
    assert len(told) == 1


def test_an_mcap_that_is_damaged_inside(tmp_path: Path) -> None:
    path = big_mcap(tmp_path)
    data, at, chunks = bytearray(path.read_bytes()), 8, []
    while at + 9 < len(data):
        if data[at] == 0x06:
            chunks.append(at)
        at += 9 + struct.unpack_from("<Q", data, at + 1)[0]
    assert len(chunks) > 3
    data[chunks[2] + 9 + 24] ^= 0xFF  # the checksum of the third chunk
    path.write_bytes(data)
    told: list[BagError] = []
    frames = list_frames(path, on_damage=told.append)
    assert 0 < len(frames) < COUNT
    assert "damaged after what was read so far" in str(told[0])
    np.testing.assert_array_equal(frames[-1].image(), np.roll(RAW, len(frames) - 1, axis=0))


@pytest.mark.parametrize("size", [0, 5, 9, 60, 200])
def test_an_mcap_of_which_nothing_is_left(tmp_path: Path, size: int) -> None:
    path = cut(big_mcap(tmp_path), size)
    with pytest.raises(BagError, match=r"cannot open the bag .*mcap recover"):
        list_frames(path, on_damage=lambda error: None)


def test_whole_records_can_be_read_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    record = b"\x05" + struct.pack("<Q", 3) + b"abc"
    path.write_bytes(b"\x89MCAP0\r\n" + record + record + record[:-1])
    whole = WholeRecords(path)
    assert (whole.length, whole.lost, str(whole)) == (32, 11, str(path))
    with whole.open() as file:
        data = file.read()
        assert data[:32] == path.read_bytes()[:32]
        assert file.seek(-8, 2) == len(data) - 8
        assert file.read() == b"\x89MCAP0\r\n"
        assert file.seek(30) == 30
        assert file.read(4) == data[30:34]
        assert (file.seek(-4, 1), file.tell()) == (30, 30)


@pytest.mark.parametrize("share", [0.0, 0.002, 0.1, 0.5, 0.9, 0.999])
def test_a_cut_ros1_bag(tmp_path: Path, share: float) -> None:
    path = drive(tmp_path / "r", "ros1").path
    cut(path, int(path.stat().st_size * share))
    with pytest.raises(BagError, match=r"r\.bag: cannot open the bag .*`rosbag reindex r.bag`"):
        list_frames(path)


def test_a_ros1_bag_without_index(tmp_path: Path) -> None:
    """As the recorder leaves it when it is killed."""
    path = drive(tmp_path / "r", "ros1").path
    data = path.read_bytes()
    at = data.index(b"index_pos=") + 10
    path.write_bytes(data[:at] + bytes(8) + data[at + 8 :])
    with pytest.raises(BagError, match=r"not indexed.*`rosbag reindex r.bag`"):
        list_frames(path)


def test_a_ros1_bag_that_is_still_being_written(tmp_path: Path) -> None:
    path = drive(tmp_path / "r", "ros1").path
    path = path.rename(tmp_path / "r.bag.active")
    with pytest.raises(BagError, match=r"did not finish it; run `rosbag reindex r.bag.active`"):
        list_frames(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_cut_sqlite_bag(tmp_path: Path, share: float) -> None:
    path = drive(tmp_path / "s", "sqlite").path
    file = path / "s.db3"
    cut(file, int(file.stat().st_size * share))
    with pytest.raises(BagError, match=r"s: cannot open the bag .*sqlite3 s.db3 .recover"):
        list_frames(path)


def test_messages_left_in_the_log_of_sqlite(tmp_path: Path) -> None:
    path = drive(tmp_path / "s", "sqlite").path
    (path / "s.db3-wal").write_bytes(b"x" * 100)
    with pytest.raises(BagError, match=r"s\.db3-wal holds messages .*wal_checkpoint"):
        list_frames(path)
    assert len(list_frames(path, on_damage=lambda error: None)) == 12


@pytest.mark.parametrize("text", ["", "nonsense: [", "rosbag2_bagfile_information: {}"])
def test_metadata_that_is_garbage(tmp_path: Path, text: str) -> None:
    path = drive(tmp_path / "s", "sqlite").path
    (path / "metadata.yaml").write_text(text)
    with pytest.raises(BagError, match=r"cannot open the bag"):
        read_bag_info(path)


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_overwritten_anywhere_give_frames_or_our_errors(tmp_path: Path, kind: str) -> None:
    whole = drive(tmp_path / "whole", kind).path
    file = whole if whole.is_file() else next(whole.glob("whole.*"))
    data, random = file.read_bytes(), np.random.default_rng(3)
    for i in range(60):
        damaged = bytearray(data)
        for _ in range(1 + i % 4):
            at = int(random.integers(0, len(data) - 8))
            damaged[at : at + 8] = random.bytes(8)
        if i % 3 == 0:
            damaged = damaged[: int(random.integers(0, len(data)))]
        path = tmp_path / f"bad{file.suffix}"
        path.write_bytes(damaged)
        try:
            frames = list_frames(path, topic="/camera/image_raw", on_damage=lambda error: None)
            read_bag_poses(path, "/tf", on_damage=lambda error: None)
        except InputError:
            continue
        for frame in frames:
            with contextlib.suppress(ImageError):
                assert frame.image().shape[2] == 3


def test_packed_files_that_are_garbage(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "p_0.mcap.zstd").touch()
    for path in (tmp_path / "p", tmp_path / "p" / "p_0.mcap.zstd"):
        with pytest.raises(BagError, match=r"p_0\.mcap\.zstd cannot be unpacked"):
            list_frames(path)


@pytest.mark.parametrize("name", ["a.mcap", "a.bag", "a.db3"])
def test_files_that_are_no_bags(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"garbage" * 1000)
    with pytest.raises(BagError, match=rf"{name}: cannot open the bag"):
        list_frames(tmp_path / name)


@pytest.mark.parametrize("kind", KINDS)
def test_one_message_that_is_garbage_costs_no_other(tmp_path: Path, kind: str) -> None:
    made = Messages(kind)
    rows = [("/c", START + i, made.rgb(START + i, pixels(i))) for i in range(5)]
    rows += [("/odom", START + i, made.odometry(START + i, 1.0 * i, 0.0, 0.0)) for i in range(5)]
    path = write_bag(tmp_path / "a", kind, rows, spoil=(2, 7))
    frames = list_frames(path)
    streamed = list(stream_bag(path))
    for frame in (frames[2], streamed[2]):
        assert frame.stamp == START + 2
        with pytest.raises(ImageError, match=r"#000002 \(/c\): cannot read the image .* is no sen"):
            frame.image()
    for i in (0, 1, 3, 4):
        np.testing.assert_array_equal(frames[i].image(), pixels(i))
    with pytest.raises(BagError, match=r"a message of /odom is no nav_msgs"):
        read_bag_poses(path)
    told: list[BagError] = []
    assert [p.x for p in read_bag_poses(path, on_damage=told.append).poses] == [0.0, 1.0, 3.0, 4.0]
    assert len(told) == 1
