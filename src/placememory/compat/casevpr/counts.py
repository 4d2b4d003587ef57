"""The pipeline's result for one query frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from placememory.errors import SettingError
from placememory.matching import SequenceMatch

Frames = NDArray[np.int64]

Skipped = Literal["warming-up", "map-too-small", "not-a-key-frame"]
"""Why a frame was not searched.

``warming-up``: the window is not full yet. ``map-too-small``: there are too few rows, or all are
excluded. ``not-a-key-frame``: it looks like the last key frame and was dropped.
"""


@dataclass(frozen=True, slots=True, eq=False)
class QueryResult:
    """The match of a query frame and its window.

    Frames have numbers: how many frames were given before, of the map and of queries. So numbers of
    reference frames are their indices where the map was given first.

    Attributes:
        frame: Number of the query frame.
        window: (T',) int64 numbers of the frames in the window, oldest first.
        skipped: Why there was no search; ``None`` if there was one.
        match: What the matcher found, with paths (K', T) of frame numbers in place of rows;
            ``None`` if there was no search.
        candidates: (K,) int64 numbers of the last frames of the nearest sequences, nearest first;
            ``None`` if there was no search, or the matcher was left to choose.
        rows: How many rows of the map were searched.
        accepted: Whether there is a match whose score is below the threshold.
    """

    frame: int
    window: Frames
    skipped: Skipped | None = None
    match: SequenceMatch | None = None
    candidates: Frames | None = None
    rows: int = 0
    accepted: bool = False

    @property
    def searched(self) -> bool:
        """Whether the map was searched."""
        return self.skipped is None

    @property
    def path(self) -> Frames:
        """(T,) the matched frame for each frame of the window; (0,) if there is no match."""
        return self.match.paths[0] if self.match else np.empty(0, np.int64)

    @property
    def matched_frame(self) -> int | None:
        """Number of the frame where the robot is now; ``None`` if there is no match."""
        return int(self.path[-1]) if self.match else None

    @property
    def score(self) -> float:
        """Score of the best path, lowest is best; infinite if there is no match."""
        return float(self.match.scores[0]) if self.match else float("inf")

    @property
    def distances(self) -> NDArray[np.floating[Any]]:
        """(T,) distances along the best path; (0,) if there is no match."""
        return self.match.distances if self.match else np.empty(0)


DEPTHS = (1, 5, 10, 20)
"""The k of :attr:`CasevprRun.hits_at`."""


@dataclass(frozen=True, slots=True, eq=False)
class CasevprRun:
    """Results of the published code for a query pass, for each frame and in total.

    Attributes:
        results: One for each frame; up to ``fails_at`` if the published code stops there.
        right: (M,) bool, whether the match of the frame is right, accepted or not.
        positives: (M,) int64, searched reference rows within the radius; -1 while warming up.
        counts: (M, 4) int64, true and false positives, true and false negatives up to the frame.
        hits_at: (searched, 4) bool, whether one of the best 1, 5, 10, 20 paths ends at a right row.
        fails_at: The query at which the published code stops with an error, else ``None``.
    """

    results: list[QueryResult]
    right: NDArray[np.bool_]
    positives: NDArray[np.int64]
    counts: NDArray[np.int64]
    hits_at: NDArray[np.bool_]
    fails_at: int | None = None

    @property
    def totals(self) -> tuple[int, int, int, int]:
        """True and false positives, true and false negatives."""
        tp, fp, tn, fn = self.counts[-1].tolist() if len(self.counts) else (0, 0, 0, 0)
        return tp, fp, tn, fn

    @property
    def precision(self) -> float:
        """TP / (TP + FP): the "image-level correspondence precision"; 0 if there are none."""
        tp, fp, _, _ = self.totals
        return tp / max(1, tp + fp)

    @property
    def recall(self) -> float:
        """TP / (TP + FN): it measures the threshold only."""
        tp, _, _, fn = self.totals
        return tp / max(1, tp + fn)

    @property
    def accuracy(self) -> float:
        """(TP + TN) over all counts."""
        tp, _, tn, _ = self.totals
        return (tp + tn) / max(1, sum(self.totals))


class Counting:
    """Counts results one by one.

    - Frames while warming up and dropped frames are not counted.
    - Accepted and right: true positive. Accepted and wrong: false positive if the map has a place
      for the frame, else not counted at all.
    - Rejected: false negative if it would have been right, else true negative. So is a frame that
      was not searched as the map is too small: a true negative.

    Args:
        rows: (n,) int64 frame number of each row of the map.
        positions: (N, 2) or (N, 3) metres, positions of all frames by number.
        radius: Metres, cut to a whole number.
        rule: ``None``, ``strict`` or ``lax``; see :func:`placememory.compat.casevpr.pipeline.run`.
        any_positive: Whether the map counts as having a place for every frame.

    Raises:
        SettingError: The radius or the rule is impossible.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        positions: NDArray[np.float64],
        radius: float,
        rule: str | None = None,
        any_positive: bool = False,
    ) -> None:
        if not 0 <= radius < np.inf:
            raise SettingError(f"radius is {radius!r}; give metres")
        if rule not in (None, "strict", "lax"):
            raise SettingError(f"sequence_rule is {rule!r}; give strict, lax or None")
        self._rows, self._positions = rows, positions
        self._radius, self._rule, self._any_positive = int(radius), rule, any_positive
        self._totals = np.zeros(4, np.int64)
        self._right: list[bool] = []
        self._positives: list[int] = []
        self._counts: list[NDArray[np.int64]] = []
        self._hits_at: list[list[bool]] = []

    def add(self, result: QueryResult, search_range: int | None) -> None:
        """Count the result of a frame; ``search_range`` is how many rows may be right."""
        near, right = self._rows_near(result.frame, search_range), False
        if result.match:
            right = self._is_right(result, near, search_range)
            ends = near[result.match.paths[:, -1]]
            self._hits_at.append([bool(ends[:depth].any()) for depth in DEPTHS])
        if result.accepted and (right or near.any() or self._any_positive):
            self._totals[0 if right else 1] += 1
        elif result.skipped == "map-too-small" or (result.searched and not result.accepted):
            self._totals[3 if right else 2] += 1
        self._right.append(right)
        self._positives.append(-1 if search_range is None else int(near.sum()))
        self._counts.append(self._totals.copy())

    def finish(self, results: list[QueryResult], fails_at: int | None = None) -> CasevprRun:
        """The result of all frames counted so far."""
        return CasevprRun(
            results=results,
            right=np.array(self._right, np.bool_),
            positives=np.array(self._positives, np.int64),
            counts=np.array(self._counts, np.int64).reshape(-1, 4),
            hits_at=np.array(self._hits_at, np.bool_).reshape(-1, len(DEPTHS)),
            fails_at=fails_at,
        )

    def _rows_near(self, frame: int, search_range: int | None) -> NDArray[np.bool_]:
        """(N,) by frame number: rows within the search range and the radius of a frame."""
        rows = self._rows[: search_range or 0]
        away = np.linalg.norm(self._positions[rows] - self._positions[frame], axis=1)
        near = np.zeros(len(self._positions), np.bool_)
        near[rows] = away <= self._radius
        return near

    def _is_right(
        self, result: QueryResult, near: NDArray[np.bool_], search_range: int | None
    ) -> bool:
        if self._rule is None:
            return bool(near[result.matched_frame])
        union = np.any([self._rows_near(frame, search_range) for frame in result.window], axis=0)
        found = union[result.path]
        return bool(found.all() if self._rule == "strict" else found.any())
