"""Every encoding to RGB, exactly."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from placememory.errors import ImageError
from placememory.frames import list_bag, stream_bag
from tests.frames.bags.write import KINDS, START, Messages, pixels, write_bag

RGB = pixels(1)
HEIGHT, WIDTH = RGB.shape[:2]
GREY = RGB[:, :, 0]
ALPHA = np.concatenate([RGB, GREY[:, :, None]], axis=2)
WIDE = RGB.astype(np.uint16) * 256 + 77


def read_one(folder: Path, *image: object, kind: str = "mcap", **more: object) -> np.ndarray:
    made = Messages(kind)
    message = made.image(START, *image, **more)
    path = write_bag(folder / "one", kind, [("/camera", START, message)])
    [frame] = list_bag(path)
    [streamed] = stream_bag(path)
    result = frame.image()
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert result.flags.writeable
    np.testing.assert_array_equal(streamed.image(), result)
    return result


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[:, :, None], 3, axis=2)


CASES = {
    "rgb8": (RGB, RGB),
    "bgr8": (RGB[:, :, ::-1], RGB),
    "8UC3": (RGB[:, :, ::-1], RGB),
    "rgba8": (ALPHA, RGB),
    "bgra8": (ALPHA[:, :, [2, 1, 0, 3]], RGB),
    "8UC4": (ALPHA[:, :, [2, 1, 0, 3]], RGB),
    "mono8": (GREY, grey(GREY)),
    "8UC1": (GREY, grey(GREY)),
    "mono16": (WIDE[:, :, 0], grey(GREY)),
    "16UC1": (WIDE[:, :, 0], grey(GREY)),
    "rgb16": (WIDE, RGB),
    "bgr16": (WIDE[:, :, ::-1], RGB),
    "rgba16": (ALPHA.astype(np.uint16) << 8, RGB),
    "bgra16": (ALPHA[:, :, [2, 1, 0, 3]].astype(np.uint16) << 8, RGB),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoding", CASES)
def test_plain_encodings_with_padding(tmp_path: Path, encoding: str, kind: str) -> None:
    data, expected = CASES[encoding]
    rows = np.ascontiguousarray(data).reshape(HEIGHT, -1)
    padded = np.pad(rows.view(np.uint8), ((0, 0), (0, 5)), constant_values=99)
    step = padded.shape[1]
    found = read_one(tmp_path, padded, encoding, WIDTH, HEIGHT, step, kind=kind)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("encoding", ["mono16", "16UC1", "rgb16"])
def test_big_endian_values(tmp_path: Path, encoding: str) -> None:
    data, expected = CASES[encoding]
    step = data.reshape(HEIGHT, -1).shape[1] * 2
    found = read_one(tmp_path, data.astype(">u2"), encoding, WIDTH, HEIGHT, step, big=1)
    np.testing.assert_array_equal(found, expected)


def test_the_padding_of_the_last_row_may_be_missing_and_a_step_of_zero_is_none(
    tmp_path: Path,
) -> None:
    padded = np.pad(RGB.reshape(HEIGHT, -1), ((0, 0), (0, 4))).ravel()[:-4]
    found = read_one(tmp_path, padded, "rgb8", WIDTH, HEIGHT, WIDTH * 3 + 4)
    np.testing.assert_array_equal(found, RGB)
    found = read_one(tmp_path / "b", RGB, "rgb8", WIDTH, HEIGHT, 0)
    np.testing.assert_array_equal(found, RGB)


def mosaic_of(image: np.ndarray, pattern: str) -> np.ndarray:
    mosaic = np.empty(image.shape[:2], image.dtype)
    for place, colour in enumerate(pattern):
        row, column = divmod(place, 2)
        mosaic[row::2, column::2] = image[row::2, column::2, "rgb".index(colour)]
    return mosaic


def slow_demosaic(mosaic: np.ndarray, pattern: str) -> np.ndarray:
    """Pixel by pixel: the mean of the nearest samples of a colour among the eight around."""
    height, width = mosaic.shape
    result = np.zeros((height, width, 3), np.int64)
    for y in range(height):
        for x in range(width):
            own = pattern[2 * (y % 2) + x % 2]
            for channel, colour in enumerate("rgb"):
                if colour == own:
                    result[y, x, channel] = mosaic[y, x]
                    continue
                found: dict[int, list[int]] = {}
                for dy in (-1, 0, 1):
                    for dx in (-1, 0, 1):
                        if pattern[2 * ((y + dy) % 2) + (x + dx) % 2] == colour:
                            at = height - 1 - abs(height - 1 - abs(y + dy))
                            along = width - 1 - abs(width - 1 - abs(x + dx))
                            far = abs(dx) + abs(dy)
                            found.setdefault(far, []).append(int(mosaic[at, along]))
                near = found[min(found)]
                result[y, x, channel] = (sum(near) + len(near) // 2) // len(near)
    return result


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("shape", [(6, 8), (5, 7), (2, 2)])
def test_bayer_is_bilinear(tmp_path: Path, pattern: str, shape: tuple[int, int]) -> None:
    mosaic = mosaic_of(pixels(3, *shape), pattern)
    step = shape[1]
    found = read_one(tmp_path, mosaic, f"bayer_{pattern}8", shape[1], shape[0], step)
    np.testing.assert_array_equal(found, slow_demosaic(mosaic, pattern))
    wide = mosaic.astype(np.uint16) * 257
    found = read_one(
        tmp_path / "wide", wide, f"bayer_{pattern}16", shape[1], shape[0], step * 2
    )  # fmt: skip
    np.testing.assert_array_equal(found, slow_demosaic(wide.astype(int), pattern) >> 8)


def test_bayer_of_one_colour_is_that_colour(tmp_path: Path) -> None:
    even = np.full((6, 8, 3), (200, 120, 30), np.uint8)
    for pattern in ("rggb", "bggr", "gbrg", "grbg"):
        mosaic = mosaic_of(even, pattern)
        found = read_one(tmp_path / pattern, mosaic, f"bayer_{pattern}8", 8, 6, 8)
        np.testing.assert_array_equal(found, even)


def rgb_of(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """BT.601 with 16..235, in floating point."""
    y, u, v = (plane.astype(np.float64) for plane in (y, u, v))
    light = (y - 16) * 255 / 219
    red = light + (v - 128) * 1.402 * 255 / 224
    blue = light + (u - 128) * 1.772 * 255 / 224
    green = (light - 0.299 * red - 0.114 * blue) / 0.587
    return np.clip(np.round(np.stack([red, green, blue], axis=2)), 0, 255)


def planes(across: int, down: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, u, v = (pixels(9, HEIGHT, WIDTH)[:, :, i] // 2 + 64 for i in range(3))
    return y, u[::down, ::across], v[::down, ::across]


def spread(plane: np.ndarray, across: int, down: int) -> np.ndarray:
    return plane.repeat(across, axis=1).repeat(down, axis=0)


@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv"])
def test_packed_yuv(tmp_path: Path, encoding: str) -> None:
    y, u, v = planes(2, 1)
    order = [u, y[:, ::2], v, y[:, 1::2]]
    if "yuy" in encoding:
        order = [y[:, ::2], u, y[:, 1::2], v]
    data = np.pad(np.stack(order, axis=2).reshape(HEIGHT, -1), ((0, 0), (0, 6)))
    found = read_one(tmp_path, data, encoding, WIDTH, HEIGHT, WIDTH * 2 + 6)
    expected = rgb_of(y, spread(u, 2, 1), spread(v, 2, 1))
    assert np.abs(found - expected).max() <= 1
    assert (found == expected).mean() > 0.95


@pytest.mark.parametrize("encoding", ["nv12", "nv21", "nv24"])
@pytest.mark.parametrize("padding", [0, 4])
def test_planar_yuv(tmp_path: Path, encoding: str, padding: int) -> None:
    across, down = (1, 1) if encoding == "nv24" else (2, 2)
    y, u, v = planes(across, down)
    pair = (v, u) if encoding == "nv21" else (u, v)
    chroma = np.stack(pair, axis=2).reshape(len(u), -1)
    wide = padding * chroma.shape[1] // WIDTH
    data = np.concatenate(
        [
            np.pad(y, ((0, 0), (0, padding))).ravel(),
            np.pad(chroma, ((0, 0), (0, wide))).ravel(),
        ]
    )
    found = read_one(tmp_path, data, encoding, WIDTH, HEIGHT, WIDTH + padding)
    expected = rgb_of(y, spread(u, across, down), spread(v, across, down))
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize(
    ("encoding", "width", "height", "step", "size", "message"),
    [
        ("32FC2", 8, 6, 64, 384, r"'32FC2' is not known; known: mono8"),
        ("rgb8", 8, 6, 24, 100, r"100 bytes with 24 a row, where 8x6 rgb8 needs 144"),
        ("rgb8", 8, 6, 20, 120, r"with 20 a row"),
        ("rgb8", 0, 6, 0, 0, r"empty \(0x6\)"),
        ("uyvy", 7, 6, 14, 84, r"odd size"),
        ("nv12", 8, 6, 8, 50, r"bytes"),
    ],
)
def test_images_that_cannot_be(
    tmp_path: Path, encoding: str, width: int, height: int, step: int, size: int, message: str
) -> None:
    with pytest.raises(ImageError, match=rf"one#000000 \(/camera\): .*{message}"):
        read_one(tmp_path, np.zeros(size, np.uint8), encoding, width, height, step)


def packed(image: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(image).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_compressed_images(tmp_path: Path, kind: str) -> None:
    made = Messages(kind)
    mosaic = mosaic_of(RGB, "grbg")
    jpeg = packed(RGB, "JPEG")
    rows = [
        (packed(RGB, "PNG"), "rgb8; png compressed bgr8", RGB),
        (packed(RGB, "PNG"), "png", RGB),
        (packed(GREY, "PNG"), "mono8; png compressed ", grey(GREY)),
        (packed(WIDE[:, :, 0], "PNG"), "16UC1; png compressed mono16", grey(GREY)),
        (packed(mosaic, "PNG"), "bayer_grbg8; png compressed bayer_grbg8",
         slow_demosaic(mosaic, "grbg")),
        (jpeg, "bgr8; jpeg compressed bgr8",
         np.asarray(PillowImage.open(io.BytesIO(jpeg)).convert("RGB"))),
    ]  # fmt: skip
    messages = [
        ("/c", START + i, made.compressed(START + i, data, text))
        for i, (data, text, _) in enumerate(rows)
    ]
    frames = list_bag(write_bag(tmp_path / "c", kind, messages))
    for frame, (_, _, expected) in zip(frames, rows, strict=True):
        np.testing.assert_array_equal(frame.image(), expected)


def test_compressed_images_that_cannot_be(tmp_path: Path) -> None:
    made = Messages("mcap")
    whole = packed(pixels(1, 64, 64), "PNG")
    rows = [
        ("/c", START, made.compressed(START, whole[: len(whole) // 2], "png")),
        ("/c", START + 1, made.compressed(START + 1, b"\0\0\0\1g", "h264")),
    ]
    frames = list_bag(write_bag(tmp_path / "c", "mcap", rows))
    for frame, text in zip(frames, ("'png'.* begins as PNG", "'h264'.* is H.264"), strict=True):
        with pytest.raises(ImageError, match=rf"\(/c\) of format {text}"):
            frame.image()


def test_compressed_depth_is_refused_by_name(tmp_path: Path) -> None:
    data = bytes(12) + packed(WIDE[:, :, 0], "PNG")
    for i, text in enumerate(("16UC1; compressedDepth png", "32FC1; compressedDepth rvl")):
        rows = [("/d", START, Messages("mcap").compressed(START, data, text))]
        [frame] = list_bag(write_bag(tmp_path / f"d{i}", "mcap", rows))
        with pytest.raises(ImageError, match="is compressed depth, no picture"):
            frame.image()


@pytest.mark.parametrize("encoding", ["mjpeg", "jpeg", "png", "MJPG"])
def test_image_messages_that_hold_a_file(tmp_path: Path, encoding: str) -> None:
    data = packed(RGB, "PNG" if encoding == "png" else "JPEG")
    expected = np.asarray(PillowImage.open(io.BytesIO(data)).convert("RGB"))
    found = read_one(tmp_path, np.frombuffer(data, np.uint8), encoding, WIDTH, HEIGHT, 0)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("encoding", ["i420", "I420", "yuv420", "yv12"])
@pytest.mark.parametrize("padding", [0, 4])
def test_yuv_of_three_planes(tmp_path: Path, encoding: str, padding: int) -> None:
    y, u, v = planes(2, 2)
    parts = [
        (y, padding),
        *((part, padding // 2) for part in ((v, u) if "v1" in encoding else (u, v))),
    ]
    data = np.concatenate([np.pad(part, ((0, 0), (0, wide))).ravel() for part, wide in parts])
    found = read_one(tmp_path, data, encoding, WIDTH, HEIGHT, WIDTH + padding)
    expected = rgb_of(y, spread(u, 2, 2), spread(v, 2, 2))
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("big", [0, 1])
@pytest.mark.parametrize(("encoding", "kind"), [("32FC1", "f4"), ("16SC1", "i2")])
def test_float_and_signed_values(tmp_path: Path, encoding: str, kind: str, big: int) -> None:
    values = GREY.astype(np.float64) / 256 if kind == "f4" else GREY.astype(np.int16) * 100
    data = values.astype(f"{'>' if big else '<'}{kind}")
    found = read_one(tmp_path, data, encoding, WIDTH, HEIGHT, data.itemsize * WIDTH, big=big)
    expected = GREY if kind == "f4" else GREY.astype(int) * 100 >> 8
    np.testing.assert_array_equal(found, grey(expected.astype(np.uint8)))
