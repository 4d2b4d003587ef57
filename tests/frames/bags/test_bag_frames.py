"""Frames of bags: names, stamps, order, random access, threads, topics."""

from __future__ import annotations

import gc
import re
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from placememory.errors import BagError, ImageError, InputError, MissingExtraError, SettingError
from placememory.frames import list_bag, list_frames, read_ahead, read_bag_info, stream_bag
from placememory.frames.bags import OpenBag, is_bag
from tests.frames.bags.write import KINDS, SECOND, START, Messages, drive, pixels, write_bag


@pytest.fixture(scope="module", params=KINDS)
def driven(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    return drive(tmp_path_factory.mktemp("bag") / "my run", request.param)


def assert_frames(frames: list, driven: SimpleNamespace, numbers: list[int]) -> None:
    for frame, i in zip(frames, numbers, strict=True):
        np.testing.assert_array_equal(frame.image(), pixels(i))
        assert frame.stamp == driven.stamps[i]


def test_what_is_in_a_bag(driven: SimpleNamespace) -> None:
    info = read_bag_info(driven.path)
    assert info.kind in ("rosbag2 sqlite3", "rosbag2 mcap", "ROS 1")
    assert {t.name: (t.type, t.count) for t in info.topics} == {
        "/camera/image_raw": ("sensor_msgs/msg/Image", 12),
        "/odom": ("nav_msgs/msg/Odometry", 13),
        "/tf": ("tf2_msgs/msg/TFMessage", 13),
        "/tf_static": ("tf2_msgs/msg/TFMessage", 1),
    }
    assert info.start == START
    assert info.end == START + 12 * SECOND // 10 + 2


def test_frames_have_names_stamps_and_images(driven: SimpleNamespace) -> None:
    frames = list_frames(driven.path)
    assert [f.name for f in frames[:2]] == [f"{driven.path.name}#{i:06d}" for i in (0, 1)]
    assert {f.session for f in frames} == {"my run"}
    assert [f.index for f in frames] == list(range(12))
    assert all(frame.path is None for frame in frames)
    assert_frames(frames, driven, list(range(12)))


@pytest.mark.parametrize(
    "order", [[5, 4, 3], [11, 0, 11, 6], [7, 7, 8, 6], [0, 9, 1, 8], [2, 4, 6, 8, 10, 0]]
)
def test_frames_are_read_in_any_order(driven: SimpleNamespace, order: list[int]) -> None:
    frames = list_bag(driven.path)
    assert_frames([frames[i] for i in order], driven, order)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_frames_are_read_ahead_by_threads(driven: SimpleNamespace, workers: int) -> None:
    frames = list_frames(driven.path, every=1)
    for found, image in read_ahead(frames, workers=workers):
        np.testing.assert_array_equal(image, pixels(found.index))


def test_reading_in_order_passes_through_the_bag_once(driven, monkeypatch) -> None:
    opened, begun = [], []
    plain_init, plain_messages = OpenBag.__init__, OpenBag.messages

    def init(self: OpenBag, *args: object) -> None:
        opened.append(1)
        plain_init(self, *args)

    def messages(self: OpenBag, *args: object, **more: object) -> object:
        begun.append(1)
        return plain_messages(self, *args, **more)

    monkeypatch.setattr(OpenBag, "__init__", init)
    monkeypatch.setattr(OpenBag, "messages", messages)
    frames = list_frames(driven.path, every=2)
    assert (len(opened), len(begun)) == (1, 1)
    assert len(list(read_ahead(frames, workers=3))) == 6
    assert (len(opened), len(begun)) == (2, 2)


def test_frames_are_streamed(driven: SimpleNamespace) -> None:
    stream = stream_bag(driven.path, session="later")
    frames = [next(stream) for _ in range(3)]
    stream.close()
    assert {f.session for f in frames} == {"later"}
    assert_frames(frames, driven, [0, 1, 2])
    assert len(list(stream_bag(driven.path))) == 12


def test_files_are_closed_when_frames_are_gone(driven: SimpleNamespace) -> None:
    def descriptors() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("there is no /proc")
    before = descriptors()
    frames = list_bag(driven.path)
    assert descriptors() == before
    frames[0].image()
    assert descriptors() > before
    del frames
    assert descriptors() == before


def test_a_single_file_of_a_rosbag2_folder(tmp_path: Path) -> None:
    for kind, suffix in (("mcap", ".mcap"), ("sqlite", ".db3")):
        driven = drive(tmp_path / kind, kind)
        file = driven.path / f"{kind}{suffix}"
        frames = list_frames(file, session=None)
        assert frames[3].name == f"{kind}{suffix}#000003"
        assert frames[3].session == kind
        assert_frames(frames, driven, list(range(12)))
        (driven.path / "metadata.yaml").unlink()  # as after a crash
        assert_frames(list_frames(driven.path), driven, list(range(12)))


def test_a_recording_split_into_files_without_metadata(tmp_path: Path) -> None:
    made = Messages("mcap")
    (tmp_path / "split").mkdir()
    for part in (0, 1):
        rows = [("/c", START + i, made.rgb(START + i, pixels(i))) for i in range(part, 10, 2)]
        path = write_bag(tmp_path / f"p{part}", "mcap", rows)
        (path / f"p{part}.mcap").rename(tmp_path / "split" / f"split_{part}.mcap")
    frames = list_frames(tmp_path / "split")
    assert [f.stamp for f in frames] == [START + i for i in range(10)]
    for i in (9, 0, 4, 5):
        np.testing.assert_array_equal(frames[i].image(), pixels(i))


@pytest.mark.parametrize("kind", KINDS)
def test_stamps_fall_back_to_the_time_of_receipt(tmp_path: Path, kind: str) -> None:
    made = Messages(kind)
    rows = [("/c", START + 5 * i, made.rgb(0, pixels(i))) for i in range(3)]
    assert [f.stamp for f in list_bag(write_bag(tmp_path / "z", kind, rows))] == [
        START, START + 5, START + 10,
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_messages_received_at_the_same_time(tmp_path: Path, kind: str) -> None:
    made = Messages(kind)
    rows = [("/c", START + i // 4, made.rgb(START + i, pixels(i))) for i in range(12)]
    frames = list_bag(write_bag(tmp_path / "same", kind, rows))
    for i in (0, 7, 5, 6, 11, 2):
        np.testing.assert_array_equal(frames[i].image(), pixels(frames[i].stamp - START))


def test_the_topic_is_chosen_if_there_is_one(tmp_path: Path) -> None:
    made = Messages("sqlite")
    rows = [(f"/{side}/image", START + i, made.rgb(START + i, pixels(i)))
            for i, side in enumerate(("left", "right"))]  # fmt: skip
    rows.append(("/odom", START + 9, made.odometry(START, 0.0, 0.0, 0.0)))
    path = write_bag(tmp_path / "stereo", "sqlite", rows)
    with pytest.raises(
        BagError, match=r"2 topics with images.*/left/image \(sen.*, 1\), /right.*--"
    ):
        list_frames(path)
    with pytest.raises(BagError, match=r"2 topics with images"):
        next(stream_bag(path))
    for name in ("/right/image", "right/image"):
        [frame] = list_frames(path, topic=name)
        np.testing.assert_array_equal(frame.image(), pixels(1))
    with pytest.raises(BagError, match=r"no topic /front; topics with images: /left"):
        list_frames(path, topic="/front")
    with pytest.raises(BagError, match=r"/odom holds nav_msgs/msg/Odometry, no images"):
        list_frames(path, topic="/odom")


@pytest.mark.parametrize("kind", KINDS)
def test_bags_without_images_or_messages(tmp_path: Path, kind: str) -> None:
    made = Messages(kind)
    odometry = write_bag(
        tmp_path / "o", kind, [("/odom", START, made.odometry(START, 0.0, 0.0, 0.0))]
    )
    with pytest.raises(BagError, match=r"no topics with images; its topics: /odom \(nav"):
        list_bag(odometry)
    empty = write_bag(tmp_path / "e", kind, [])
    assert read_bag_info(empty).start is None
    with pytest.raises(BagError, match=r"no topics with images; its topics: none"):
        list_bag(empty)


def test_a_bag_that_carries_no_definitions(tmp_path: Path) -> None:
    """As rosbag2 wrote SQLite before Iron."""
    driven = drive(tmp_path / "old", "sqlite")
    with sqlite3.connect(driven.path / "old.db3") as base:
        base.execute("DELETE FROM message_definitions")
    base.close()
    assert_frames(list_bag(driven.path), driven, list(range(12)))
    for distro in ("foxy", "jazzy"):
        with OpenBag(driven.path, distro) as bag:
            first = next(bag.messages(["/odom"]))
            assert bag.decode(first).child_frame_id == "base_link"
    with pytest.raises(SettingError, match=r"unknown ROS distribution 'hardy'; known: .*humble"):
        OpenBag(driven.path, "hardy")


@pytest.mark.parametrize("how", ["MESSAGE", "FILE", "STORAGE", "BZ2", "LZ4"])
def test_packed_bags(tmp_path: Path, how: str) -> None:
    kind = {"STORAGE": "mcap", "BZ2": "ros1", "LZ4": "ros1"}.get(how, "sqlite")
    made = Messages(kind)
    rows = [("/c", START + i, made.rgb(START + i, pixels(i))) for i in range(12)]
    frames = list_bag(write_bag(tmp_path / "packed", kind, rows, how))
    for i in (0, 1, 7, 3):
        np.testing.assert_array_equal(frames[i].image(), pixels(i))


def test_the_python_of_the_page_runs(driven: SimpleNamespace) -> None:
    page = Path(__file__).parents[3] / "docs" / "concepts" / "bags.md"
    [code] = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, str(page), "exec"), names)
    frames, motions = zip(*names["replay"](driven.path), strict=True)
    assert [motion is None for motion in motions] == [True] + [False] * 11
    assert motions[5].seconds == pytest.approx(0.1)
    assert_frames(list(frames), driven, list(range(12)))


def test_what_is_a_bag(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").touch()
    assert not is_bag(folder)
    (folder / "run.mcap").touch()
    assert not is_bag(folder)  # images with a bag beside them
    (folder / "metadata.yaml").touch()
    assert is_bag(folder)
    assert is_bag(Path("x.bag"))
    assert not is_bag(tmp_path)


@pytest.mark.parametrize("name", ["no.mcap", "no.bag", "nothing"])
def test_a_bag_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"there is no such folder, video, bag or image"):
        list_frames(tmp_path / name)
    with pytest.raises(BagError, match=r"there is no such bag"):
        list_bag(tmp_path / name)


def test_a_folder_that_is_no_bag(tmp_path: Path) -> None:
    with pytest.raises(BagError, match=r"no bag; a bag is a \.bag, \.mcap or \.db3 file"):
        list_bag(tmp_path)


def test_a_bag_that_is_gone_later(tmp_path: Path) -> None:
    driven = drive(tmp_path / "gone", "mcap")
    frames = list_bag(driven.path)
    shutil.rmtree(driven.path)
    with pytest.raises(ImageError, match=r"gone#000003 .* cannot read the image .*no such bag"):
        frames[3].image()


def test_a_path_that_sqlite_would_misread(tmp_path: Path) -> None:
    driven = drive(tmp_path / "a", "sqlite")
    driven.path.rename(tmp_path / "run #1")
    with pytest.raises(BagError, match=r"cannot open an SQLite bag with %, # or \? in its path"):
        list_bag(tmp_path / "run #1")


def test_without_rosbags_the_message_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    driven = drive(tmp_path / "a", "mcap")
    for name in [n for n in __import__("sys").modules if n.split(".")[0] == "rosbags"]:
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'placememory\[bags\]'"):
        list_frames(driven.path)
