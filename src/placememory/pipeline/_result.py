"""What the pipeline says about one query frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
    def matched(self) -> int | None:
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
