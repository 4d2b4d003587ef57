"""Two folders of images, reference and query, with poses or with corresponding frames.

Poses: a pose file for each folder, in any format that ``placememory.frames.poses`` reads, joined to
the images as ``placememory build`` does. Correspondences: a CSV file with the columns
``query,reference[,tolerance]``, image names or 0-based indices in natural order; an empty reference
says that the query has no true match, and several, separated by blanks, are all correct. Or a NumPy
file with lists of correct references, as VPR-Bench has it. Found by themselves are the folders
``reference`` (``ref``) and ``query`` (``queries``), and beside them ``correspondences.csv``,
``ground_truth_new.npy``, or ``reference.csv`` and ``query.csv`` (or ``.txt``).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from placememory.datasets._files import (
    as_dataset_error,
    frame_of,
    has_images,
    images_in,
    numbers,
    read_table,
)
from placememory.datasets._positives import read_positives
from placememory.datasets._traverse import Dataset, Traverse
from placememory.errors import DatasetError, SettingError
from placememory.frames import Frame, Origin, fit_origin, read_poses

LICENCE = "as each says"
ADDRESS = "https://github.com/MubarizZaffar/VPR-Bench, https://github.com/ai4ce/NYC-Indoor-VPR"
DATA_SETS = ("VPR-Bench", "NYC-Indoor-VPR")
_SUFFIXES = (".csv", ".txt")
_NAMES = {"reference": ("reference", "ref"), "query": ("query", "queries")}
_LISTS = ("correspondences.csv", "ground_truth_new.npy", "ground_truth.npy")


def matches(root: Path) -> bool:
    """Whether there are folders ``reference`` (or ``ref``) and ``query`` (or ``queries``)."""
    return all(has_images(_find_folder(root, side)) for side in _NAMES)


def _find_folder(root: Path, side: str) -> Path:
    """The folder of a side under its usual names."""
    found = (root / name for name in _NAMES[side] if has_images(root / name))
    return next(found, root / side)


class FolderPair(Dataset):
    """A reference and a query folder; the splits are ``reference`` and ``query``.

    With poses, positions are (x, y, z) in metres; with correspondences they are (index of the
    reference frame, 0) in frames, NaN for a query without a true match. Lists of correct references
    are the ``positives`` of the queries, whose position is the first of them.

    Args:
        root: Folder to which the other paths are relative.
        reference: Folder of the reference images.
        query: Folder of the query images.
        reference_poses: Pose file of the reference.
        query_poses: Pose file of the queries.
        correspondences: CSV or NumPy file of corresponding frames, instead of poses.
        without_pose: What becomes of an image that finds no pose: ``error`` or ``drop``.

    Raises:
        SettingError: Poses and correspondences are both given, or ``without_pose`` is not known.
        DatasetError: There is nothing at ``root``, or neither poses nor correspondences are found.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        reference: str | None = None,
        query: str | None = None,
        reference_poses: str | None = None,
        query_poses: str | None = None,
        correspondences: str | None = None,
        without_pose: str = "error",
    ) -> None:
        super().__init__(root)
        if correspondences and (reference_poses or query_poses):
            raise SettingError("give poses or correspondences, not both")
        if without_pose not in ("error", "drop"):
            raise SettingError(f"without_pose is error or drop, not {without_pose!r}")
        self.folders = {
            side: self.root / name if name else _find_folder(self.root, side)
            for side, name in (("reference", reference), ("query", query))
        }
        self.without_pose = without_pose
        given = {"reference": reference_poses, "query": query_poses}
        there = (name for name in _LISTS if (self.root / name).is_file())
        listed = correspondences or ("" if any(given.values()) else next(there, ""))
        self.correspondences: Path | None = self.root / listed if listed else None
        if listed:
            return
        self.poses = {name: self._pose_file(name, given[name]) for name in given}

    def splits(self) -> list[str]:
        """``reference`` and ``query``."""
        return list(self.folders)

    def traverse(self, split: str) -> Traverse:
        """One of the two folders; the names of the folders are understood, too."""
        folders = {path.name: side for side, path in self.folders.items()}
        split = folders.get(split, split)
        if split not in self.folders:
            raise self._unknown_split(split)
        images = images_in(self.folders[split])
        if self.correspondences is None:
            return self._traverse_with_poses(split, images)
        count = len(images)
        frames = tuple(frame_of(path, self.root, split, i) for i, path in enumerate(images))
        if split == "reference":
            return Traverse(split, frames, _timeline(np.arange(count)), "frames", np.arange(count))
        references = images_in(self.folders["reference"])
        path, tolerances = self.correspondences, None
        if path.suffix == ".npy":
            lists = read_positives(path, count, len(references))
        else:
            lists, tolerances = _read_correspondences(path, images, references)
        first = np.array([rows[0] if len(rows) else np.nan for rows in lists])
        several = path.suffix == ".npy" or any(len(rows) > 1 for rows in lists)
        return Traverse(
            split,
            frames,
            _timeline(first),
            "frames",
            np.arange(count),
            tolerances,
            tuple(lists) if several else None,
            "reference" if several else "",
        )

    def _pose_file(self, split: str, given: str | None) -> Path:
        if given is not None:
            return self.root / given
        folder = self.folders[split]
        beside = [folder.with_name(folder.name + suffix) for suffix in _SUFFIXES]
        found = [path for path in beside if path.is_file()]
        if not found:
            raise DatasetError(
                f"{self.root}: no ground truth for {folder.name!r}; set the option "
                f"{split}_poses: FILE or "
                f"correspondences: FILE (looked for {', '.join(path.name for path in beside)}, "
                f"{', '.join(_LISTS)})"
            )
        return found[0]

    def _traverse_with_poses(self, split: str, images: list[Path]) -> Traverse:
        path = self.poses[split]
        frames = [frame_of(image, self.root, split, i) for i, image in enumerate(images)]
        with as_dataset_error():
            joined, report = read_poses(path).join(frames)
        if report.without and self.without_pose == "error":
            raise DatasetError(
                f"{path}: {len(report.without)} of {len(frames)} images have no pose, first "
                f"{report.without[0]}; complete the file, or set the option without_pose: drop"
            )
        with_pose = [i for i, frame in enumerate(joined) if frame.pose is not None]
        if not with_pose:
            raise DatasetError(f"{path}: no image of {self.folders[split]} has a pose")
        found = [joined[i] for i in with_pose]
        if split == "query":
            found = self._in_frame_of_reference(found)
        positions = np.array([frame.pose.position for frame in found if frame.pose is not None])
        return Traverse(split, tuple(found), positions, "m", np.array(with_pose))

    def _in_frame_of_reference(self, frames: list[Frame]) -> list[Frame]:
        """Poses from latitudes and longitudes, from the origin of the reference's."""
        first = frames[0].pose
        if first is None or Origin.of_frame(first.frame_id) is None:
            return frames
        known = (record.pose for record in read_poses(self.poses["reference"]).records)
        frame_id = next((pose.frame_id for pose in known if pose is not None), first.frame_id)
        with as_dataset_error():
            return [replace(frame, pose=fit_origin(frame.pose, frame_id)) for frame in frames]


def _timeline(places: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
    return np.column_stack([places, np.zeros(len(places))]).astype(np.float64)


def _read_correspondences(
    path: Path, queries: list[Path], references: list[Path]
) -> tuple[list[NDArray[np.int64]], NDArray[np.float64] | None]:
    """M lists of reference rows, empty where there is none; and (M,) tolerances, if listed."""
    matched = [np.empty(0, np.int64)] * len(queries)
    tolerances = np.full(len(queries), np.nan)
    lines: dict[int, int] = {}
    query_names = {image.name: i for i, image in enumerate(queries)}
    reference_names = {image.name: i for i, image in enumerate(references)}
    for line, row in read_table(path, ["query", "reference"]):
        query = _index(path, line, row["query"], query_names)
        if query in lines:
            raise DatasetError(
                f"{path}:{line}: query {row['query']!r} is already on line {lines[query]}; give "
                "one line, with a tolerance or with several references between blanks"
            )
        lines[query] = line
        if row["reference"]:
            words = [row["reference"]]
            if words[0] not in reference_names:
                words = words[0].split()
            rows = [_index(path, line, word, reference_names) for word in words]
            matched[query] = np.unique(np.array(rows, np.int64))
        if row.get("tolerance"):
            with as_dataset_error():
                [tolerances[query]] = numbers(path, line, [row["tolerance"]])
            if not 0 <= tolerances[query] < np.inf:
                raise DatasetError(f"{path}:{line}: a tolerance is 0 or more frames")
    missing = [path.name for i, path in enumerate(queries) if i not in lines]
    if missing:
        raise DatasetError(
            f"{path}: {len(missing)} of {len(queries)} queries have no line, first {missing[0]}; "
            "leave the reference empty where there is no true match"
        )
    return matched, None if np.isnan(tolerances).all() else tolerances


def _index(path: Path, line: int, text: str, names: dict[str, int]) -> int:
    if text in names:
        return names[text]
    if text.isascii() and text.isdecimal() and int(text) < len(names):
        return int(text)
    raise DatasetError(
        f"{path}:{line}: {text!r} is neither the name of an image (such as {next(iter(names))!r}) "
        f"nor an index from 0 to {len(names) - 1}"
    )


create = FolderPair
