"""Prune a memory: keep the places that stand best for those that go.

The choice is facility location (Krause and Golovin, "Submodular Function Maximization", 2014): the
kept places shall be, summed over all places, as similar as possible to each place among those of
the same spot. The greedy choice is within 1 - 1/e of the best one.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from placememory.errors import SettingError
from placememory.memory._memory import PlaceMemory
from placememory.memory._transfer import BATCH, open_or_create
from placememory.memory.exact import top_k

_BLOCK = 1024
_BYTES = {"float32": 4, "float16": 2}


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What a pruning kept, and what it cost.

    Attributes:
        before: Places there were.
        kept: Places there are.
        radius: Metres within which places stand for each other.
        recall_before: Share of the places that went for which another place within the radius is
            found first, where all others may answer.
        recall_after: The same where only the kept places may answer.
        queries: Places that went and have another place within the radius.
    """

    before: int
    kept: int
    radius: float
    recall_before: float
    recall_after: float
    queries: int

    def __str__(self) -> str:
        """A line."""
        return (
            f"{self.kept} of {self.before} places kept; for the {self.queries} that went, a place "
            f"within {self.radius:g} m is found first in {100 * self.recall_before:.1f} % among "
            f"all others, in {100 * self.recall_after:.1f} % among those kept"
        )


def prune(
    source: str | Path,
    target: str | Path,
    *,
    places: int | None = None,
    megabytes: float | None = None,
    radius: float = 2.0,
) -> PruneReport:
    """Write the places worth keeping into a new memory; the source stays as it is.

    Places stand for each other within the radius (in the order of their session where a pose is
    missing), so no corner of the map is given up for a well-seen one as long as the budget allows.

    Args:
        source: Address of the memory.
        target: Address of the new memory.
        places: How many to keep.
        megabytes: Or: how large the descriptors may be.
        radius: Metres.

    Raises:
        SettingError: Not exactly one budget is given, it is not positive, or the target exists.
    """
    if (places is None) == (megabytes is None):
        raise SettingError("give a budget: either places or megabytes")
    if PlaceMemory.exists(target):
        raise SettingError(f"{target} is there already; prune into a new memory")
    with PlaceMemory.open(source, readonly=True) as memory:
        budget = places if places is not None else _places_in(memory, float(megabytes or 0))
        if budget < 1 or not radius > 0:
            raise SettingError("the budget is at least one place, the radius above zero")
        positions = _positions(memory)
        kept = choose(memory.descriptors, positions, budget, radius)
        with open_or_create(target, memory) as pruned:
            for start in range(0, len(kept), BATCH):
                pruned.add_rows(memory.rows.take(kept[start : start + BATCH].tolist()))
            pruned.set_sources(memory.manifest.sources)
        return _report(memory.descriptors, positions, kept, radius)


def choose(
    descriptors: NDArray[np.float32], positions: NDArray[np.float64], count: int, radius: float
) -> NDArray[np.int64]:
    """The rows to keep, increasing.

    Args:
        descriptors: (N, D) float32, unit rows.
        positions: (N, C) metres.
        count: How many; all if there are fewer.
        radius: Metres within which a place stands for another.

    Example:
        >>> rows = np.float32([[1, 0], [1, 0], [0, 1], [0, 1]])
        >>> choose(rows, np.array([[0.0], [0.1], [9.0], [9.1]]), 2, radius=1.0).tolist()
        [0, 2]
    """
    total = len(descriptors)
    if count >= total:
        return np.arange(total)
    near, similar = _neighbours(descriptors, positions, radius)
    covered = np.zeros(total)
    heap = [(-float(values.sum()), row, -1) for row, values in enumerate(similar)]
    heapq.heapify(heap)
    kept: list[int] = []
    while len(kept) < count:
        gain, row, seen = heapq.heappop(heap)
        if seen == len(kept):  # nothing was kept since this gain was counted
            kept.append(row)
            covered[near[row]] = np.maximum(covered[near[row]], similar[row])
            continue
        gain = float(np.maximum(similar[row] - covered[near[row]], 0.0).sum())
        heapq.heappush(heap, (-gain, row, len(kept)))
    return np.sort(np.array(kept, np.int64))


def _neighbours(
    descriptors: NDArray[np.float32], positions: NDArray[np.float64], radius: float
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float64]]]:
    """Rows within the radius of each row, itself among them, and their similarity, 0 to 1."""
    near: list[NDArray[np.int64]] = []
    similar: list[NDArray[np.float64]] = []
    for start in range(0, len(descriptors), _BLOCK):
        part = positions[start : start + _BLOCK]
        close = np.linalg.norm(part[:, None] - positions[None], axis=2) <= radius
        for i, flags in enumerate(close):
            rows = np.flatnonzero(flags | (np.arange(len(positions)) == start + i))
            near.append(rows)
            cosine = descriptors[rows].astype(np.float64) @ descriptors[start + i]
            similar.append((1.0 + cosine) / 2.0)
    return near, similar


def _positions(memory: PlaceMemory) -> NDArray[np.float64]:
    """(N, 4): metres, and the session's number times a great length where there is no pose."""
    positions = memory.rows.positions.copy()
    apart = np.zeros(len(memory))
    unknown = np.isnan(positions[:, 0])
    sessions = {name: number for number, name in enumerate(memory.sessions(), start=1)}
    for row in np.flatnonzero(unknown):
        place = memory.places[int(row)]
        positions[row] = (place.index, 0.0, 0.0)
        apart[row] = 1e9 * sessions[place.session]
    return np.column_stack([positions, apart])


def _places_in(memory: PlaceMemory, megabytes: float) -> int:
    width = memory.manifest.dim + (memory.manifest.sequence_dim or 0)
    return int(megabytes * 1e6 / (width * _BYTES[memory.manifest.dtype]))


def _report(
    descriptors: NDArray[np.float32],
    positions: NDArray[np.float64],
    kept: NDArray[np.int64],
    radius: float,
) -> PruneReport:
    asked, before, after = 0, 0, 0
    keeps = np.zeros(len(descriptors), np.bool_)
    keeps[kept] = True
    for row in np.flatnonzero(~keeps):
        apart = np.linalg.norm(positions - positions[row], axis=1)
        others = np.flatnonzero(np.arange(len(descriptors)) != row)
        if not (apart[others] <= radius).any():
            continue
        asked += 1
        for rows, tally in ((others, 0), (others[keeps[others]], 1)):
            found = top_k(descriptors, descriptors[row : row + 1], 1, rows)[0][0]
            right = len(found) and apart[found[0]] <= radius
            before += int(right and tally == 0)
            after += int(right and tally == 1)
    counted = max(1, asked)
    return PruneReport(
        len(descriptors), len(kept), radius, before / counted, after / counted, asked
    )
