"""Whole memories: copied to another store, merged, and pruned."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from placememory._types import Progress
from placememory.errors import MemoryLockedError, SettingError
from placememory.likeness import Background
from placememory.memory.place import PlaceId
from placememory.memory.place_memory import PlaceMemory
from placememory.memory.rows import PlaceRows
from placememory.memory.search import top_k

BATCH = 1024
_WORDS = {
    "frame_id": "their map frame",
    "sequence_dim": "the length of sequence descriptors",
    "sequence_card": "the encoder of sequence descriptors",
}


def copy(
    source: str | Path, target: str | Path, *, progress: Progress | None = None
) -> PlaceMemory:
    """Copy a memory into a new store, bit for bit; an interrupted copy goes on where it stopped.

    A copy that exists is brought up to date. A target with places of its own is refused.

    Args:
        source: Address of the memory.
        target: Address of the copy (see :meth:`PlaceMemory.create`).
        progress: Called with places done and places in all.

    Returns:
        The copy, open.

    Raises:
        EncoderMismatchError: At the target is a memory of another encoder.
        MemoryLockedError: Source and target are the same.
        SettingError: At the target is no copy of this memory.
    """
    with PlaceMemory.open(source, readonly=True) as memory:
        if str(source) == str(target):
            raise MemoryLockedError(f"{source} cannot be copied onto itself")
        copied = open_or_create(target, memory)
        try:
            _check_is_copy(copied, memory)
            _add_missing(copied, memory, progress)
        except BaseException:
            copied.close()
            raise
    return copied


def merge(
    sources: Sequence[str | Path], target: str | Path, *, progress: Progress | None = None
) -> PlaceMemory:
    """Put several memories of one encoder and one map frame into one.

    Sessions are kept apart by name; the same name in two memories is refused.

    Args:
        sources: Addresses of the memories.
        target: Address of the merged memory; may be one of the existing ones.
        progress: Called with places done and places in all, per source.

    Returns:
        The merged memory, open.

    Raises:
        EncoderMismatchError: Two memories were made by different encoders.
        SettingError: Two memories share a session name, or differ in their map frame or in the
            length of their sequence descriptors.
    """
    if not sources:
        raise SettingError("nothing to merge")
    with ExitStack() as stack:
        opened = [
            stack.enter_context(PlaceMemory.open(source, readonly=True))
            for source in sources
            if str(source) != str(target)
        ]
        merged = open_or_create(target, opened[0]) if opened else PlaceMemory.open(target)
        stack.push(lambda kind, *_: merged.close() if kind else None)
        _check_mergeable([merged, *opened])
        for memory in opened:
            _add_missing(merged, memory, progress)
    return merged


def open_or_create(target: str | Path, like: PlaceMemory) -> PlaceMemory:
    """The memory at an address, made like another one if it is not there."""
    if PlaceMemory.exists(target):
        return PlaceMemory.open(target, encoder=like.card)
    manifest = like.manifest
    made = PlaceMemory.create(
        target,
        encoder=like.card,
        frame_id=manifest.frame_id,
        sequence_dim=manifest.sequence_dim,
        sequence_encoder=like.sequence_card,
        dtype=manifest.dtype,
        map_yaml=manifest.map_yaml,
    )
    if manifest.background is not None:  # it knows the number of places that it is of
        made.set_background(Background.from_dict(manifest.background))
    return made


def _add_missing(target: PlaceMemory, source: PlaceMemory, progress: Progress | None) -> None:
    """Write the rows that the target lacks, or has in another state."""
    rows = source.rows.round_to(target.manifest.dtype)
    have, wanted = _states(target.rows), _states(rows)
    missing = [i for i, place in enumerate(rows.places) if have.get(place.id) != wanted[place.id]]
    done = len(rows) - len(missing)
    for start in range(0, len(missing), BATCH):
        part = missing[start : start + BATCH]
        target.add_rows(rows.take(part))
        if progress is not None:
            progress(done + start + len(part), len(rows))
    target.set_sources(source.manifest.sources)


def _states(rows: PlaceRows) -> dict[PlaceId, int]:
    """Checksum of each row by its place id."""
    return {place.id: int(crc) for place, crc in zip(rows.places, rows.checksums, strict=True)}


def _check_is_copy(target: PlaceMemory, source: PlaceMemory) -> None:
    _check_alike(target, source)
    if target.manifest.dtype != source.manifest.dtype:
        raise SettingError(
            f"{target.uri} keeps {target.manifest.dtype}, {source.uri} {source.manifest.dtype}: "
            "copy to a new address"
        )
    names = {place.id: place.name for place in source.places}
    own = [place for place in target.places if names.get(place.id) != place.name]
    if own:
        raise SettingError(
            f"{target.uri} holds {len(own)} places that are not in {source.uri}, first "
            f"{own[0].name!r} of session {own[0].session!r}; copy to a new address, or merge"
        )


def _check_alike(first: PlaceMemory, second: PlaceMemory) -> None:
    first.check_encoder(second.card)
    for what in _WORDS:
        mine, theirs = getattr(first.manifest, what), getattr(second.manifest, what)
        if mine != theirs:
            raise SettingError(
                f"{first.uri} and {second.uri} differ in {_WORDS[what]}: {mine!r} and {theirs!r}"
            )


def _check_mergeable(memories: Sequence[PlaceMemory]) -> None:
    for i, memory in enumerate(memories):
        _check_alike(memories[0], memory)
        for owner in memories[:i]:
            shared = owner.sessions().keys() & memory.sessions().keys()
            clashing = sorted(shared & _sessions_beyond(owner, memory)) if shared else []
            if clashing:
                raise SettingError(
                    f"the session {clashing[0]!r} is in {owner.uri} and in {memory.uri}; build one "
                    "of them with another --session"
                )


def _sessions_beyond(first: PlaceMemory, second: PlaceMemory) -> set[str]:
    """Sessions of the first whose places are not all in the second, as after a cut-off merge."""
    theirs = _states(second.rows.round_to(first.manifest.dtype))
    return {key[0] for key, crc in _states(first.rows).items() if theirs.get(key) != crc}


_BYTES = {"float32": 4, "float16": 2}


@dataclass(frozen=True, slots=True)
class PruneReport:
    """How many places a pruning left, and what it cost in recall.

    Attributes:
        before: Places of the memory.
        after: Places of the pruned memory.
        radius: Metres within which places stand for each other.
        recall_before: Share of the removed places for which another place within the radius is
            found first, among all others.
        recall_after: The same among the places of the pruned memory.
        queries: Removed places that have another place within the radius.
    """

    before: int
    after: int
    radius: float
    recall_before: float
    recall_after: float
    queries: int

    def __str__(self) -> str:
        """A line."""
        return (
            f"{self.after} of {self.before} places kept; for {self.queries} removed ones, a place "
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
    """Write the most useful places into a new memory; the source stays as it is.

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
        chosen = choose(memory.descriptors, positions, budget, radius)
        with open_or_create(target, memory) as pruned:
            for start in range(0, len(chosen), BATCH):
                pruned.add_rows(memory.rows.take(chosen[start : start + BATCH].tolist()))
            pruned.set_sources(memory.manifest.sources)
        return _report(memory.descriptors, positions, chosen, radius)


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
    chosen: list[int] = []
    while len(chosen) < count:
        gain, row, seen = heapq.heappop(heap)
        if seen == len(chosen):  # nothing was kept since this gain was counted
            chosen.append(row)
            covered[near[row]] = np.maximum(covered[near[row]], similar[row])
            continue
        gain = float(np.maximum(similar[row] - covered[near[row]], 0.0).sum())
        heapq.heappush(heap, (-gain, row, len(chosen)))
    return np.sort(np.array(chosen, np.int64))


def _neighbours(
    descriptors: NDArray[np.float32], positions: NDArray[np.float64], radius: float
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float64]]]:
    """Rows within the radius of each row, itself among them, and their similarity, 0 to 1."""
    found = cKDTree(positions).query_ball_point(positions, radius, return_sorted=True)
    near = [np.array(rows, np.int64) for rows in found]
    similar = [
        (1.0 + descriptors[rows].astype(np.float64) @ descriptor) / 2.0
        for rows, descriptor in zip(near, descriptors, strict=True)
    ]
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
    chosen: NDArray[np.int64],
    radius: float,
) -> PruneReport:
    queries, before, after = 0, 0, 0
    is_chosen = np.zeros(len(descriptors), np.bool_)
    is_chosen[chosen] = True
    for row in np.flatnonzero(~is_chosen):
        apart = np.linalg.norm(positions - positions[row], axis=1)
        others = np.flatnonzero(np.arange(len(descriptors)) != row)
        if not (apart[others] <= radius).any():
            continue
        queries += 1
        for rows, tally in ((others, 0), (others[is_chosen[others]], 1)):
            found = top_k(descriptors, descriptors[row : row + 1], 1, rows)[0][0]
            right = len(found) and apart[found[0]] <= radius
            before += int(right and tally == 0)
            after += int(right and tally == 1)
    counted = max(1, queries)
    return PruneReport(
        len(descriptors), len(chosen), radius, before / counted, after / counted, queries
    )
