"""Folders of images with coordinates in their names, as VPR-datasets-downloader makes them.

``<root>/[images/]<train|val|test>/<database|queries>/@<utm east>@<utm north>@...@.jpg``; field 9,
where it is filled, is the heading in degrees clockwise from north. A split is ``test/queries``.
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

    @cached_property
    def _origin(self) -> Origin | None:
        """Of positions in degrees: that of the first folder."""
        first = images_in(next(iter(_folders(self.root).values())))
        poses = (facts.pose for facts in parse_names([path.name for path in first]).facts)
        pose = next((pose for pose in poses if pose is not None), None)
        return None if pose is None else Origin.of_frame(pose.frame_id)

    def traverse(self, split: str) -> Traverse:
        """The images of one folder."""
        folder = _folders(self.root).get(split)
        if folder is None:
            raise self._unknown_split(split)
        images = images_in(folder)
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
    base = root / "images" if (root / "images").is_dir() else root
    named = [path for path in subfolders(base) if path.name in _STAGES]
    return {
        f"{stage.name}/{side}": stage / side
        for stage in sorted(named, key=lambda path: _STAGES.index(path.name))
        for side in _SIDES
        if has_images(stage / side)
    }


create = UtmFolders
