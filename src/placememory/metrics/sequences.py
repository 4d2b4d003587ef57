"""Sequence retrieval: windows of consecutive frames, their ground truth, and recall@k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory._checks import check_choice, check_positive
from placememory._types import Protocol, Rows
from placememory.errors import InputError, SettingError
from placememory.metrics.inputs import (
    PROTOCOLS,
    UNMATCHED,
    Unit,
    Unmatched,
    deep_enough,
    positions_of,
    ranks_of,
    rows_of,
    rows_within,
    same_length,
)
from placememory.metrics.place_recall import DEFAULT_KS
from placememory.metrics.recall import FirstHits, RecallAtK
from placememory.metrics.result import INTERVALS, MetricResult

__all__ = [
    "SequenceRecall",
    "SequenceRecallResult",
    "SequenceWindows",
    "Strategy",
    "build_windows",
    "sequence_positives",
]


@dataclass(frozen=True, slots=True)
class SequenceRecallResult(MetricResult):
    """Recall@k of sequence retrieval.

    Attributes:
        radius: Within which frames are near, inclusive.
        unit: Of the radius.
        strategy: Which windows are right.
        rule: Name of the protocol.
        at: Recalls and counts.
    """

    radius: float
    unit: Unit
    strategy: Strategy
    rule: Protocol
    at: RecallAtK

    @property
    def protocol(self) -> str:
        """The rules and counts in one line."""
        whose = "CaseVPR's rules: " if self.rule == "casevpr" else ""
        return (
            f"{whose}a window is right if {STRATEGIES[self.strategy]} ({self.radius:g} "
            f"{self.unit}, inclusive); {self.at.rule}; {INTERVALS}"
        )

    def lines(self) -> list[str]:
        """A line for each k."""
        return [f"sequence recall@{k}: {r.percent()}" for k, r in self.at.recalls.items()]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each k."""
        return [
            {"strategy": self.strategy, "k": k, "recall": r.value, "low": r.low, "high": r.high}
            for k, r in self.at.recalls.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is ``None``."""
        return {
            "protocol": self.protocol,
            "rule": self.rule,
            "strategy": self.strategy,
            "radius": self.radius,
            "unit": self.unit,
            "queries": self.at.queries,
            "counted": self.at.counted,
            "without_match": self.at.without_match,
            "unmatched": self.at.unmatched,
            **{f"recall@{k}": value.to_dict() for k, value in self.at.recalls.items()},
        }

    def _draw(self, ax: Any) -> None:
        shares = [100 * recall.value for recall in self.at.recalls.values()]
        ax.plot(list(self.at.recalls), shares, marker="o", label=self.strategy)
        ax.set(xlabel="k", ylabel="sequence recall@k (%)", ylim=(0, 102))


class SequenceRecall:
    """Recall@k of retrieved windows.

    Args:
        radius: Within which two frames are near, in the unit of the positions, inclusive.
        strategy: ``lax``, ``strict`` or ``last-frame`` (see :func:`sequence_positives`).
        unit: ``m`` or ``frames``.
        ks: The ks of recall@k.
        unmatched: Rule for query windows without a right window, ``drop`` or ``count-as-miss``.
        protocol: ``casevpr`` for the reference's numbers; give it to :func:`build_windows`, too.

    Raises:
        SettingError: A setting is impossible, or CaseVPR's protocol is asked to count misses.

    Example:
        >>> metric = SequenceRecall(radius=1, strategy="last-frame", ks=[1, 2])
        >>> windows = build_windows(["a"] * 4, range(4), 2)
        >>> line = [[0, 0], [5, 0], [10, 0], [15, 0]]
        >>> metric.update([[0, 1], [2, 1], [0, 1]], windows, windows, line, line)
        >>> [round(r.value, 3) for r in metric.compute().at.recalls.values()]
        [0.333, 0.667]
    """

    def __init__(
        self,
        radius: float,
        *,
        strategy: Strategy,
        unit: Unit = "m",
        ks: Sequence[int] = DEFAULT_KS,
        unmatched: Unmatched = "drop",
        protocol: Protocol = "default",
    ) -> None:
        check_choice("unit", unit, ("m", "frames"))
        check_choice("strategy", strategy, tuple(STRATEGIES))
        check_choice("unmatched", unmatched, UNMATCHED)
        check_choice("protocol", protocol, PROTOCOLS)
        if protocol == "casevpr" and unmatched != "drop":
            raise SettingError("CaseVPR's protocol leaves out queries without a true match")
        check_positive(radius=radius)
        self.radius = float(radius)
        self.strategy = strategy
        self.unit = unit
        self.protocol = protocol
        self._hits = FirstHits(ranks_of(ks), unmatched)

    def update(
        self,
        ranked: ArrayLike,
        query: SequenceWindows,
        database: SequenceWindows,
        query_positions: ArrayLike,
        database_positions: ArrayLike,
    ) -> None:
        """Add query windows in the order of their traverse.

        Args:
            ranked: (Q, K) rows of ``database``, best first; -1 where there are fewer than K.
            query: The Q query windows.
            database: The windows that were searched.
            query_positions: (M, C) positions of the frames of the query traverse.
            database_positions: (N, C) positions of the frames of the database.

        Raises:
            InputError: Shapes do not agree, rows are not windows, or there are fewer candidates
                than the largest k.
        """
        rows = rows_of("ranked", ranked, len(database))
        same_length(ranked=rows, query=query.frames)
        deep_enough(rows, self._hits.ks, len(database))
        positives = sequence_positives(
            query,
            database,
            query_positions,
            database_positions,
            radius=self.radius,
            strategy=self.strategy,
            protocol=self.protocol,
        )
        right = np.zeros(rows.shape, dtype=bool)
        for i, found in enumerate(positives):
            right[i] = np.isin(rows[i], found)
        self._hits.add(right, np.array([len(found) > 0 for found in positives], dtype=bool))

    def compute(self) -> SequenceRecallResult:
        """The result over all query windows so far."""
        return SequenceRecallResult(
            self.radius, self.unit, self.strategy, self.protocol, self._hits.compute()
        )


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
    same_length(folders=names, frame_numbers=numbers)
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


def sequence_positives(
    query: SequenceWindows,
    database: SequenceWindows,
    query_positions: ArrayLike,
    database_positions: ArrayLike,
    *,
    radius: float,
    strategy: Strategy,
    protocol: Protocol = "default",
) -> list[Rows]:
    """Windows of the database that are right for each query window.

    Args:
        query: Windows of the query traverse.
        database: Windows of the database.
        query_positions: (M, C) positions of the frames of the query traverse.
        database_positions: (N, C) positions of the frames of the database.
        radius: In the unit of the positions, inclusive.
        strategy: ``lax``: any frame is near; ``strict``: every frame of the database window is
            near some frame of the query; ``last-frame``: the two last frames are near.
        protocol: ``casevpr`` compares, for ``last-frame``, a frame's place among those that occur
            in windows with a place among all frames, as the reference does.

    Returns:
        Increasing rows of ``database`` for each query window; empty where none is right.

    Raises:
        SettingError: The strategy, radius or protocol is impossible.
        InputError: Positions have the wrong shape.

    Example:
        >>> windows = build_windows(["a"] * 4, range(4), 2)
        >>> line = [[0, 0], [5, 0], [10, 0], [15, 0]]
        >>> [p.tolist() for p in sequence_positives(windows, windows, line, line, radius=1,
        ...                                         strategy="lax")]
        [[0, 1], [0, 1, 2], [1, 2]]
    """
    check_choice("strategy", strategy, tuple(STRATEGIES))
    check_choice("protocol", protocol, PROTOCOLS)
    true = positions_of("query_positions", query_positions)
    places = positions_of("database_positions", database_positions)
    _check_rows(query, len(true), "query")
    _check_rows(database, len(places), "database")
    check_positive(radius=radius)
    near = rows_within(true, places, float(radius))
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
        found.append(np.flatnonzero(_is_right(flags, database.truth, strategy)))
    return found


def _is_right(flags: NDArray[np.bool_], windows: Rows, strategy: Strategy) -> NDArray[np.bool_]:
    """(W,), from the frames that are near."""
    if strategy == "last-frame":
        return flags[windows[:, -1]]
    inside = flags[windows]
    near: Rows = inside.sum(axis=1)
    return np.asarray(near >= (1 if strategy == "lax" else windows.shape[1]), dtype=bool)


def _check_rows(windows: SequenceWindows, count: int, name: str) -> None:
    if len(windows) and windows.truth.max() >= count:
        raise InputError(f"{name}: windows of {windows.truth.max() + 1} frames, {count} positions")
