"""Listing the frames of folders, list files and single images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from placememory.errors import ImageError, InputError
from placememory.frames import list_frames


def make_folder(folder: Path, names: list[str]) -> Path:
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("no image")
        else:
            Image.fromarray(np.full((2, 3, 3), i, np.uint8)).save(path, format="PNG")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ["10.png", "9.PNG", "a b/ü 漢.jpg", "a b/2.webp", ".hidden.png", ".git/1.png", "no.txt"]
    (tmp_path / "run 1" / "folder.png").mkdir(parents=True)
    return make_folder(tmp_path / "run 1", names)


ALL = ["9.PNG", "10.png", "a b/2.webp", "a b/ü 漢.jpg"]


def names(source: Path, **options: object) -> list[str]:
    return [frame.name for frame in list_frames(source, **options)]


def test_a_folder_is_listed_recursively_in_natural_order(folder: Path) -> None:
    frames = list_frames(folder)
    assert [frame.name for frame in frames] == ALL
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert {frame.session for frame in frames} == {"run 1"}
    assert [int(frame.image()[0, 0, 0]) for frame in frames] == [1, 0, 3, 2]
    assert [frame.name for frame in list_frames(str(folder), session="s")] == ALL
    assert list_frames(folder, session="s")[0].session == "s"


def test_the_session_is_the_folders_name_even_of_a_dot(folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    assert list_frames(".")[0].session == "run 1"


def test_every_keeps_the_index(folder: Path) -> None:
    assert [(f.index, f.name) for f in list_frames(folder, every=3)] == [(0, ALL[0]), (3, ALL[3])]
    with pytest.raises(InputError, match="every must be at least 1"):
        list_frames(folder, every=0)


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        (["*.png"], ["10.png"]),
        (["a b/*"], ALL[2:]),
        (["*.png", "**/*.png", "**/*.webp"], ["10.png", "a b/2.webp"]),
        (["**/.*"], None),
        (["*.txt"], None),
    ],
)
def test_globs(folder: Path, globs: list[str], expected: list[str] | None) -> None:
    if expected is not None:
        assert names(folder, globs=globs) == expected
        return
    with pytest.raises(InputError, match="no images that match"):
        names(folder, globs=globs)


@pytest.mark.parametrize("glob", ["/tmp/*.png", "", "**x/*"])
def test_impossible_globs(folder: Path, glob: str) -> None:
    with pytest.raises(InputError, match="a glob is a pattern relative"):
        names(folder, globs=[glob])


def test_a_list_of_names_keeps_its_order(folder: Path, tmp_path: Path) -> None:
    wanted = [ALL[3], ALL[0]]
    assert names(folder, names=iter(wanted)) == wanted
    (tmp_path / "list.txt").write_bytes(
        f"\ufeff{wanted[0]}\r\n\r\n# comment\r\n  {wanted[1]}  \r\n".encode()
    )
    assert names(folder, names=tmp_path / "list.txt") == wanted
    assert names(folder, names=str(tmp_path / "list.txt")) == wanted
    with pytest.raises(ImageError, match=r"1 of 2 listed images.*first 'none\.png'"):
        names(folder, names=[ALL[0], "none.png"])
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\xff")
    for bad in ("bad.txt", "missing.txt"):
        with pytest.raises(InputError, match=bad):
            names(folder, names=tmp_path / bad)


def test_a_single_image(folder: Path) -> None:
    (frame,) = list_frames(folder / "10.png")
    assert (frame.name, frame.session, frame.index) == ("10.png", "10", 0)
    assert frame.image().shape == (2, 3, 3)


def test_nothing_to_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images in this folder"):
        list_frames(tmp_path)
    with pytest.raises(InputError, match=r"none: there is no such folder"):
        list_frames(tmp_path / "none")


def test_parse_names_and_exif_reach_the_frames(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(np.zeros((2, 3, 3), np.uint8))
    image.save(tmp_path / "vertex_005_000034_1751340273862754844.png", exif=exif)
    (frame,) = list_frames(tmp_path)
    assert (frame.vertex_id, frame.stamp, frame.pose) == (5, 1751340273862754844, None)
    assert frame.image().shape == (3, 2, 3)
    assert list_frames(tmp_path, exif=False)[0].image().shape == (2, 3, 3)


def test_a_file_that_vanished(folder: Path) -> None:
    frame = list_frames(folder)[0]
    (folder / frame.name).unlink()
    with pytest.raises(ImageError, match=r"9\.PNG: there is no such image"):
        frame.image()
