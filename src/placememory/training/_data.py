"""What is trained on: frames of all traverses, windows of them, and which show one place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from placememory._types import Rows
from placememory.evaluation import SequenceWindows, sequence_positives
from placememory.evaluation.sequences import Strategy
from placememory.frames import Frame
from placememory.training._config import Data

Positions = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """Frames of one or more data sets, with windows that ask and windows that are searched.

    Attributes:
        frames: N frames.
        positions: (N, 4) float64: x, y, z in the unit of the data, and a coordinate that keeps
            data sets apart.
        directions: (N,) float64 radians, counter-clockwise from x; NaN where not known.
        sessions: (N,) int64, which traverse and folder a frame is of.
        queries: (Q, L) int64 rows of frames, oldest first.
        database: (W, L) likewise.
    """

    frames: tuple[Frame, ...]
    positions: Positions
    directions: NDArray[np.float64]
    sessions: Rows
    queries: Rows
    database: Rows

    @property
    def length(self) -> int:
        """Frames of a window."""
        return int(self.queries.shape[1])

    def files(self) -> set[Path]:
        """Images of all windows, where they are files."""
        rows = np.unique(np.concatenate([self.queries.ravel(), self.database.ravel()]))
        paths = (self.frames[row].path for row in rows)
        return {path.resolve() for path in paths if path is not None}

    def near(self, windows: Rows, radius: float, strategy: Strategy) -> list[Rows]:
        """Rows of ``database`` within a radius of each window (n, L), by a strategy."""
        if not len(windows):
            return []
        asked, inverse = np.unique(windows, return_inverse=True)
        rows = inverse.reshape(windows.shape)
        return sequence_positives(
            SequenceWindows(rows, rows),
            SequenceWindows(self.database, self.database),
            self.positions[asked],
            self.positions,
            radius=radius,
            strategy=strategy,
        )

    def positives(self, windows: Rows, data: Data) -> list[Rows]:
        """Rows of ``database`` that show the place of each window (n, L), in about its direction.

        They are of another session: a place seen twice in one pass teaches nothing.
        """
        found = self.near(windows, data.positive_radius, data.strategy)
        ours, theirs = (self.directions_of(part) for part in (windows, self.database))
        limit = math.radians(data.heading) + 1e-9
        kept = []
        for window, direction, rows in zip(windows, ours, found, strict=True):
            turn = np.abs(np.angle(np.exp(1j * (theirs[rows] - direction))))
            other = self.sessions[self.database[rows, 0]] != self.sessions[window[0]]
            kept.append(rows[other & ~(turn > limit)])  # NaN: not known, not refused
        return kept

    def directions_of(self, windows: Rows) -> NDArray[np.float64]:
        """(n,) direction of windows: that of the camera, else of travel; NaN where not known."""
        seen = np.angle(np.exp(1j * self.directions[windows]).mean(axis=1))
        step = self.positions[windows[:, -1], :2] - self.positions[windows[:, 0], :2]
        travelled = np.arctan2(step[:, 1], step[:, 0])
        travelled[np.linalg.norm(step, axis=1) < 1e-6] = np.nan
        return np.where(np.isnan(seen), travelled, seen)
