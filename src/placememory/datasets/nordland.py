"""Nordland: a folder for each season, and the place of each image on the timeline they share.

As CaseVPR lays it out: ``<root>/test_<season>/<i>.png`` (i from 0) and
``<root>/gt_test_<season>.json``, a list with the place of each image. Or with the number of the
frame in the names, also of a part of them: ``<root>/<summer|winter|...>/images-00001.png``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from placememory.datasets._files import (
    frame_of,
    has_images,
    images_in,
    numbered_images,
    read_json_list,
    subfolders,
)
from placememory.datasets._traverse import Dataset, Traverse
from placememory.errors import DatasetError
from placememory.frames.names import parse_names

_FOLDER = "test_"
_SEASONS = ("spring", "summer", "fall", "autumn", "winter")
LICENCE = "CC BY-SA (NRK)"
ADDRESS = "https://github.com/gmberton/VPR-datasets-downloader (download_nordland.py)"
DATA_SETS = ("Nordland, 27,592 frames a season", "Nordland, every tenth of them as 2,760 queries")


def matches(root: Path) -> bool:
    """Whether a season has its folder and its ground truth."""
    listed = any((root / f"gt_{path.name}.json").is_file() for path in _seasons(root))
    return listed or len(_numbered(root)) > 1


class Nordland(Dataset):
    """Seasons of Nordland. Positions are (place on the timeline, 0), in frames."""

    def splits(self) -> list[str]:
        """The seasons."""
        listed = [path.name.removeprefix(_FOLDER) for path in _seasons(self.root)]
        return listed or list(_numbered(self.root))

    def traverse(self, split: str) -> Traverse:
        """A season."""
        if split not in self.splits():
            raise self._unknown_split(split)
        numbered = _numbered(self.root)
        if not _seasons(self.root):
            return self._traverse_by_number(split, numbered[split])
        folder = self.root / f"{_FOLDER}{split}"
        images = numbered_images(folder, first=0)
        path = self.root / f"gt_{_FOLDER}{split}.json"
        places = read_json_list(path, len(images), folder)
        for i, place in enumerate(places):
            if isinstance(place, bool) or not isinstance(place, int | float):
                raise DatasetError(f"{path}: entry {i} is no number but {place!r}")
        positions = np.column_stack([np.array(places, dtype=np.float64), np.zeros(len(places))])
        frames = (frame_of(image, self.root, split, i) for i, image in enumerate(images))
        return Traverse(split, tuple(frames), positions, "frames", np.arange(len(images)))

    def _traverse_by_number(self, split: str, folder: Path) -> Traverse:
        images = images_in(folder)
        found = [facts.number for facts in parse_names([path.name for path in images]).facts]
        numbers = [number for number in found if number is not None]
        if len(numbers) < len(images):
            raise DatasetError(
                f"{images[found.index(None)]}: images here have the number of their frame in the "
                "name, such as images-00001.png"
            )
        if len(set(numbers)) < len(numbers):
            raise DatasetError(f"{folder}: two images have the same frame number")
        positions = np.column_stack([np.array(numbers, np.float64), np.zeros(len(numbers))])
        frames = (frame_of(image, self.root, split, i) for i, image in enumerate(images))
        return Traverse(split, tuple(frames), positions, "frames", np.array(numbers))


def _numbered(root: Path) -> dict[str, Path]:
    """Folders called by a season, by name."""
    found = (path for path in subfolders(root) if path.name.lower().startswith(_SEASONS))
    return {path.name: path for path in found if has_images(path)}


def _seasons(root: Path) -> list[Path]:
    return [path for path in subfolders(root) if path.name.startswith(_FOLDER)]


create = Nordland
