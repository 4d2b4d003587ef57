"""Folders of images with coordinates in their names, as VPR-datasets-downloader makes them.

``<root>/[images/]<train|val|test>/<database|queries>/@<utm east>@<utm north>@...@.jpg``; field 9,
where it is filled, is the heading in degrees clockwise from north. A split is ``test/queries``.
Images may also lie in folders below (SF-XL), the database be called ``gallery`` (SVOX).
Several folders of queries (``queries_night``, ``queries_v1``) are splits of their own. Longitude
and latitude in degrees, in place of the metres, become metres.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from placememory.datasets import robotcar
from placememory.datasets._files import frame_of, has_images, images_in, subfolders
from placememory.datasets._traverse import Dataset, Traverse
from placememory.errors import DatasetError
from placememory.frames import Origin
from placememory.frames.names import parse_names

_STAGES = ("train", "val", "test")
_DATABASES = ("database", "gallery", "db")
_SIDES = (*_DATABASES, "queries", "query")
LICENCE = "as the page of each says: of most, for research; Nordland CC BY-SA"
ADDRESS = "https://github.com/gmberton/VPR-datasets-downloader"
DATA_SETS = (
    "Pitts30k",
    "Pitts250k",
    "Tokyo 24/7",
    "SF-XL",
    "SVOX",
    "St Lucia",
    "Eynsham",
    "Nordland",
)


def matches(root: Path) -> bool:
    """Whether there is such a folder whose first image has coordinates, but not RobotCar's name."""
    for folder in _folders(root).values():
        name = _images(folder)[0].name
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

    @cached_property
    def _origin(self) -> Origin | None:
        """Of positions in degrees: that of the first folder."""
        first = _images(next(iter(_folders(self.root).values())))
        poses = (facts.pose for facts in parse_names([path.name for path in first]).facts)
        pose = next((pose for pose in poses if pose is not None), None)
        return None if pose is None else Origin.of_frame(pose.frame_id)

    def traverse(self, split: str) -> Traverse:
        """The images of one folder."""
        folder = _folders(self.root).get(split)
        if folder is None:
            raise self._unknown_split(split)
        images = _images(folder)
        frames, positions = [], []
        read = parse_names([path.name for path in images], self._origin)
        for i, (path, facts) in enumerate(zip(images, read.facts, strict=True)):
            pose = facts.pose
            if pose is None:
                raise DatasetError(
                    f"{path}: images here are called @<utm east>@<utm north>@...@.jpg, in metres"
                )
            frames.append(frame_of(path, self.root, split, i, pose=pose))
            positions.append((pose.x, pose.y))
        return Traverse(split, tuple(frames), np.array(positions), "m", np.arange(len(frames)))


def _folders(root: Path) -> dict[str, Path]:
    """Folders that hold images, by split."""
    inner = (root / name for name in ("images", "processed") if (root / name).is_dir())
    base = next(inner, root)
    named = [path for path in subfolders(base) if path.name in _STAGES]
    return {
        f"{stage.name}/{side.name}": side
        for stage in sorted(named, key=lambda path: _STAGES.index(path.name))
        for side in sorted(subfolders(stage), key=lambda path: path.name not in _DATABASES)
        if side.name.startswith(_SIDES) and _images(side)
    }


def _images(folder: Path) -> list[Path]:
    """Images in a folder, or in the folders below it."""
    if has_images(folder):
        return images_in(folder)
    return [path for below in subfolders(folder) for path in _images(below)]


create = UtmFolders
