"""GSV-Cities: images of a city whose names hold place, date, direction and position.

``<root>/[Images/]<city>/<city>_<place>_<year>_<month>_<direction>_<latitude>_<longitude>_<pano>.jpg``;
the direction is in degrees clockwise from north. A split is a city.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from placememory.datasets._files import frame_of, images_in, subfolders
from placememory.datasets._traverse import Dataset, Traverse
from placememory.errors import DatasetError
from placememory.frames import local_poses

LICENCE = "images of Google Street View, for research"
ADDRESS = "https://github.com/amaralibey/gsv-cities"
DATA_SETS = ("GSV-Cities",)
_NAME = re.compile(
    r"^(?P<city>.+?)_(?P<place>\d+)_(?P<year>\d{4})_(?P<month>\d{1,2})_(?P<north>-?\d{1,3})"
    r"_(?P<lat>-?\d+\.\d+)_(?P<lon>-?\d+\.\d+)_(?P<pano>.*)$"
)


def matches(root: Path) -> bool:
    """Whether the first image of a city is named as here."""
    return bool(_cities(root))


class GsvCities(Dataset):
    """Cities. Positions are metres east and north of an origin in the middle of each city.

    Images of one place have one session, in the order of their dates; frame numbers only count
    them, so do not build sequence windows of this layout.
    """

    def splits(self) -> list[str]:
        """The cities."""
        return list(_cities(self.root))

    def traverse(self, split: str) -> Traverse:
        """The images of a city."""
        folder = _cities(self.root).get(split)
        if folder is None:
            raise self._unknown_split(split)
        images = images_in(folder)
        found = [_NAME.match(path.stem) for path in images]
        facts = [match for match in found if match is not None]
        if len(facts) < len(images):
            raise DatasetError(
                f"{images[found.index(None)]}: images here are called <city>_<place>_<year>_<month>"
                "_<direction>_<latitude>_<longitude>_<pano>.jpg"
            )
        lat, lon, north = ([float(f[name]) for f in facts] for name in ("lat", "lon", "north"))
        poses = local_poses(lat, lon, list(north))
        frames, positions, counts = [], [], dict[str, int]()
        for path, fact, pose in zip(images, facts, poses, strict=True):
            session = f"{split}/{fact['place']}"
            index = counts[session] = counts.get(session, -1) + 1
            frames.append(frame_of(path, self.root, session, index, pose=pose))
            positions.append((np.nan, np.nan) if pose is None else (pose.x, pose.y))
        numbers = np.arange(len(frames))
        return Traverse(split, tuple(frames), np.array(positions), "m", numbers)


def _cities(root: Path) -> dict[str, Path]:
    base = root / "Images" if (root / "Images").is_dir() else root
    return {path.name: path for path in subfolders(base) if _is_city(path)}


def _is_city(folder: Path) -> bool:
    first = next((path for path in folder.iterdir() if path.suffix.lower() == ".jpg"), None)
    return first is not None and _NAME.match(first.stem) is not None


create = GsvCities
