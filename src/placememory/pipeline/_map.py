"""The map that queries are matched to: rows, sequences, and the window over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from placememory._types import Rows, Vectors
from placememory.matching._candidates import PooledSequences, SequenceIndex
from placememory.matching._windows import DistanceWindow, Growing, Similarity


class StreamMap:
    """Key frames of the map with their sequences and frame numbers.

    Args:
        length: T, frames of the window.
        dim: D, length of descriptors.
        similarity: How frames are compared.

    Attributes:
        window: Rows of the map, frames of the window and their distances.
        sequences: Of a sequence encoder; ``None`` if none were given.
    """

    def __init__(self, length: int, dim: int, similarity: Similarity) -> None:
        self.window = DistanceWindow(length, dim, similarity)
        self.sequences: SequenceIndex | None = None
        self._pooled = PooledSequences(self.window)
        self._numbers: Growing[np.int64] = Growing((), np.int64)

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._numbers)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """(n,) frame number of each row."""
        return self._numbers.rows

    @property
    def nbytes(self) -> int:
        """Size of all buffers."""
        index = self.sequences.nbytes if self.sequences else 0
        return self.window.nbytes + index + self._pooled.nbytes + self._numbers.nbytes

    def append(
        self, rows: Vectors, sequences: Sequence[Vectors | None], numbers: NDArray[np.int64]
    ) -> None:
        """Add m rows.

        Args:
            rows: (m, D) checked descriptors.
            sequences: m sequence descriptors (Ds,) that end at them, ``None`` where there is none.
            numbers: (m,) frame numbers.
        """
        first = len(self)
        self.window.append(rows)
        self._numbers.append(numbers)
        given = [(first + i, vector) for i, vector in enumerate(sequences) if vector is not None]
        if given:
            ends, vectors = zip(*given, strict=True)
            if self.sequences is None:
                self.sequences = SequenceIndex(len(vectors[0]))
            self.sequences.append(np.stack(vectors), list(ends))

    def prepare(self) -> None:
        """Compute ahead what pooled candidates need, where there is no sequence encoder."""
        if self.sequences is None:
            self._pooled.extend()

    def trim(self) -> None:
        """Give back the room that was kept for further rows."""
        self.window.trim()
        self._pooled.trim()
        self._numbers.trim()
        if self.sequences is not None:
            self.sequences.trim()

    def nearest(self, sequence: Vectors | None, count: int, limit: int) -> Rows | None:
        """Last rows of the nearest sequences that end before row ``limit``, nearest first.

        Args:
            sequence: (Ds,) descriptor of the window; without one, or without those of the map,
                frames are pooled.
            count: How many.
            limit: Rows of the map that are searched.

        Returns:
            (K,), or ``None`` if no sequence lies in so few rows.
        """
        if sequence is None or self.sequences is None:
            found = self._pooled.nearest(count, limit)
        else:
            found = self.sequences.nearest(sequence, count, limit)
        return found if len(found) else None
