"""RobotCar as CaseVPR (and VGT before it) lays it out; NYL and SRC have the same layout.

``<root>/<scene>/<sub>/[sequence/]@<northing>@<easting>@<date>@<frame number>@<timestamp>@.jpg``.
A split is ``scene/sub``, such as ``1/queries``. Images may also lie in several folders below
``sub``; each is then a session of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from placememory.datasets._files import frame_of, has_images, images_in, subfolders
from placememory.datasets._traverse import Dataset, Traverse
from placememory.errors import DatasetError
from placememory.frames import Frame, Pose

LICENCE = "CC BY-NC-SA 4.0 (Oxford RobotCar)"
ADDRESS = "https://robotcar-dataset.robots.ox.ac.uk, as https://github.com/phatli/CaseVPR has it"
DATA_SETS = ("Oxford RobotCar", "NYL", "SRC")
FIELDS = 7  # between the @, with the empty one before the first and the suffix after the last
_NAME = "@northing@easting@date@frame number@timestamp@.jpg"


def matches(root: Path) -> bool:
    """Whether the first image of a split is named as here."""
    for scene in subfolders(root):
        for sub in subfolders(scene):
            for folder in _folders(sub):
                return images_in(folder)[0].name.count("@") == FIELDS - 1
    return False


class RobotCar(Dataset):
    """Traverses of RobotCar. Positions are (field 1, field 2) in metres, as they stand.

    Args:
        root: Folder of the scenes.
        allow_gaps: Take frame numbers as they are. By default they must run from 0 without gaps
            in each folder, as the published code requires; sequence retrieval does not.
    """

    def __init__(self, root: Path | str, *, allow_gaps: bool = False) -> None:
        super().__init__(root)
        self.allow_gaps = allow_gaps

    def splits(self) -> list[str]:
        """``scene/sub`` for all that hold images."""
        return [
            f"{scene.name}/{sub.name}"
            for scene in subfolders(self.root)
            for sub in subfolders(scene)
            if _folders(sub)
        ]

    def traverse(self, split: str) -> Traverse:
        """A traverse; the old spelling ``scene_sub`` (``train_queries``) is understood."""
        known = self.splits()
        name = split if split in known else "/".join(split.rsplit("_", 1))
        if name not in known:
            raise self._unknown_split(split)
        folders = _folders(self.root / name)
        frames: list[Frame] = []
        facts: list[_Facts] = []
        for folder in folders:
            session = name if len(folders) == 1 else f"{name}/{folder.name}"
            found = sorted((_facts(path) for path in images_in(folder)), key=lambda f: f.number)
            self._check_numbers(found)
            for i, fact in enumerate(found):
                pose = Pose(*fact.position, frame_id="utm")
                frames.append(
                    frame_of(fact.path, self.root, session, i, pose=pose, stamp=fact.stamp)
                )
            facts += found
        positions = np.array([fact.position for fact in facts])
        numbers = np.array([fact.number for fact in facts])
        return Traverse(name, tuple(frames), positions, "m", numbers)

    def _check_numbers(self, facts: list[_Facts]) -> None:
        for before, after in pairwise(facts):
            if before.number == after.number:
                raise DatasetError(
                    f"{after.path}: frame number {after.number} is also that of "
                    f"{before.path.name}; one of them must go"
                )
        for number, fact in enumerate(facts):
            if fact.number != number and not self.allow_gaps:
                raise DatasetError(
                    f"{fact.path}: frame number {fact.number} where {number} is expected; numbers "
                    "run from 0 without gaps: renumber the files, or set the option "
                    "allow_gaps: true"
                )


@dataclass(frozen=True, slots=True)
class _Facts:
    path: Path
    position: tuple[float, float]
    number: int
    stamp: int


def _facts(path: Path) -> _Facts:
    fields = path.name.split("@")
    if len(fields) != FIELDS or fields[0]:
        raise DatasetError(f"{path}: images here are called {_NAME}")
    try:
        x, y, number, stamp = float(fields[1]), float(fields[2]), int(fields[4]), int(fields[5])
    except ValueError as error:
        raise DatasetError(f"{path}: {error}; images here are called {_NAME}") from error
    if not (math.isfinite(x) and math.isfinite(y)) or number < 0:
        raise DatasetError(f"{path}: position and frame number must be finite and not negative")
    return _Facts(path, (x, y), number, _nanoseconds(stamp))


def _nanoseconds(stamp: int) -> int:
    """Stamp in seconds, milli-, micro- or nanoseconds since 1970, distinguished by its size."""
    while 0 < stamp < 10**17:
        stamp *= 1000
    return stamp


def _folders(sub: Path) -> list[Path]:
    """Where the images of a split lie."""
    for folder in (sub / "sequence", sub):
        if has_images(folder):
            return [folder]
    return [folder for folder in subfolders(sub) if has_images(folder)]


create = RobotCar
