"""Images of a robot with a JSON file of positions.

``<root>/<name>/<i>.png`` (i from 1) and ``<root>/<name>.json``, a list of ``{"pos": [x, y, ...]}``
in metres; only x and y are used.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from placememory.datasets._files import frame_of, numbered_images, read_json_list, subfolders
from placememory.datasets._traverse import Dataset, Traverse
from placememory.errors import DatasetError
from placememory.frames import Pose


def matches(root: Path) -> bool:
    """Whether a folder has a JSON file of its name beside it."""
    return any((root / f"{path.name}.json").is_file() for path in subfolders(root))


class RosImages(Dataset):
    """Runs of a robot. Positions are (x, y) in metres."""

    def splits(self) -> list[str]:
        """The folders that hold images."""
        return [path.name for path in subfolders(self.root)]

    def traverse(self, split: str) -> Traverse:
        """A run."""
        if split not in self.splits():
            raise self._unknown_split(split)
        folder, path = self.root / split, self.root / f"{split}.json"
        images = numbered_images(folder, first=1)
        entries = read_json_list(path, len(images), folder)
        positions = np.array([_position(path, i, entry) for i, entry in enumerate(entries)])
        frames = (
            frame_of(image, self.root, split, i, pose=Pose(float(x), float(y)))
            for i, (image, (x, y)) in enumerate(zip(images, positions, strict=True))
        )
        return Traverse(split, tuple(frames), positions, "m", np.arange(1, len(images) + 1))


def _position(path: Path, index: int, entry: Any) -> tuple[float, float]:
    pos = entry.get("pos") if isinstance(entry, dict) else None
    found = pos[:2] if isinstance(pos, list) else []
    if len(found) < 2 or any(isinstance(v, bool) or not isinstance(v, int | float) for v in found):
        raise DatasetError(
            f'{path}: entry {index} is expected to be {{"pos": [x, y, ...]}}, not {entry!r}'
        )
    x, y = float(found[0]), float(found[1])
    if not (math.isfinite(x) and math.isfinite(y)):
        raise DatasetError(f"{path}: the position of entry {index} is not finite: {found}")
    return x, y


create = RosImages
