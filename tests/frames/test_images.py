"""Every kind of image file comes out as (H, W, 3) uint8 RGB, or as an error that names the file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from placememory.errors import ImageError
from placememory.frames import as_rgb, read_image
from placememory.frames.images import is_image

RGB = np.zeros((4, 6, 3), np.uint8)
RGB[:2, :3], RGB[:2, 3:], RGB[2:, :3], RGB[2:, 3:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), 255


def save(path: Path, array: np.ndarray, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.PNG", {}),
        ("a.webp", {"lossless": True}),
        ("a.bmp", {}),
        ("a.tif", {}),
        ("a.tiff", {"compression": "tiff_lzw"}),
        ("a.ppm", {}),
        ("a b ü.png", {}),
    ],
)
def test_lossless_formats(tmp_path: Path, name: str, options: dict) -> None:
    image = read_image(save(tmp_path / name, RGB, **options))
    np.testing.assert_array_equal(image, RGB)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable
    assert is_image(tmp_path / name)


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG"])
def test_jpeg(tmp_path: Path, name: str, mode: str) -> None:
    big = np.kron(RGB, np.ones((16, 16, 1), np.uint8))
    image = read_image(save(tmp_path / name, big, mode, quality=95, subsampling=0))
    assert np.abs(image.astype(int) - big).mean() < 3


@pytest.mark.parametrize("mode", ["P", "RGBA", "L", "LA", "1"])
def test_modes(tmp_path: Path, mode: str) -> None:
    expected = np.array(Image.fromarray(RGB).convert(mode).convert("RGB"))
    image = read_image(save(tmp_path / "a.png", RGB, mode))
    np.testing.assert_array_equal(image, expected)


def test_transparency_is_dropped(tmp_path: Path) -> None:
    rgba = np.dstack([RGB, np.full((4, 6), 10, np.uint8)])
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", rgba)), RGB)
    palette = save(tmp_path / "p.png", RGB, "P", transparency=bytes(range(200)))
    assert read_image(palette).shape == (4, 6, 3)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bits_keep_the_upper_eight(tmp_path: Path, name: str) -> None:
    values = np.array([[0, 255, 256], [0x8000, 0xABCD, 0xFFFF]], np.uint16)
    image = read_image(save(tmp_path / name, values))
    np.testing.assert_array_equal(image[..., 0], values >> 8)
    np.testing.assert_array_equal(image, np.repeat(image[..., :1], 3, axis=2))


def test_float_tiff_is_taken_as_0_to_1(tmp_path: Path) -> None:
    values = np.array([[-1.0, 0.0, 0.5], [1.0, 7.0, np.nan]], np.float32)
    image = read_image(save(tmp_path / "a.tif", values))
    assert image[..., 0].tolist() == [[0, 0, 128], [255, 255, 0]]


ROTATIONS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
    9: lambda a: a,
}


@pytest.mark.parametrize("orientation", ROTATIONS)
@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_exif_orientation(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if name.endswith("webp") else {}
    path = save(tmp_path / name, RGB, exif=exif, **options)
    as_stored = ROTATIONS[orientation](RGB) if name.endswith("tif") else RGB
    np.testing.assert_array_equal(read_image(path, exif=False), as_stored)
    np.testing.assert_array_equal(read_image(path), ROTATIONS[orientation](RGB))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.tif", "a.ppm"])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # pytest undoes the filter of the module
def test_truncated_files(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    path = save(tmp_path / name, noise)
    whole = path.read_bytes()
    for size in (0, 1, 10, len(whole) // 3, len(whole) * 9 // 10):
        path.write_bytes(whole[:size])
        with pytest.raises(ImageError, match=rf"{name}: cannot read the image"):
            read_image(path)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x89PNG\r\n\x1a\n" * 9, b"BM" * 99])
def test_garbage(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"bad\.png"):
        read_image(tmp_path / "bad.png")


def test_missing_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.png: there is no such image"):
        read_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match="cannot read"):
        read_image(tmp_path)


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "big.png", RGB)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ImageError, match=r"big\.png: the image is implausibly large"):
        read_image(path)


def test_damaged_exif_neither_warns_nor_costs_the_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 100
    path = save(tmp_path / "a.jpg", RGB, exif=exif)
    content = path.read_bytes()
    start = content.index(b"Exif\0\0") + 6
    path.write_bytes(content[: start + 8] + b"\xff\x7f" + content[start + 10 :])  # entries: 32767
    code = "import sys, placememory.frames as f; print(f.read_image(sys.argv[1]).shape)"
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code, path],
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("(4, 6, 3)\n", "")


def test_grey_and_alpha_arrays_become_rgb() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    expected = np.stack([grey] * 3, axis=2)
    np.testing.assert_array_equal(as_rgb(grey), expected)
    np.testing.assert_array_equal(as_rgb(grey[:, :, None]), expected)
    alpha = np.dstack([expected, 255 - grey])
    np.testing.assert_array_equal(as_rgb(alpha), expected)
    assert as_rgb(expected) is expected


@pytest.mark.parametrize(
    ("image", "hint"),
    [
        (np.zeros((4, 5, 3), np.float32), r"\(255 \* image\)\.round"),
        (np.zeros((4, 5, 3), np.int64), r"image\.astype\(np\.uint8\)$"),
        (np.zeros((3, 4, 5), np.uint8), r"image\.transpose\(1, 2, 0\)"),
        (np.zeros((2, 4, 5, 3), np.uint8), "give one image"),
        (np.zeros((0, 5, 3), np.uint8), "at least one pixel"),
        ("photo.png", "not str; read_image"),
    ],
)
def test_other_arrays_are_refused_with_what_to_do(image: object, hint: str) -> None:
    with pytest.raises(ImageError, match=hint):
        as_rgb(image)


def test_avif_and_heic(tmp_path: Path) -> None:
    big = np.kron(RGB, np.ones((16, 16, 1), np.uint8))
    save(tmp_path / "a.avif", big, quality=95)
    image = read_image(tmp_path / "a.avif")
    assert np.abs(image.astype(int) - big).mean() < 4
    heif = pytest.importorskip("pillow_heif", reason="the extra 'heif' is not installed")
    for name in ("a.HEIC", "b.heif", "photo.jpg"):  # phones name them as they like
        heif.from_pillow(Image.fromarray(big)).save(tmp_path / name, quality=95)
        image = read_image(tmp_path / name)
        assert np.abs(image.astype(int) - big).mean() < 4
    assert is_image(tmp_path / "a.HEIC")


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_heic_is_turned_once(tmp_path: Path, orientation: int) -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra 'heif' is not installed")
    big = np.kron(RGB, np.ones((16, 16, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    heif.from_pillow(Image.fromarray(big)).save(
        tmp_path / "a.heic", quality=95, exif=exif.tobytes()
    )
    image = read_image(tmp_path / "a.heic")
    expected = ROTATIONS[orientation](big)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 4


def test_heic_without_the_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("placememory.frames.images.has_heif", lambda: False)
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
    with pytest.raises(ImageError, match=r"a\.jpg: it is HEIC, which needs: pip install"):
        read_image(tmp_path / "a.jpg")


OTHERS = {
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    "PDF": b"%PDF-1.7\n",
    "GIF": b"GIF89a" + bytes(20),
    "a page of HTML or XML": b"<!DOCTYPE html><title>404</title>",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\n",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "MP4": b"\0\0\0\x18ftypisom" + bytes(20),
    "a ZIP archive": b"PK\3\4" + bytes(20),
    "nothing but zeros": bytes(100),
    "text": b"no image\n",
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_other_kinds_are_named_and_not_decoded(tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / name).write_bytes(OTHERS[kind])
    with pytest.raises(ImageError, match=rf"{name}: cannot read the image: it is {kind}.*none of"):
        read_image(tmp_path / name)


def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png: it is a pipe; give a file"):
        read_image(tmp_path / "a.png")
    for device in ("/dev/zero", "/dev/random"):
        with pytest.raises(ImageError, match=f"{device}: it is a device"):
            read_image(device)
