"""Frames of a camera: the newest one, its stamp, and what happens when it goes."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from placememory.errors import CameraError, ImageError, MissingExtraError
from placememory.frames import camera
from placememory.frames.camera import Camera, is_camera, open_camera


class Decoded:
    """An image as a decoder gives it, of one grey level."""

    def __init__(self, level: int, damaged: bool = False) -> None:
        self.level, self.damaged = level, damaged

    def to_ndarray(self, format: str) -> np.ndarray:  # noqa: A002
        assert format == "rgb24"
        if self.damaged:
            raise ValueError("no such conversion")
        return np.full((4, 6, 3), self.level, np.uint8)


class FakeCamera:
    """Sends each level when it is allowed to; an exception among them is raised instead."""

    def __init__(self, *sends: object, hang: bool = False) -> None:
        self.sends, self.hang = list(sends), hang
        self.closed = threading.Event()
        self.sent = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def decode(self, video: int):
        assert video == 0
        while self.sends:
            while not self.go.acquire(timeout=0.01):
                if self.closed.is_set():
                    return
            sent = self.sends.pop(0)
            if isinstance(sent, Exception):
                self.sent.release()
                raise sent
            yield sent if isinstance(sent, Decoded) else Decoded(sent)
            self.sent.release()  # the image before is in the slot
        if self.hang:
            self.closed.wait(5)

    def send(self, count: int = 1) -> None:
        """Let images through; returns when they have been taken in."""
        for _ in range(count):
            self.go.release()
        for _ in range(count):
            assert self.sent.acquire(timeout=5)

    def close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize(
    ("source", "expected"),
    [("0", True), ("12", True), ("/dev/video0", True), ("run2", False), ("/dev/sda", False),
     ("-1", False), ("", False), ("0.mp4", False)],
)  # fmt: skip
def test_which_sources_are_cameras(source: str, expected: bool, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_camera(source) is expected


def test_a_folder_called_0_is_a_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "0").mkdir()
    assert not is_camera(Path("0"))


def test_the_newest_image_is_the_next_frame_and_the_others_are_counted() -> None:
    fake = FakeCamera(*range(10), hang=True)
    source = Camera("0", "hall", opener=lambda _: fake)
    frames = source.frames()
    fake.go.release()
    first = next(frames)
    assert (first.name, first.index, first.session) == ("000000", 0, "hall")
    assert first.image().shape == (4, 6, 3)
    assert fake.sent.acquire(timeout=5)
    fake.send(6)
    second = next(frames)
    assert second.name == "000006"
    assert int(second.image()[0, 0, 0]) == 6
    assert source.dropped == 5
    assert second.stamp > first.stamp
    assert abs(second.stamp - time.time_ns()) < 60 * 10**9
    fake.closed.set()
    frames.close()


def test_a_camera_that_is_unplugged_ends_with_an_error_after_its_last_image() -> None:
    fake = FakeCamera(7, OSError("No such device"))
    frames = Camera("0", opener=lambda _: fake).frames()
    fake.go.release(2)
    assert int(next(frames).image()[0, 0, 0]) == 7
    with pytest.raises(CameraError, match=r"camera 0: it stopped sending \(No such device\)"):
        next(frames)
    assert fake.closed.is_set()


def test_a_stream_that_ends_is_a_camera_that_is_gone() -> None:
    fake = FakeCamera(1)
    fake.go.release()
    with pytest.raises(CameraError, match="at its end"):
        list(Camera("1", opener=lambda _: fake).frames())


def test_a_camera_that_hangs_is_given_up() -> None:
    fake = FakeCamera(hang=True)
    with pytest.raises(CameraError, match=r"no image for 0\.01 s"):
        list(Camera("0", opener=lambda _: fake, patience=0.01).frames())
    fake.closed.set()


@pytest.mark.parametrize("trouble", [BlockingIOError("not ready"), ValueError("damaged data")])
def test_a_camera_that_is_not_ready_or_sends_a_damaged_image_goes_on(trouble) -> None:
    fake = FakeCamera(trouble, 3, hang=True)
    fake.go.release(2)
    frames = Camera("0", opener=lambda _: fake).frames()
    assert int(next(frames).image()[0, 0, 0]) == 3
    fake.closed.set()
    frames.close()


def test_an_image_that_cannot_be_converted_is_unreadable() -> None:
    fake = FakeCamera(Decoded(0, damaged=True), hang=True)
    fake.go.release()
    frames = Camera("0", opener=lambda _: fake).frames()
    with pytest.raises(ImageError, match="camera 0, frame 000000: cannot be read"):
        next(frames).image()
    fake.closed.set()
    frames.close()


def test_stopping_closes_the_camera_and_its_thread() -> None:
    fake = FakeCamera(1, 2, 3)
    fake.go.release(3)
    before, asked = threading.enumerate(), threading.Event()
    frames = Camera("0", opener=lambda _: fake).frames(asked.is_set)
    next(frames)
    asked.set()
    assert list(frames) == []
    assert fake.closed.wait(5)
    assert not [thread for thread in threading.enumerate() if thread not in before]


def test_images_of_ffmpeg_come_through_the_same_code() -> None:
    av = pytest.importorskip("av", reason="the extra 'video' is not installed")

    def opener(source: str):
        return av.open(source, format="lavfi")

    source = Camera("testsrc=size=64x48:rate=10:duration=600", opener=opener)
    frames = source.frames()
    found = [next(frames) for _ in range(3)]
    frames.close()
    assert [frame.image().shape for frame in found] == [(48, 64, 3)] * 3
    assert [frame.index for frame in found] == sorted({frame.index for frame in found})
    assert found[0].stamp < found[1].stamp < found[2].stamp


def test_a_camera_that_is_not_there_is_named() -> None:
    pytest.importorskip("av", reason="the extra 'video' is not installed")
    with pytest.raises(CameraError, match=r"camera 99: cannot be opened .*plugged in"):
        list(Camera("99").frames())


def test_without_pyav_the_message_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"Cameras need .*placememory\[video\]"):
        open_camera("0")


@pytest.mark.parametrize(
    ("source", "platform", "expected"),
    [
        ("1", "linux", ("/dev/video1", "v4l2")),
        ("/dev/video3", "linux", ("/dev/video3", "v4l2")),
        ("1", "darwin", ("1", "avfoundation")),
        ("1", "win32", ("video=Rear", "dshow")),
    ],
)
def test_each_system_has_its_address(source: str, platform: str, expected: tuple) -> None:
    devices = [
        SimpleNamespace(name=name, media_types=[kind])
        for name, kind in (("Front", "video"), ("Microphone", "audio"), ("Rear", "video"))
    ]
    av = SimpleNamespace(enumerate_input_devices=lambda kind: devices)
    assert camera._address(source, av, platform) == expected
    with pytest.raises(CameraError, match="there are 2"):
        camera._address("2", av, "win32")
