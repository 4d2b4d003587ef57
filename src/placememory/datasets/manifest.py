"""A plain table: ``image,traverse,x,y[,z][,yaw][,stamp][,frame][,session]``.

One row an image, header first. Images are relative to the table; x, y, z in metres, yaw in radians
counter-clockwise from x; ``stamp`` in nanoseconds, or in seconds (with a decimal point, or below
10^11); ``frame`` numbers the images of a session (default: rows of the traverse, from 0);
``session`` defaults to the traverse. Empty x and y: the position is not known; an empty z is 0.
Columns ``latitude`` and ``longitude`` in degrees may stand in place of x and y: they become metres
from one origin for all traverses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from placememory.datasets._files import (
    as_dataset_error,
    check_columns,
    frame_of,
    numbers,
    read_table,
    stamp_of_any,
    whole,
)
from placememory.datasets._traverse import Dataset, PositionUnit, Traverse
from placememory.errors import DatasetError, SettingError
from placememory.frames import Pose, local_poses
from placememory.frames.tables import at, column_names

_NEEDED = ("image", "traverse", "x", "y")
_DEGREES = ("latitude", "longitude")
_KNOWN = (*_NEEDED, "z", "yaw", "stamp", "frame", "session")


def matches(root: Path) -> bool:
    """Whether this is such a table, or a folder with a ``manifest.csv``."""
    path = _table(root)
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        columns = set(column_names(file.readline()))
        return set(_NEEDED) <= columns or {*_NEEDED[:2], *_DEGREES} <= columns


class Manifest(Dataset):
    """Traverses listed in a table. Positions are (x, y), or (x, y, z) where there is a z column.

    Args:
        root: The table, or a folder with ``manifest.csv``.
        unit: Of x, y, z: ``m``, or ``frames`` for positions on a common timeline.

    Raises:
        SettingError: The unit is not known.
        DatasetError: The table is missing or malformed; names file and line.
    """

    def __init__(self, root: Path | str, *, unit: PositionUnit = "m") -> None:
        super().__init__(root)
        if unit not in ("m", "frames"):
            raise SettingError(f"the unit is m or frames, not {unit!r}")
        self.unit: PositionUnit = unit
        self.path = _table(self.root)
        table = _in_metres(self.path, read_table(self.path, _NEEDED[:2]))
        check_columns(self.path, list(table[0][1]), _NEEDED)
        self._columns = list(table[0][1])
        unknown = [column for column in self._columns if column not in _KNOWN]
        if unknown:
            raise DatasetError(
                f"{self.path}: no column is called {unknown[0]!r}; known: {', '.join(_KNOWN)}"
            )
        self._rows: dict[str, list[_Row]] = {}
        self._lines: dict[tuple[str | int, ...], int] = {}
        for line, values in table:
            row = self._read(line, values)
            self._rows.setdefault(row.traverse, []).append(row)

    @property
    def name(self) -> str:
        """Name of the table, or of its folder if the table is called ``manifest.csv``."""
        return self.path.resolve().parent.name if self.path.stem == "manifest" else self.path.stem

    def splits(self) -> list[str]:
        """The traverses, in the order in which they first occur."""
        return list(self._rows)

    def traverse(self, split: str) -> Traverse:
        """The rows of one traverse, in their order."""
        if split not in self._rows:
            raise self._unknown_split(split)
        rows = self._rows[split]
        counts: dict[str, int] = {}
        frames = []
        for row in rows:
            index = counts[row.session] = counts.get(row.session, -1) + 1
            path, folder = self.path.parent / row.image, self.path.parent
            frames.append(
                frame_of(path, folder, row.session, index, pose=row.pose, stamp=row.stamp)
            )
        positions = np.array([row.position for row in rows])
        numbered = np.array([row.number for row in rows])
        return Traverse(split, tuple(frames), positions, self.unit, numbered)

    def _read(self, line: int, values: dict[str, str]) -> _Row:
        """A row of the table, checked against those before it."""
        image, traverse = values["image"], values["traverse"]
        if not image or not traverse:
            raise DatasetError(f"{self.path}:{line}: a row needs an image and a traverse")
        if not (self.path.parent / image).is_file():
            raise DatasetError(
                f"{self.path}:{line}: there is no image {image!r} in {self.path.parent}; images "
                "are named relative to the table"
            )
        session = values.get("session") or traverse
        self._once(line, f"the image {image!r} of traverse {traverse!r}", (traverse, image))
        frame, stamp = values.get("frame"), values.get("stamp")
        with as_dataset_error():
            number = whole(self.path, line, frame) if frame else len(self._rows.get(traverse, ()))
            nanoseconds = stamp_of_any(self.path, line, stamp) if stamp else None
            position = self._position(line, values)
            pose = self._pose(line, values, position)
        self._once(
            line, f"frame {number} of session {session!r}", (traverse, "frame", session, number)
        )
        return _Row(traverse, session, image, number, nanoseconds, position, pose)

    def _once(self, line: int, what: str, key: tuple[str | int, ...]) -> None:
        if key in self._lines:
            raise DatasetError(f"{self.path}:{line}: {what} is already on line {self._lines[key]}")
        self._lines[key] = line

    def _position(self, line: int, values: dict[str, str]) -> tuple[float, ...]:
        names = ("x", "y", "z") if "z" in self._columns else ("x", "y")
        if not values["x"] and not values["y"]:
            return (math.nan,) * len(names)
        words = [values[name] or ("0" if name == "z" else "") for name in names]
        found = numbers(self.path, line, words)
        if not all(math.isfinite(value) for value in found):
            raise DatasetError(f"{self.path}:{line}: the position is not finite: {words}")
        return tuple(found)

    def _pose(self, line: int, values: dict[str, str], position: tuple[float, ...]) -> Pose | None:
        if self.unit != "m" or math.isnan(position[0]):
            return None
        x, y, z = (*position, 0.0)[:3]
        if not values.get("yaw"):
            return Pose(x, y, z)
        [yaw] = numbers(self.path, line, [values["yaw"]])
        with at(self.path, line):
            return Pose.from_yaw(x, y, yaw, z)


@dataclass(frozen=True, slots=True)
class _Row:
    traverse: str
    session: str
    image: str
    number: int
    stamp: int | None
    position: tuple[float, ...]
    pose: Pose | None


def _in_metres(
    path: Path, table: list[tuple[int, dict[str, str]]]
) -> list[tuple[int, dict[str, str]]]:
    """Rows with x and y in metres, in place of latitudes and longitudes."""
    if not set(_DEGREES) <= table[0][1].keys():
        return table
    both = []
    with as_dataset_error():
        for line, row in table:
            words = [row[name] for name in _DEGREES]
            both.append(numbers(path, line, words) if all(words) else [math.nan, math.nan])
    rows = []
    poses = local_poses([lat for lat, _ in both], [lon for _, lon in both])
    for (line, row), pose in zip(table, poses, strict=True):
        if pose is None and all(row[name] for name in _DEGREES):
            raise DatasetError(
                f"{path}:{line}: {row['latitude']}, {row['longitude']} is no latitude and "
                "longitude in degrees near the others; leave both empty where they are not known"
            )
        kept = {name: value for name, value in row.items() if name not in _DEGREES}
        place = ("", "") if pose is None else (repr(pose.x), repr(pose.y))
        rows.append((line, {**kept, "x": place[0], "y": place[1]}))
    return rows


def _table(root: Path) -> Path:
    return root / "manifest.csv" if root.is_dir() else root


create = Manifest
