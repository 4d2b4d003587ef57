"""Folders as people have them: links, loops, files of kinds that are not read."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from PIL import Image

from placememory.errors import InputError
from placememory.frames import list_frames


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2)).save(path, format="PNG")
    return folder


def names(source: Path, **options: object) -> list[str]:
    return [frame.name for frame in list_frames(source, **options)]


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    real = make(tmp_path / "real", "1.png", "deep/2.png")
    root = make(tmp_path / "root", "cam1/9.png")
    (root / "cam0").symlink_to(real)
    (root / "cam1" / "8.png").symlink_to(real / "1.png")
    expected = ["cam0/1.png", "cam0/deep/2.png", "cam1/8.png", "cam1/9.png"]
    assert names(root) == expected
    assert names(root, globs=["cam0/**/*.png"]) == expected[:2]
    assert list_frames(root)[1].image().shape == (2, 3, 3)
    alone = tmp_path / "alone"
    alone.symlink_to(root)
    assert names(alone) == expected


@pytest.mark.parametrize("target", [".", "..", "a", "../outer"])
def test_loops_end_and_nothing_is_listed_twice(
    tmp_path: Path, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    root = make(tmp_path / "outer" / "root", "a/1.png", "2.png")
    (root / "loop").symlink_to(target)
    found = names(root)
    assert sorted(name.rpartition("/")[2] for name in found) == ["1.png", "2.png"]
    assert "loop" not in {name.split("/")[0] for name in found}
    if target in (".", "a"):
        assert "loop: left out, as it links to a folder that is listed already" in caplog.text


def test_folders_that_link_to_one_another_end_soon(tmp_path: Path) -> None:
    folders = [make(tmp_path / f"d{i}", f"{i}.png") for i in range(9)]
    for here in folders:
        for there in folders:
            if here != there:
                (here / f"to-{there.name}").symlink_to(there)
    assert sorted(name.rpartition("/")[2] for name in names(folders[0])) == [
        f"{i}.png" for i in range(9)
    ]


def test_a_link_that_leads_nowhere_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = make(tmp_path / "root", "1.png")
    (root / "gone").symlink_to(tmp_path / "nothing")
    assert names(root) == ["1.png"]
    assert "gone: left out, as the link leads nowhere" in caplog.text


def test_what_is_left_out_is_counted_and_named_by_kind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = make(tmp_path / "root", "1.png", "2.GIF", "3.cr2", "4.CR2", "5.mp4")
    (root / "poses.csv").touch()
    assert names(root) == ["1.png"]
    assert "4 of 5 images and videos are left out: 2 .cr2" in caplog.text
    assert ".csv" not in caplog.text
    caplog.clear()
    assert names(root, globs=["*.png"]) == ["1.png"]
    assert not caplog.text


@pytest.mark.parametrize(
    ("files", "text"),
    [
        (["a.mp4", "b.mp4"], r"no images in this folder .*it holds 2 \.mp4"),
        (["a.csv", "photo", "b.dng"], r"it holds 1 \.csv, 1 \.dng, 1 without a suffix"),
        ([], r"no images in this folder \(PNG, JPEG.*HEIC\)$"),
    ],
)
def test_a_folder_without_images_says_what_it_holds(
    tmp_path: Path, files: list[str], text: str
) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=text):
        names(tmp_path)


def test_a_pipe_in_a_folder_is_no_image_and_one_given_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path / "root", "1.png")
    os.mkfifo(root / "2.png")
    assert names(root) == ["1.png"]
    with pytest.raises(InputError, match=r"2\.png: it is a pipe; give a file"):
        names(root / "2.png")
    with pytest.raises(InputError, match="/dev/zero: it is a device"):
        names(Path("/dev/zero"))


def test_heic_without_the_extra_is_counted_before_the_first_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("placememory.frames.folders.has_heif", lambda: False)
    root = make(tmp_path / "root", "1.png", "2.HEIC", "3.heif")
    with caplog.at_level(logging.WARNING):
        assert names(root) == ["1.png", "2.HEIC", "3.heif"]
    assert "2 of 3 images are HEIC, which needs: pip install 'placememory[heif]'" in caplog.text
