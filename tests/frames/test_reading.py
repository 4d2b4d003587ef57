"""Reading ahead: order, bad frames, errors, and no thread left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from placememory.errors import ImageError
from placememory.frames import Frame, read_ahead


def make_frame(i: int, *, bad: bool = False, delay: float = 0.0) -> Frame:
    def read() -> np.ndarray:
        time.sleep(delay)
        if bad:
            raise ImageError(f"{i}.png is broken")
        return np.full((1, 1, 3), i, np.uint8)

    return Frame(f"{i}.png", "run", i, read=read)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("depth", [0, 1, 3, 100])
def test_order_is_kept_whatever_takes_longer(workers: int, depth: int) -> None:
    frames = [make_frame(i, delay=0.01 * (i % 3 == 0)) for i in range(12)]
    read = list(read_ahead(iter(frames), workers=workers, depth=depth))
    assert [frame for frame, _ in read] == frames
    assert [int(image[0, 0, 0]) for _, image in read] == list(range(12))


def test_nothing_to_read() -> None:
    assert list(read_ahead([])) == []


def test_no_more_than_depth_images_wait() -> None:
    begun = []
    frames = [
        Frame(str(i), "run", i, read=lambda i=i: begun.append(i) or np.zeros((1, 1, 3), np.uint8))
        for i in range(50)
    ]
    reading = read_ahead(frames, depth=4)
    next(reading)
    time.sleep(0.05)
    assert len(begun) <= 5
    reading.close()
    assert len(begun) < 50


def test_frames_that_nobody_waits_for_are_not_read() -> None:
    begun = []
    slow = lambda i: begun.append(i) or time.sleep(0.02) or np.zeros((1, 1, 3), np.uint8)  # noqa: E731
    reading = read_ahead(
        [Frame(str(i), "run", i, read=lambda i=i: slow(i)) for i in range(30)], workers=1, depth=30
    )
    next(reading)
    reading.close()
    assert len(begun) < 10


def test_bad_frames_are_told_and_left_out() -> None:
    told: list[tuple[str, str]] = []
    frames = [make_frame(i, bad=i in (0, 3, 4, 9)) for i in range(10)]
    read = read_ahead(frames, on_bad=lambda frame, error: told.append((frame.name, str(error))))
    assert [frame.index for frame, _ in read] == [1, 2, 5, 6, 7, 8]
    assert told == [(f"{i}.png", f"{i}.png is broken") for i in (0, 3, 4, 9)]


def test_without_on_bad_the_first_bad_frame_raises() -> None:
    reading = read_ahead([make_frame(0), make_frame(1, bad=True), make_frame(2, bad=True)])
    assert next(reading)[0].index == 0
    with pytest.raises(ImageError, match=r"1\.png is broken"):
        next(reading)


def test_other_errors_are_not_taken_for_bad_frames() -> None:
    def fail() -> np.ndarray:
        raise RuntimeError("a bug")

    frames = [make_frame(0), Frame("1", "run", 1, read=fail), make_frame(2, delay=0.05)]
    with pytest.raises(RuntimeError, match="a bug"):
        list(read_ahead(frames, on_bad=lambda *_: None))


def test_an_error_of_the_source_is_passed_on() -> None:
    def frames() -> Iterator[Frame]:
        yield make_frame(0)
        raise OSError("the camera is gone")

    with pytest.raises(OSError, match="camera is gone"):
        list(read_ahead(frames()))


def test_frames_without_an_image_are_bad_frames() -> None:
    with pytest.raises(ImageError, match="'x' has no image"):
        list(read_ahead([Frame("x", "run", 0)]))
