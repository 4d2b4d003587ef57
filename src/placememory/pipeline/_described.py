"""What streams through the pipeline: the descriptors of a run, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory._checks import check_vectors
from placememory._types import Vectors
from placememory.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class TraverseDescriptors:
    """A run of frames in their order, already described by an encoder.

    Attributes:
        descriptors: (N, D) float32, of any length.
        sequences: (M, Ds) float32 sequence descriptors of the last M frames, M <= N, in the scale
            that the encoder gave them: a sequence encoder that looks at L frames has
            M = N - L + 1. A row that is all NaN is a frame without one. ``None``: no encoder.
        positions: (N, 2) or (N, 3) float64 metres, or ``None``; nothing is matched by them.

    Raises:
        DescriptorError: Descriptors have another shape or type, NaN, infinity or zero rows.
        InputError: There are more sequences than frames, or not as many positions.

    Example:
        >>> run = TraverseDescriptors(np.eye(3), sequences=np.ones((1, 4)))
        >>> [sequence is not None for _, sequence in run]
        [False, False, True]
    """

    descriptors: Vectors
    sequences: Vectors | None = None
    positions: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        rows = check_vectors("descriptors", self.descriptors, None)
        object.__setattr__(self, "descriptors", rows)
        if self.sequences is not None:
            found = check_vectors("sequence descriptors", self.sequences, None, gaps=True)
            if len(found) > len(rows):
                raise InputError(f"{len(found)} sequence descriptors for {len(rows)} frames")
            object.__setattr__(self, "sequences", found)
        if self.positions is not None:
            places = np.asarray(self.positions, dtype=np.float64)
            if places.ndim != 2 or len(places) != len(rows):
                raise InputError(f"positions of shape {places.shape} for {len(rows)} frames")
            object.__setattr__(self, "positions", places)

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.descriptors)

    def __iter__(self) -> Iterator[tuple[Vectors, Vectors | None]]:
        """Frame by frame: descriptor (D,), and sequence descriptor (Ds,) or ``None``."""
        return zip(self.descriptors, sequences_of(self.sequences, len(self)), strict=True)


def sequences_of(sequences: Vectors | None, count: int) -> list[Vectors | None]:
    """Sequence descriptors of ``count`` frames one by one: ``None`` where a frame has none."""
    found: list[Vectors | None] = [None] * count
    if sequences is not None:
        first = count - len(sequences)
        found[first:] = [None if np.isnan(row[0]) else row for row in sequences]
    return found


def described(descriptors: ArrayLike, sequences: ArrayLike | None) -> TraverseDescriptors:
    """A traverse of rows (N, D) and sequences (M, Ds), or of a single frame (D,), (Ds,)."""
    rows, last = (
        None if given is None else np.asarray(given) for given in (descriptors, sequences)
    )
    if rows is not None and rows.ndim == 1:
        rows = rows[None]
    if last is not None and last.ndim == 1:
        last = last[None]
    return TraverseDescriptors(cast(Vectors, rows), last)
