"""Folders of images with UTM coordinates in their names, as VPR-datasets-downloader makes them.

``<root>/[images/]<train|val|test>/<database|queries>/@<utm east>@<utm north>@...@.jpg``; field 9,
where it is filled, is the heading in degrees clockwise from north. A split is ``test/queries``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from placememory.datasets import robotcar
from placememory.datasets._files import frame_of, has_images, images_in, subfolders
from placememory.datasets._traverse import Dataset, Traverse
from placememory.errors import DatasetError
from placememory.frames.names import parse_name

_STAGES = ("train", "val", "test")
_SIDES = ("database", "queries")


def matches(root: Path) -> bool:
    """Whether there is such a folder whose first image has coordinates, but not RobotCar's name."""
    for folder in _folders(root).values():
        name = images_in(folder)[0].name
        return name.startswith("@") and name.count("@") != robotcar.FIELDS - 1
    return False


class UtmFolders(Dataset):
    """Database and queries. Positions are (UTM east, UTM north) in metres.

    Images are in natural order of their names, which need not be the order they were taken in:
    frame numbers only count them, so do not build sequence windows of this layout.
    """

    def splits(self) -> list[str]:
        """``test/database``, ``test/queries`` and so on, as far as they are there."""
        return list(_folders(self.root))

    def traverse(self, split: str) -> Traverse:
        """The images of one folder."""
        folder = _folders(self.root).get(split)
        if folder is None:
            raise self._unknown_split(split)
        frames, positions = [], []
        for i, path in enumerate(images_in(folder)):
            pose = parse_name(path.name).pose
            if pose is None:
                raise DatasetError(
                    f"{path}: images here are called @<utm east>@<utm north>@...@.jpg, in metres"
                )
            frames.append(frame_of(path, self.root, split, i, pose=pose))
            positions.append((pose.x, pose.y))
        return Traverse(split, tuple(frames), np.array(positions), "m", np.arange(len(frames)))


def _folders(root: Path) -> dict[str, Path]:
    """Folders that hold images, by split."""
    base = root / "images" if (root / "images").is_dir() else root
    named = [path for path in subfolders(base) if path.name in _STAGES]
    return {
        f"{stage.name}/{side}": stage / side
        for stage in sorted(named, key=lambda path: _STAGES.index(path.name))
        for side in _SIDES
        if has_images(stage / side)
    }


create = UtmFolders
