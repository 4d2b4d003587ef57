"""What every data set gives: traverses of frames with true positions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from placememory._registry import unknown_name
from placememory.errors import DatasetError
from placememory.frames import Frame, Pose

PositionUnit = Literal["m", "frames"]
_REFERENCES = ("database", "map", "ref", "reference", "db", "gallery", "refs")


@dataclass(frozen=True, slots=True, eq=False)
class Traverse:
    """Frames in the order they were taken, with their true positions.

    Attributes:
        name: Name of the split.
        frames: N frames; images are read when asked for. A frame's session is the folder or
            sequence within which its number counts.
        positions: (N, 2) or (N, 3) float64, read-only, in ``unit``; NaN where not known.
        unit: ``m``, or ``frames``: positions along a common timeline.
        frame_numbers: (N,) int64, read-only; consecutive numbers are consecutive frames.
        tolerances: (N,) float64 in ``unit``, within which a match of this frame is right; ``None``
            where the data set leaves the radius to the protocol.
        positives: N lists of rows of the traverse ``positives_of``: the correct ones for each
            frame, in place of a radius. ``None`` where the data set lists none.
        positives_of: Name of the split that the rows are of.

    Raises:
        DatasetError: Lengths or shapes do not agree, a position is infinite, or a frame (session
            and index) occurs twice.

    Example:
        >>> run = Traverse("day", (Frame("a.png", "day", 0),), np.zeros((1, 2)), "m", np.arange(1))
        >>> len(run), run.sessions
        (1, ('day',))
    """

    name: str
    frames: tuple[Frame, ...]
    positions: NDArray[np.float64]
    unit: PositionUnit
    frame_numbers: NDArray[np.int64]
    tolerances: NDArray[np.float64] | None = None
    positives: tuple[NDArray[np.int64], ...] | None = None
    positives_of: str = ""

    def __post_init__(self) -> None:
        positions = np.array(self.positions, dtype=np.float64)
        numbers = np.array(self.frame_numbers, dtype=np.int64)
        count = len(self.frames)
        if positions.shape not in ((count, 2), (count, 3)) or numbers.shape != (count,):
            raise DatasetError(
                f"{self.name}: {count} frames, positions {positions.shape} and frame numbers "
                f"{numbers.shape} do not agree"
            )
        if np.isinf(positions).any():
            row = int(np.isinf(positions).any(axis=1).argmax())
            raise DatasetError(f"{self.name}: the position of {self.frames[row].name} is infinite")
        twice = Counter((frame.session, frame.index) for frame in self.frames).most_common(1)
        if twice and twice[0][1] > 1:
            raise DatasetError(f"{self.name}: frame {twice[0][0]} occurs {twice[0][1]} times")
        arrays = {"positions": positions, "frame_numbers": numbers}
        if self.tolerances is not None:
            arrays["tolerances"] = np.array(self.tolerances, dtype=np.float64)
            if arrays["tolerances"].shape != (count,):
                raise DatasetError(f"{self.name}: {count} frames need as many tolerances")
        if self.positives is not None and len(self.positives) != count:
            raise DatasetError(f"{self.name}: {count} frames need as many lists of positives")
        for name, array in arrays.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def pose_of(self, row: int) -> Pose | None:
        """The pose of a frame, or its position without rotation; ``None`` where neither is known.

        The position is in :attr:`unit`.
        """
        pose, (x, y) = self.frames[row].pose, self.positions[row][:2]
        if pose is not None or np.isnan(self.positions[row]).any():
            return pose
        return Pose(float(x), float(y))

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.frames)

    @property
    def sessions(self) -> tuple[str, ...]:
        """(N,) the session of each frame: the folder in which its number counts."""
        return tuple(frame.session for frame in self.frames)


class Dataset(ABC):
    """A data set on disk. Opening it looks at folders; a traverse is read when asked for.

    Args:
        root: The folder (or file) of the data set.

    Raises:
        DatasetError: There is nothing at ``root``.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        if not self.root.exists():
            raise DatasetError(f"{self.root}: there is no such data set; was it unpacked here?")

    @property
    def name(self) -> str:
        """Name of the data set: that of its folder."""
        return self.root.resolve().stem if self.root.is_file() else self.root.resolve().name

    @abstractmethod
    def splits(self) -> list[str]:
        """Names of the traverses."""

    @abstractmethod
    def traverse(self, split: str) -> Traverse:
        """Read a traverse.

        Raises:
            DatasetError: There is no such split, or its files are malformed; the message names the
                file and, where it has lines, the line.
        """

    def pairs(self) -> list[tuple[str, str | None]]:
        """Queries and their maps among the splits, by name; a map is ``None`` for a split alone.

        Splits of one city or stage belong together: ``cph/query`` and ``cph/database``. The map is
        called database, map, reference or the like, else it is the first.
        """
        groups: dict[str, list[str]] = {}
        for split in self.splits():
            groups.setdefault(split.rpartition("/")[0], []).append(split)
        found: list[tuple[str, str | None]] = []
        for splits in groups.values():
            named = [s for s in splits if s.rpartition("/")[2].lower() in _REFERENCES]
            maps = named or splits[:1]
            queries = [split for split in splits if split not in maps]
            found += [(query, maps[0]) for query in queries] or [(maps[0], None)]
        return found

    def _unknown_split(self, split: str) -> DatasetError:
        what = f"{self.root}: no split is called"
        return DatasetError(unknown_name(what, split, self.splits(), "there are"))
