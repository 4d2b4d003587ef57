"""Frames of video files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from placememory.errors import ImageError, InputError, MissingExtraError
from placememory.frames import list_frames, read_ahead
from placememory.frames.video import VideoReader

av = pytest.importorskip("av", reason="the extra 'video' is not installed")

COUNT = 24
GAPS = [1, 1, 3]  # in tenths of a second: a camera that drops frames


def grey(i: int) -> int:
    return 10 + 9 * i


def make_video(path: Path, codec: str = "mpeg4", start: int = 0) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 10)
        stream.codec_context.gop_size = 6
        stream.codec_context.max_b_frames = 2  # so frames are not stored in the order shown
        stream.codec_context.qmin = stream.codec_context.qmax = 1
        stamp = start
        for i in range(COUNT):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), grey(i), np.uint8), "rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 10)
            stamp += GAPS[i % len(GAPS)]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "walk 1.mp4")


def number(image: np.ndarray) -> int:
    assert image.shape == (48, 64, 3)
    assert image.dtype == np.uint8
    return round((float(image.mean()) - 10) / 9)


def test_frames_have_names_stamps_and_order(video: Path) -> None:
    frames = list_frames(video)
    assert [f.name for f in frames[:2]] == ["walk 1.mp4#000000", "walk 1.mp4#000001"]
    assert {f.session for f in frames} == {"walk 1"}
    tenths = np.cumsum([0, *(GAPS[i % len(GAPS)] for i in range(COUNT - 1))])
    assert [f.stamp for f in frames] == [int(t) * 100_000_000 for t in tenths]
    assert [number(image) for _, image in read_ahead(frames)] == list(range(COUNT))


@pytest.mark.parametrize("order", [[5, 4, 3], [23, 0, 23, 11], [7, 7, 8, 6], [12, 20, 13]])
def test_frames_are_read_in_any_order(video: Path, order: list[int]) -> None:
    frames = list_frames(video)
    assert [number(frames[i].image()) for i in order] == order


def test_every_nth_frame(video: Path) -> None:
    frames = list_frames(video, every=5)
    assert [f.index for f in frames] == [0, 5, 10, 15, 20]
    assert [number(f.image()) for f in frames] == [0, 5, 10, 15, 20]


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.MOV"])
def test_other_containers(tmp_path: Path, name: str) -> None:
    frames = list_frames(make_video(tmp_path / name))
    assert len(frames) >= COUNT  # AVI has no gaps: it repeats frames
    if name != "a.avi":
        assert [number(frames[i].image()) for i in (23, 2)] == [23, 2]


def test_stamps_count_from_the_first_frame(tmp_path: Path) -> None:
    assert list_frames(make_video(tmp_path / "late.mkv", start=70))[0].stamp == 0


@pytest.mark.parametrize("content", [b"", b"garbage" * 100])
def test_files_that_are_no_video(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.mp4").write_bytes(content)
    with pytest.raises(ImageError, match=r"bad\.mp4: cannot read the video"):
        list_frames(tmp_path / "bad.mp4")


def test_a_truncated_video(video: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(video.read_bytes()[:-300])  # its index is at the end
    with pytest.raises(ImageError, match=r"cut\.mp4: cannot read the video"):
        list_frames(cut)


def test_a_truncated_stream_gives_its_whole_frames(tmp_path: Path) -> None:
    path = make_video(tmp_path / "cut.mkv")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = list_frames(path)
    assert 2 < len(frames) < COUNT
    told = []
    read = read_ahead(frames, on_bad=lambda frame, error: told.append(str(error)))
    numbers = [number(image) for _, image in read]
    tenths = np.cumsum([0, *(GAPS[i % len(GAPS)] for i in range(COUNT - 1))]).tolist()
    assert [tenths[i] * 100_000_000 for i in numbers] == [f.stamp for f in frames][: len(numbers)]
    assert len(numbers) + len(told) == len(frames)
    assert all("cut.mkv: cannot decode frame" in text for text in told)


def test_a_video_that_is_damaged_later(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "gone.mp4"
    path.write_bytes(video.read_bytes())
    frame = list_frames(path)[3]
    path.write_bytes(b"")
    with pytest.raises(ImageError, match=r"gone\.mp4: cannot decode frame 3"):
        frame.image()


def test_after_a_frame_that_cannot_be_decoded_the_next_ones_are_right(video: Path) -> None:
    reader = VideoReader(video)
    reader._pts.insert(5, (reader._pts[4] + reader._pts[5]) // 2)  # as of a packet without a frame
    assert [number(reader.read(i)) for i in (3, 4)] == [3, 4]
    with pytest.raises(ImageError, match="cannot decode frame 5"):
        reader.read(5)
    assert [number(reader.read(i)) for i in (6, 7)] == [5, 6]


def test_a_sound_file_holds_no_frames(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(InputError, match=r"sound\.mp4"):
        list_frames(path)


def test_without_pyav_the_message_says_what_to_install(video: Path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'placememory\[video\]'"):
        list_frames(video)
