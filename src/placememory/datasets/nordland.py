"""Nordland as CaseVPR lays it out: a folder and a ground-truth file for each season.

``<root>/test_<season>/<i>.png`` (i from 0) and ``<root>/gt_test_<season>.json``, a list with the
place of each image on the timeline that all seasons share.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from placememory.datasets._files import frame_of, numbered_images, read_json_list, subfolders
from placememory.datasets._traverse import Dataset, Traverse
from placememory.errors import DatasetError

_FOLDER = "test_"


def matches(root: Path) -> bool:
    """Whether a season has its folder and its ground truth."""
    return any((root / f"gt_{path.name}.json").is_file() for path in _seasons(root))


class Nordland(Dataset):
    """Seasons of Nordland. Positions are (place on the timeline, 0), in frames."""

    def splits(self) -> list[str]:
        """The seasons."""
        return [path.name.removeprefix(_FOLDER) for path in _seasons(self.root)]

    def traverse(self, split: str) -> Traverse:
        """A season."""
        if split not in self.splits():
            raise self._unknown_split(split)
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


def _seasons(root: Path) -> list[Path]:
    return [path for path in subfolders(root) if path.name.startswith(_FOLDER)]


create = Nordland
