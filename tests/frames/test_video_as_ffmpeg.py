"""Videos of every kind: the frames that ffmpeg shows, with their times."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from placememory.frames import Frame, list_frames

pytest.importorskip("av", reason="the extra 'video' is not installed")
imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="there is no ffmpeg to compare with")
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SOURCE = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=10:duration=2.4")
VARIABLE = ("-vf", "select='not(eq(mod(n,7),2)+eq(mod(n,7),3))'", "-fps_mode", "vfr")
OPEN = "log-level=none:keyint=8:min-keyint=8:open-gop=1:scenecut=0"

MADE = {
    "h264.mp4": ("-c:v", "libx264", "-bf", "3", "-g", "6"),
    "variable.mp4": ("-c:v", "libx264", "-bf", "2", "-g", "6", *VARIABLE),
    "variable.mkv": ("-c:v", "libx264", "-bf", "2", "-g", "6", *VARIABLE),
    "hevc.mov": ("-c:v", "libx265", "-x265-params", "log-level=none:keyint=8", "-tag:v", "hvc1"),
    "open.mkv": (
        "-c:v",
        "libx265",
        "-x265-params",
        "log-level=none:keyint=8:min-keyint=8:open-gop=1:scenecut=0",
    ),
    "prores.mov": ("-c:v", "prores_ks"),
    "a.m4v": ("-c:v", "mpeg4", "-bf", "2"),
    "vp9.mkv": ("-c:v", "libvpx-vp9", "-auto-alt-ref", "1", "-lag-in-frames", "12", "-g", "9"),
    "vp8.webm": ("-c:v", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "12", "-g", "9"),
    "av1.webm": ("-c:v", "libaom-av1", "-cpu-used", "8", "-g", "9"),
    "mpeg4.avi": ("-c:v", "mpeg4", "-bf", "2"),
    "mjpeg.avi": ("-c:v", "mjpeg"),
    "h264.ts": ("-c:v", "libx264", "-bf", "2", "-g", "6"),
    "mpeg2.mpg": ("-c:v", "mpeg2video", "-bf", "2", "-r", "25"),
    "a.wmv": ("-c:v", "wmv2"),
    "a.3gp": ("-c:v", "h263", "-s", "176x144"),
    "sorenson.flv": ("-c:v", "flv"),
    "h264.flv": ("-c:v", "libx264", "-bf", "2"),
    "a.h264": ("-c:v", "libx264", "-bf", "2"),
    "a.hevc": ("-c:v", "libx265", "-x265-params", "log-level=none:keyint=8"),
    "a.gif": (),
    "gaps.gif": VARIABLE,
}
COPIED = {  # of h264.mp4, without encoding it again: (options of the input, of the output)
    "turned90.mp4": (("-display_rotation", "90"), ()),
    "turned180.mov": (("-display_rotation", "180"), ()),
    "turned270.mp4": (("-display_rotation", "270"), ()),
    "turned90.mkv": (("-display_rotation", "90"), ()),
    "mirrored.mp4": (("-display_hflip",), ()),
    "upside.mp4": (("-display_vflip",), ()),
    "both.mp4": (("-display_rotation", "90", "-display_hflip"), ()),
    "edited.mp4": (("-ss", "0.75"), ()),
    "cut.mp4": (("-ss", "0.3", "-to", "1.4"), ()),
    "late.mov": (("-itsoffset", "0.5"), ()),
    "copied.ts": ((), ()),
    "copied.m4v": ((), ()),
}


def run(*options: str | Path) -> bytes:
    command = [FFMPEG, "-v", "error", "-nostdin", "-y", *map(str, options)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def shown(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Frames as ffmpeg turns and decodes them, and seconds from the first."""
    rgb = ("-map", "0:v:0", "-fps_mode", "passthrough", "-pix_fmt", "rgb24")
    pixels = np.frombuffer(run("-i", path, *rgb, "-f", "rawvideo", "-"), np.uint8)
    told = run("-i", path, *rgb, "-enc_time_base", "1:1000000", "-f", "framecrc", "-").decode()
    lines = [line.split(",") for line in told.splitlines() if not line.startswith("#")]
    times = np.array([int(line[2]) for line in lines]) / 1e6
    return pixels.reshape(-1, *shape), times - times[0]


def check(path: Path, least: int) -> list[Frame]:
    frames = list_frames(path)
    images = [frame.image() for frame in frames]
    expected, times = shown(path, images[0].shape)
    assert len(frames) == len(expected) >= least
    np.testing.assert_allclose([f.stamp / 1e9 for f in frames], times, atol=2e-3)
    apart = [np.abs(a.astype(int) - b).mean() for a, b in zip(images, expected, strict=True)]
    assert max(apart) < 1.5, np.round(apart, 1)
    for i in (len(frames) - 1, 1, len(frames) // 2):
        np.testing.assert_array_equal(frames[i].image(), images[i])
    return frames


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plain") / "h264.mp4"
    run(*SOURCE, *MADE["h264.mp4"], "-pix_fmt", "yuv420p", path)
    return path


@pytest.mark.parametrize("name", MADE)
def test_containers_and_codecs(tmp_path: Path, name: str) -> None:
    pixels = () if name.endswith("gif") or "prores" in name else ("-pix_fmt", "yuv420p")
    run(
        *SOURCE,
        *MADE[name],
        *(("-pix_fmt", "yuvj420p") if "mjpeg" in name else pixels),
        tmp_path / name,
    )
    frames = check(tmp_path / name, 16)
    if name.startswith(("variable", "gaps")):
        assert len({b.stamp - a.stamp for a, b in pairwise(frames)}) > 1


@pytest.mark.parametrize("name", COPIED)
def test_turned_mirrored_and_edited(tmp_path: Path, plain: Path, name: str) -> None:
    before, after = COPIED[name]
    run(*before, "-i", plain, "-c", "copy", *after, tmp_path / name)
    frames = check(tmp_path / name, 8)
    quarter = {"90", "270"} & set(before)
    assert frames[0].image().shape == ((96, 64, 3) if quarter else (64, 96, 3))


def test_a_stream_that_begins_in_the_middle(tmp_path: Path) -> None:
    run(*SOURCE, *MADE["h264.ts"], "-pix_fmt", "yuv420p", tmp_path / "whole.ts")
    data = (tmp_path / "whole.ts").read_bytes()
    (tmp_path / "cut.ts").write_bytes(data[188 * (len(data) // 188 // 3) :])
    check(tmp_path / "cut.ts", 6)


@pytest.mark.parametrize(
    ("before", "after"), [(("-ss", "1.3"), ()), ((), ("-bsf:v", "noise=drop='lt(n,5)'"))]
)
def test_first_frames_that_need_what_was_cut_off(
    tmp_path: Path, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    run(*SOURCE, *MADE["open.mkv"], "-pix_fmt", "yuv420p", tmp_path / "whole.mkv")
    run(*before, "-i", tmp_path / "whole.mkv", "-c", "copy", *after, tmp_path / "cut.mkv")
    check(tmp_path / "cut.mkv", 8)


def test_packets_that_show_nothing(tmp_path: Path) -> None:
    for number in ("1", "2"):
        passes = ("-b:v", "50k", "-pass", number, "-passlogfile", tmp_path / "log")
        run(*SOURCE, *MADE["vp8.webm"], "-pix_fmt", "yuv420p", *passes, tmp_path / "a.webm")
    check(tmp_path / "a.webm", 24)


def test_a_cover_picture_is_not_the_video(tmp_path: Path, plain: Path) -> None:
    run(
        "-f",
        "lavfi",
        "-i",
        "color=red:size=300x300:duration=1:rate=1",
        "-frames:v",
        "1",
        tmp_path / "cover.jpg",
    )
    maps = ("-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic")
    run("-i", plain, "-i", tmp_path / "cover.jpg", *maps, tmp_path / "a.mp4")
    frames = list_frames(tmp_path / "a.mp4")
    assert len(frames) == 24
    assert frames[0].image().shape == (64, 96, 3)
