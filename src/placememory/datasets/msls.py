"""Mapillary Street-level Sequences.

``<root>/<train_val|test>/<city>/<query|database>/`` with ``images/<key>.jpg`` and four tables, of
which these columns are used:

- ``postprocessed.csv``: key, easting, northing (metres); night and view_direction where a filter
  asks for them;
- ``seq_info.csv``: key, sequence_key (or sequence_id), frame_number;
- ``raw.csv``: pano, ca (compass angle, degrees clockwise from north); it may be missing;
- ``subtask_index.csv``: a column of true and false for each subtask, only where a subtask is asked
  for.

The test cities are read where their positions are there: in the columns easting and northing, or as
longitude and latitude (``lon``, ``lat``) in ``raw.csv``.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from placememory.datasets._files import (
    as_dataset_error,
    check_columns,
    frame_of,
    images_in,
    numbers,
    read_table,
    subfolders,
    whole,
)
from placememory.datasets._traverse import Dataset, Traverse
from placememory.errors import DatasetError, SettingError
from placememory.frames import Origin, Pose, local_poses

LICENCE = "CC BY-NC-SA 4.0"
ADDRESS = "https://www.mapillary.com/dataset/places"
DATA_SETS = ("Mapillary Street-level Sequences",)
_SIDES = ("database", "query")
_TRUE, _FALSE = ("true", "1", "1.0"), ("false", "0", "0.0", "")
_Table = dict[str, tuple[int, dict[str, str]]]


def matches(root: Path) -> bool:
    """Whether a city has its table of positions."""
    return bool(_folders(root))


class Msls(Dataset):
    """Cities of MSLS. Positions are (easting, northing) in metres of the city's UTM zone.

    Frames are in the order of their sequences and numbers; each sequence is a session.

    Args:
        root: Folder that holds ``train_val``, or ``train_val`` itself.
        panoramas: Keep panoramas; they are left out by default.
        night: Only images taken at night (``True``) or by day (``False``).
        view_direction: Only ``Forward``, ``Backward`` or ``Sideways``.
        subtask: Only images of a subtask: the name of a column of ``subtask_index.csv``.

    Raises:
        SettingError: The view direction is not known.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        panoramas: bool = False,
        night: bool | None = None,
        view_direction: str | None = None,
        subtask: str | None = None,
    ) -> None:
        super().__init__(root)
        if view_direction not in (None, "Forward", "Backward", "Sideways"):
            raise SettingError(
                f"a view direction is Forward, Backward or Sideways, not {view_direction!r}"
            )
        self.panoramas = panoramas
        self.night = night
        self.view_direction = view_direction
        self.subtask = subtask

    def splits(self) -> list[str]:
        """``city/query`` and ``city/database``."""
        return list(_folders(self.root))

    def traverse(self, split: str) -> Traverse:
        """The images of one side of a city."""
        folder = _folders(self.root).get(split)
        if folder is None:
            raise self._unknown_split(split)
        places = _by_key(folder / "postprocessed.csv", [])
        order = _order(folder / "seq_info.csv", places)
        raw = _by_key(folder / "raw.csv", []) if (folder / "raw.csv").is_file() else {}
        allowed = self._subtask_keys(folder, places)
        keys = [
            key for key in order if key in allowed and self._is_selected(folder, key, places, raw)
        ]
        if not keys:
            raise DatasetError(f"{folder}: no image is left; the filters are {self._filters()}")
        _check_images(folder, keys)
        header = next(iter(places.values()))[1]
        if {"easting", "northing"} & header.keys():
            check_columns(folder / "postprocessed.csv", list(header), ["easting", "northing"])
            poses = [_pose(folder, key, places, raw) for key in keys]
        else:
            poses = self._from_degrees(split, folder, keys, raw)
        frames, positions, counts = [], [], dict[str, int]()
        for key, pose in zip(keys, poses, strict=True):
            session = f"{split}/{order[key][0]}"
            index = counts[session] = counts.get(session, -1) + 1
            image = folder / "images" / f"{key}.jpg"
            frames.append(frame_of(image, self.root, session, index, pose=pose))
            positions.append((pose.x, pose.y))
        numbered = np.array([order[key][1] for key in keys])
        return Traverse(split, tuple(frames), np.array(positions), "m", numbered)

    def _from_degrees(self, split: str, folder: Path, keys: list[str], raw: _Table) -> list[Pose]:
        """Poses of longitudes and latitudes, from the origin of the city's database."""
        path = folder / "raw.csv"
        if not raw or not {"lon", "lat"} <= next(iter(raw.values()))[1].keys():
            raise DatasetError(
                f"{folder / 'postprocessed.csv'}: the header has no column 'easting', and {path} "
                "has no lon and lat; of test cities, the positions come apart from the images"
            )
        side = "query" if split.endswith("/query") else "database"
        first = folder.with_name("database") / "raw.csv" if side == "query" else path
        table = _by_key(first, ["lon", "lat"]) if first.is_file() else raw
        origin = _origin(first, list(table), table)
        found = local_poses(*_degrees(path, keys, raw), origin=origin)
        poses = [pose for pose in found if pose is not None]
        if len(poses) < len(keys):
            bad = keys[found.index(None)]
            raise DatasetError(f"{path}:{raw[bad][0]}: the position of {bad!r} is none")
        return poses

    def _is_selected(self, folder: Path, key: str, places: _Table, raw: _Table) -> bool:
        line, row = places[key]
        path = folder / "postprocessed.csv"
        raw_line, raw_row = raw.get(key, (0, {}))
        if not self.panoramas and _truth(folder / "raw.csv", raw_line, raw_row.get("pano", "")):
            return False
        if self.night is not None:
            check_columns(path, list(row), ["night"])
            if _truth(path, line, row["night"]) != self.night:
                return False
        if self.view_direction is not None:
            check_columns(path, list(row), ["view_direction"])
            return row["view_direction"] == self.view_direction
        return True

    def _subtask_keys(self, folder: Path, places: _Table) -> set[str]:
        if self.subtask is None:
            return set(places)
        path = folder / "subtask_index.csv"
        table = _by_key(path, [self.subtask])
        return {key for key, (line, row) in table.items() if _truth(path, line, row[self.subtask])}

    def _filters(self) -> str:
        return (
            f"panoramas={self.panoramas}, night={self.night}, "
            f"view_direction={self.view_direction}, subtask={self.subtask}"
        )


def _degrees(
    path: Path, keys: list[str], raw: _Table
) -> tuple[list[float], list[float], list[float | None]]:
    """Latitudes, longitudes and headings."""
    with as_dataset_error():
        rows = [numbers(path, raw[k][0], [raw[k][1]["lat"], raw[k][1]["lon"]]) for k in keys]
        turns = [
            numbers(path, raw[k][0], [raw[k][1]["ca"]])[0] if raw[k][1].get("ca") else None
            for k in keys
        ]
    return [lat for lat, _ in rows], [lon for _, lon in rows], turns


def _origin(path: Path, keys: list[str], raw: _Table) -> Origin | None:
    lat, lon, _ = _degrees(path, keys, raw)
    pose = next((pose for pose in local_poses(lat, lon) if pose is not None), None)
    return None if pose is None else Origin.of_frame(pose.frame_id)


def _folders(root: Path) -> dict[str, Path]:
    bases = [root / name for name in ("train_val", "test") if (root / name).is_dir()] or [root]
    return {
        f"{city.name}/{side}": city / side
        for base in bases
        for city in subfolders(base)
        for side in _SIDES
        if (city / side / "postprocessed.csv").is_file()
    }


def _by_key(path: Path, columns: list[str]) -> _Table:
    table: _Table = {}
    for line, row in read_table(path, ["key", *columns]):
        if row["key"] in table:
            first = table[row["key"]][0]
            raise DatasetError(f"{path}:{line}: the key {row['key']!r} is already on line {first}")
        table[row["key"]] = line, row
    return table


def _order(path: Path, places: _Table) -> dict[str, tuple[str, int]]:
    """Sequence and frame number of each key, in the order of sequences and numbers."""
    table = _by_key(path, ["frame_number"])
    header = list(next(iter(table.values()))[1])
    column = "sequence_key" if "sequence_key" in header else "sequence_id"
    check_columns(path, header, [column])
    missing = [key for key in places if key not in table]
    if missing:
        raise DatasetError(f"{path}: {len(missing)} keys have no row, first {missing[0]!r}")
    found = {}
    for key in places:
        line, row = table[key]
        with as_dataset_error():
            found[key] = row[column], whole(path, line, row["frame_number"])
    sequences = {name: i for i, name in enumerate(dict.fromkeys(n for n, _ in found.values()))}
    return dict(sorted(found.items(), key=lambda item: (sequences[item[1][0]], item[1][1])))


def _pose(folder: Path, key: str, places: _Table, raw: _Table) -> Pose:
    path = folder / "postprocessed.csv"
    line, row = places[key]
    with as_dataset_error():
        x, y = numbers(path, line, [row["easting"], row["northing"]])
        if not (math.isfinite(x) and math.isfinite(y)):
            raise DatasetError(f"{path}:{line}: the position of {key!r} is not finite")
        if key in raw and raw[key][1].get("ca"):
            [angle] = numbers(folder / "raw.csv", raw[key][0], [raw[key][1]["ca"]])
            if math.isfinite(angle):
                return Pose.from_yaw(x, y, math.radians(90.0 - angle), frame_id="utm")
    return Pose(x, y, frame_id="utm")


def _truth(path: Path, line: int, text: str) -> bool:
    if text.lower() in (*_TRUE, *_FALSE):
        return text.lower() in _TRUE
    raise DatasetError(f"{path}:{line}: {text!r} is neither true nor false")


def _check_images(folder: Path, keys: list[str]) -> None:
    there = {path.name for path in images_in(folder / "images")}
    missing = [key for key in keys if f"{key}.jpg" not in there]
    if missing:
        raise DatasetError(
            f"{folder / 'images'}: {len(missing)} of {len(keys)} images are missing, first "
            f"{missing[0]}.jpg; are all image archives unpacked?"
        )


create = Msls
