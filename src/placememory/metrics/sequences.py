"""Windows of consecutive frames, and which windows of the database are correct for a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from placememory._checks import check_choice
from placememory._types import Bools, Protocol, Rows
from placememory.errors import InputError, SettingError
from placememory.metrics.inputs import PROTOCOLS, check_lengths, check_positions
from placememory.metrics.truth import GroundTruth, Unit

Strategy = Literal["lax", "strict", "last-frame"]
STRATEGIES = {
    "lax": "any frame of the window is within the radius of any frame of the query",
    "strict": "every frame of the window is within the radius of some frame of the query",
    "last-frame": "its last frame is within the radius of the query's last frame",
}


@dataclass(frozen=True, slots=True, eq=False)
class SequenceWindows:
    """Windows of frames of one traverse.

    Attributes:
        frames: (W, L) int64, rows of the traverse in the order in which an encoder gets them.
        truth: (W, L') int64, rows that ground truth looks at; the same, but in CaseVPR's protocol
            before they were reversed and cut.
    """

    frames: Rows
    truth: Rows

    def __len__(self) -> int:
        """How many windows there are."""
        return len(self.frames)


def build_windows(
    folders: Sequence[str],
    frame_numbers: ArrayLike,
    length: int,
    *,
    reverse: bool = False,
    cut_last_frame: bool = False,
    protocol: Protocol = "default",
) -> SequenceWindows:
    """All windows of frames with consecutive numbers within a folder, one frame apart.

    Args:
        folders: (N,) folder (session) of each frame.
        frame_numbers: (N,) number of each frame in its folder.
        length: Frames a window, L.
        reverse: Newest frame first, as if the folder had been driven the other way.
        cut_last_frame: Build windows of L + 1 frames and drop the last (after reversing).
        protocol: ``casevpr`` leaves out the last place for a window in a folder where L (before
            cutting) is even, and keeps the whole, unreversed windows as ground truth.

    Returns:
        The windows, folder by folder in the order in which folders first occur.

    Raises:
        SettingError: The length is below 1, or the protocol is not known.
        InputError: There is not one folder and number a frame, or a folder has a number twice.

    Example:
        >>> build_windows(["a"] * 5, [1, 2, 3, 7, 8], 2).frames.tolist()
        [[0, 1], [1, 2], [3, 4]]
    """
    check_choice("protocol", protocol, PROTOCOLS)
    if length < 1:
        raise SettingError(f"a window has at least one frame, not {length}")
    names = np.asarray(folders, dtype=str).reshape(-1)
    numbers = np.atleast_1d(np.asarray(frame_numbers, dtype=np.int64))
    check_lengths(folders=names, frame_numbers=numbers)
    built = length + cut_last_frame
    lost = int(protocol == "casevpr" and built % 2 == 0)
    parts = []
    for folder in dict.fromkeys(names.tolist()):
        rows = np.flatnonzero(names == folder)
        rows = rows[np.argsort(numbers[rows], kind="stable")]
        steps = np.diff(numbers[rows])
        if (steps == 0).any():
            number = numbers[rows[int((steps == 0).argmax())]]
            raise InputError(f"frame number {number} occurs twice in folder {folder!r}")
        starts = np.arange(max(0, len(rows) - built + 1 - lost))
        places = starts[:, None] + np.arange(built)
        consecutive = numbers[rows][places[:, -1]] - numbers[rows][places[:, 0]] == built - 1
        parts.append(rows[places[consecutive]])
    whole = np.concatenate([np.empty((0, built), dtype=np.int64), *parts])
    frames = whole[:, ::-1] if reverse else whole
    frames = np.ascontiguousarray(frames[:, :length])
    return SequenceWindows(frames, whole if protocol == "casevpr" else frames)


def sequence_truth(
    query: SequenceWindows,
    database: SequenceWindows,
    query_positions: ArrayLike,
    database_positions: ArrayLike,
    *,
    radius: float,
    strategy: Strategy,
    unit: Unit = "m",
    protocol: Protocol = "default",
) -> GroundTruth:
    """Which windows of the database are correct for each query window.

    Args:
        query: Windows of the query traverse.
        database: Windows of the database.
        query_positions: (M, C) positions of the frames of the query traverse.
        database_positions: (N, C) positions of the frames of the database.
        radius: In the unit of the positions, inclusive.
        strategy: ``lax``: any frame is near; ``strict``: every frame of the database window is
            near some frame of the query; ``last-frame``: the two last frames are near.
        unit: ``m`` or ``frames``.
        protocol: ``casevpr`` compares, for ``last-frame``, a frame's place among those that occur
            in windows with a place among all frames, as the reference does.

    Raises:
        SettingError: The strategy, radius, unit or protocol is impossible.
        InputError: Positions have the wrong shape.

    Example:
        >>> windows = build_windows(["a"] * 4, range(4), 2)
        >>> line = [[0, 0], [5, 0], [10, 0], [15, 0]]
        >>> truth = sequence_truth(windows, windows, line, line, radius=1, strategy="lax")
        >>> [rows.tolist() for rows in truth.positives]
        [[0, 1], [0, 1, 2], [1, 2]]
    """
    check_choice("strategy", strategy, STRATEGIES)
    check_choice("protocol", protocol, PROTOCOLS)
    true = check_positions("query_positions", query_positions)
    places = check_positions("database_positions", database_positions)
    _check_rows(query, len(true), "query")
    _check_rows(database, len(places), "database")
    near = GroundTruth.from_positions(true, places, radius, unit=unit).positives
    used = np.unique(database.truth)
    found = []
    for window in query.truth:
        flags = np.zeros(len(places), dtype=bool)
        if strategy == "last-frame":
            close = near[window[-1]]
            if protocol == "casevpr":  # rows of `used` taken for rows of all frames
                close = np.flatnonzero(np.isin(used, close))
            flags[close] = True
        else:
            flags[np.concatenate([near[frame] for frame in window])] = True
        found.append(np.flatnonzero(_is_correct(flags, database.truth, strategy)))
    whose = "by CaseVPR's rules, " if protocol == "casevpr" else ""
    rule = f"{whose}{STRATEGIES[strategy]} ({radius:g} {unit}, inclusive)"
    return GroundTruth(found, len(database), rule=rule, unit=unit)


def _is_correct(flags: Bools, windows: Rows, strategy: Strategy) -> Bools:
    """(W,), from the frames that are near."""
    if strategy == "last-frame":
        return flags[windows[:, -1]]
    inside = flags[windows]
    near: Rows = inside.sum(axis=1)
    return np.asarray(near >= (1 if strategy == "lax" else windows.shape[1]), dtype=bool)


def _check_rows(windows: SequenceWindows, count: int, name: str) -> None:
    if len(windows) and windows.truth.max() >= count:
        raise InputError(f"{name}: windows of {windows.truth.max() + 1} frames, {count} positions")
