"""Deep images: their grey levels, and the range that a memory keeps."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from placememory.errors import SettingError
from placememory.frames import Frame, Levels, list_frames, measure_levels, read_image
from placememory.frames.levels import to_grey_levels
from placememory.localization import Localizer, localize
from placememory.memory import PlaceMemory, copy, images_of_memory, merge
from placememory.memory.build import build
from tests.frames.bags.write import START, Messages, write_bag
from tests.memory.test_build import Thumbnails

HEIGHT, WIDTH, COUNT = 24, 32, 12


def picture(i: int) -> np.ndarray:
    """(H, W) float 0 to 1: blocks, others for each i."""
    return np.random.default_rng(i).random((3, 4)).repeat(8, axis=0).repeat(8, axis=1)


KINDS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "12 bits": (lambda p: (p * 4095).astype(np.uint16), "png"),
    "thermal": (lambda p: (51_200 + p * 1000).astype(np.uint16), "png"),
    "tiff": (lambda p: (51_200 + p * 1000).astype(np.uint16), "tif"),
    "pgm": (lambda p: (300 + p * 500).astype(np.uint16), "pgm"),
    "celsius": (lambda p: (18.0 + 14.0 * p).astype(np.float32), "tif"),
    "with dead pixels": (
        lambda p: np.where(np.arange(WIDTH) < 2, 0, 29_000 + p * 900).astype(np.uint16), "png",
    ),
}  # fmt: skip


def write(folder: Path, kind: str, numbers: range = range(COUNT)) -> Path:
    make, suffix = KINDS[kind]
    folder.mkdir(parents=True)
    for i in numbers:
        Image.fromarray(make(picture(i))).save(folder / f"{i:03d}.{suffix}")
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_the_range_that_is_used_becomes_most_grey_levels(tmp_path: Path, kind: str) -> None:
    frames = list_frames(write(tmp_path / "run", kind))
    levels = measure_levels(frames)
    assert levels is not None
    for i in (0, COUNT - 1):
        image = frames[i].with_levels(levels).image()
        plain = read_image(frames[i].path)
        assert len(np.unique(image)) >= len(np.unique(plain))
        live, true = image[:, 2:, 0].ravel(), picture(i)[:, 2:].ravel()
        assert np.corrcoef(live, true)[0, 1] > 0.999
        assert np.ptp(live) > 150 * np.ptp(true)


def test_images_of_8_bits_have_none_and_the_whole_range_stays_the_upper_bits(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "grey"
    folder.mkdir()
    wide = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    Image.fromarray((wide >> 8).astype(np.uint8)).save(folder / "a.png")
    assert measure_levels(list_frames(folder)) is None
    Image.fromarray(wide).save(folder / "a.png")
    assert measure_levels(list_frames(folder)) == Levels(0, 65536)
    np.testing.assert_array_equal(
        list_frames(folder)[0].with_levels(Levels(0, 65536)).image()[..., 0], wide >> 8
    )


def test_frames_without_a_scale_stay_as_they_are() -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    for frame in (Frame("a", "s", 0), Frame("a", "s", 0, read=lambda: pixels)):
        assert frame.with_levels(Levels(0, 9)) is frame
    read = Frame("a", "s", 0, read=partial(read_image, Path("a.png")))
    assert read.with_levels(None) is read
    scaled = read.with_levels(Levels(0, 9))
    assert scaled.path == Path("a.png")
    assert scaled == read


@pytest.mark.parametrize("kind", ["12 bits", "thermal", "celsius"])
def test_a_memory_scales_places_and_queries_alike(tmp_path: Path, kind: str) -> None:
    run = write(tmp_path / "run", kind)
    part = write(tmp_path / "part", kind, range(3, 6))  # of these alone the range is another
    encoder = Thumbnails()
    with build(tmp_path / "a.memory", run, encoder=encoder) as memory:
        assert memory.levels is not None
        assert memory.to_dict()["deep_images"] == f"values of {memory.levels}"
        for i in (3, 5):
            image = list_frames(part)[i - 3].with_levels(memory.levels).image()
            np.testing.assert_array_equal(image, images_of_memory(memory)(memory.places[i]))
        done = localize(memory, part, encoder=encoder, fusion=None)
        assert [e.best.place.index for e in done] == [3, 4, 5]
        assert all(e.best.similarity > 0.9999 for e in done)
        path = list_frames(part)[1].path
        assert Localizer(memory, encoder, fusion=None).observe(path).best.similarity > 0.9999
    with build(tmp_path / "a.memory", part, encoder=encoder) as memory:
        assert memory.report.added == 3
        same = {place.id: row for place, row in zip(memory.places, memory.descriptors, strict=True)}
        for i in range(3, 6):
            np.testing.assert_allclose(same["run", i], same["part", i - 3], atol=1e-6)


def test_the_range_goes_with_copies_and_merges_of_one_range(tmp_path: Path) -> None:
    encoder = Thumbnails()
    for name in ("12 bits", "thermal"):
        build(tmp_path / name, write(tmp_path / f"run {name}", name), encoder=encoder).close()
    with PlaceMemory.open(tmp_path / "thermal", readonly=True) as memory:
        levels = memory.levels
    with copy(tmp_path / "thermal", tmp_path / "copy") as copied:
        assert copied.levels == levels
    with pytest.raises(SettingError, match="scale deep images by other values"):
        merge([tmp_path / "thermal", tmp_path / "12 bits"], tmp_path / "both")
    grey = tmp_path / "grey"
    grey.mkdir()
    Image.fromarray((picture(0) * 255).astype(np.uint8)).save(grey / "a.png")
    build(tmp_path / "8 bits", grey, encoder=encoder).close()
    for order in (["8 bits", "thermal"], ["thermal", "8 bits"]):
        with merge([tmp_path / name for name in order], tmp_path / "-".join(order)) as merged:
            assert merged.levels == levels


@pytest.mark.parametrize("encoding", ["mono16", "16UC1", "32FC1"])
def test_deep_images_of_a_bag(tmp_path: Path, encoding: str) -> None:
    made, rows = Messages("mcap"), []
    for i in range(COUNT):
        values = 20.0 + 9.0 * picture(i) if encoding == "32FC1" else 51_200 + 900 * picture(i)
        data = values.astype(np.float32 if encoding == "32FC1" else np.uint16)
        message = made.image(START + i, data, encoding, WIDTH, HEIGHT, data.itemsize * WIDTH)
        rows.append(("/thermal", START + i, message))
    frames = list_frames(write_bag(tmp_path / "run", "mcap", rows))
    levels = measure_levels(frames)
    assert levels is not None
    image = frames[4].with_levels(levels).image()
    assert len(np.unique(image)) > 10 * len(np.unique(picture(4))) / 12
    assert np.ptp(image) > 150
    assert image.dtype == np.uint8


def test_few_grey_levels_are_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("placememory.frames.levels._Warned.once", False)
    values = (29_000 + 900 * np.random.default_rng(0).random((40, 50))).astype(np.uint16)
    with caplog.at_level(logging.WARNING):
        for name in ("a.png", "b.png"):
            to_grey_levels(values, None, name)
    assert len(caplog.messages) == 1
    assert "a.png and maybe others: uint16 values of 29000 to 29899 become 4 of 256" in caplog.text


def test_a_scale_that_holds_nan_and_values_beyond() -> None:
    values = np.array([[-np.inf, 1.0, np.nan], [1.5, 2.0, np.inf]], np.float32)
    assert Levels(1, 2).scale(values).tolist() == [[0, 0, 0], [128, 255, 255]]
