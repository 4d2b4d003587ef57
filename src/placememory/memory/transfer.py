"""Whole memories: copied to another store, merged, and pruned."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from placememory._types import Progress
from placememory.encoders import EncoderCard
from placememory.errors import MemoryLockedError, MemoryStoreError, SettingError
from placememory.frames import Origin
from placememory.memory.place_memory import PlaceMemory
from placememory.memory.rows import PlaceRows
from placememory.memory.search import top_k
from placememory.memory.stores import is_outdated, show_address

_log = logging.getLogger(__name__)
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

    Every part goes along: places, descriptors, map, sources, calibration. A copy that exists is
    brought up to date. A target with places of its own is refused. Until it is whole, a new copy
    cannot be opened by anybody else.

    Args:
        source: Address of the memory.
        target: Address of the copy (see :meth:`PlaceMemory.create`).
        progress: Called with places done and places in all.

    Returns:
        The copy, open.

    Raises:
        EncoderMismatchError: At the target is a memory of another encoder.
        MemoryLockedError: Source and target are the same.
        MemoryUnfinishedError: The target is another command's unfinished memory.
        SettingError: At the target is no copy of this memory.
    """
    with PlaceMemory.open(source, readonly=True) as memory:
        if show_address(source) == show_address(target):
            raise MemoryLockedError(f"{memory.uri} cannot be copied onto itself")
        task = f"the copy of {memory.uri}"
        with _filling(target, memory, task) as copied:
            _check_is_copy(copied, memory)
            _add_missing(copied, memory, task, progress)
            _carry(memory, copied, _OF_THE_MAP | _OF_THESE_PLACES)
    return copied


def merge(
    sources: Sequence[str | Path], target: str | Path, *, progress: Progress | None = None
) -> PlaceMemory:
    """Put several memories of one encoder and one map frame into one.

    Frames of two origins (``geo:46.52,6.57``) are one: poses are brought to that of the first.

    Sessions are kept apart by name; the same name in two memories is refused. A calibration is of
    the places it was measured on, so that a new memory has none.

    Args:
        sources: Addresses of the memories.
        target: Address of the merged memory; may be one of the existing ones.
        progress: Called with places done and places in all, per source.

    Returns:
        The merged memory, open.

    Raises:
        EncoderMismatchError: Two memories were made by different encoders.
        MemoryUnfinishedError: The target is another command's unfinished memory.
        SettingError: Two memories share a session name, or differ in their map frame or in the
            length of their sequence descriptors, or in how they scale deep images.
    """
    if not sources:
        raise SettingError("nothing to merge")
    with ExitStack() as stack:
        opened = [
            stack.enter_context(PlaceMemory.open(source, readonly=True))
            for source in sources
            if show_address(source) != show_address(target)
        ]
        if not opened:
            return PlaceMemory.open(target)
        task = f"the merge of {', '.join(memory.uri for memory in opened)}"
        with _filling(target, opened[0], task) as merged:
            _check_mergeable([merged, *opened])
            for memory in opened:
                _add_missing(merged, memory, task, progress)
            for memory in opened:
                merged.set_sources(memory.manifest.sources)
                merged.set_topics(memory.manifest.topics, memory.manifest.pose_topics)
                _carry(memory, merged, _OF_THE_MAP, only_gaps=True)
                _say_left_out(memory, merged)
    return merged


def upgrade(uri: str | Path, *, progress: Progress | None = None) -> bool:
    """Bring a memory file of an earlier version to this one's layout, in its place.

    It is copied beside itself first and takes the name when it is whole; killed, the same call
    goes on where it stopped.

    Args:
        uri: Path of the file.
        progress: Called with places done and places in all.

    Returns:
        Whether there was something to do.

    Raises:
        MemoryStoreError: It cannot be read, or its folder not be written to.
    """
    path = Path(uri)
    if not is_outdated(path):
        return False
    part = path.with_name(f".{path.name}.upgrade")
    copy(path, part, progress=progress).close()
    try:
        part.replace(path)
    except OSError as error:
        raise MemoryStoreError(f"{path}: cannot be replaced ({error.strerror or error})") from error
    return True


def open_or_create(target: str | Path, like: PlaceMemory) -> PlaceMemory:
    """The memory at an address, made like another one if it is not there."""
    if PlaceMemory.exists(target):
        return PlaceMemory.open(target, encoder=like.card)
    made = _create_like(target, like, None)
    _carry(like, made, _OF_THE_MAP)
    return made


def _create_like(
    target: str | Path,
    like: PlaceMemory,
    unfinished: str | None,
    card: EncoderCard | None = None,
    dtype: Literal["float32", "float16"] | None = None,
) -> PlaceMemory:
    manifest = like.manifest
    return PlaceMemory.create(
        target,
        encoder=card or like.card,
        frame_id=manifest.frame_id,
        sequence_dim=manifest.sequence_dim,
        sequence_encoder=like.sequence_card,
        dtype=dtype or manifest.dtype,
        unfinished=unfinished,
    )


@contextmanager
def fill_like(
    target: str | Path, like: PlaceMemory, task: str, *, card: EncoderCard, dtype: str
) -> Iterator[PlaceMemory]:
    """A memory to be filled with another encoder's descriptors of the same places; stays open.

    It is made, or was left unfinished by the same task, and is published at the end. What the
    source's manifest says of the map goes along, but for the likeness of its descriptors.

    Raises:
        MemoryUnfinishedError: Another task has left it unfinished.
        SettingError: There is a finished memory.
    """
    _refuse_finished(target, task)
    kept: Literal["float32", "float16"] = "float16" if dtype == "float16" else "float32"
    with _filling(target, like, task, card, kept) as memory:
        yield memory
        _carry(like, memory, _OF_THE_MAP - {"background"})
        _say_left_out(like, memory)


@contextmanager
def _filling(
    target: str | Path,
    like: PlaceMemory,
    task: str,
    card: EncoderCard | None = None,
    dtype: Literal["float32", "float16"] | None = None,
) -> Iterator[PlaceMemory]:
    """A memory to be filled: made, or left unfinished by the same task; published at the end.

    Raises:
        MemoryUnfinishedError: Another task has left it unfinished.
    """
    if PlaceMemory.exists(target):
        encoder = like.card if card is None else None
        memory = PlaceMemory.open(target, encoder=encoder, unfinished=task)
    else:
        memory = _create_like(target, like, task, card, dtype)
    try:
        yield memory
        if memory.manifest.unfinished is not None:
            memory.finish()
    except BaseException:
        memory.close()
        raise


_OF_THE_MAP = frozenset({"map_yaml", "sources", "topics", "pose_topics", "levels", "background"})
"""What a manifest says of a map as a whole, and goes to a memory of some of its places."""

_OF_THESE_PLACES = frozenset({"calibration"})
"""What it says of just these places."""


def _carry(
    source: PlaceMemory, target: PlaceMemory, fields: frozenset[str], *, only_gaps: bool = False
) -> None:
    """Give the target those parts of the source's manifest, or those of them that it lacks."""
    there = target.manifest.model_dump(include=set(fields))
    wanted = source.manifest.model_dump(include=set(fields))
    given = {k: v for k, v in wanted.items() if v != there[k] and not (only_gaps and there[k])}
    if given:
        target.set_facts(**given)


def _say_left_out(source: PlaceMemory, target: PlaceMemory) -> None:
    if source.manifest.calibration is not None and target.manifest.calibration is None:
        _log.warning(
            "the calibration of %s is of its own places and was left out of %s; calibrate that",
            source.uri,
            target.uri,
        )


def _add_missing(
    target: PlaceMemory, source: PlaceMemory, task: str, progress: Progress | None
) -> None:
    """Write the rows that the target lacks, or has in another state.

    Until all are there, the target is unfinished.
    """
    rows = _rows_in_frame(source, target.manifest.frame_id)
    if source.manifest.dtype != target.manifest.dtype:
        rows = rows.round_to(target.manifest.dtype)
    missing = _differing(rows, target.rows)
    if len(missing) and target.manifest.unfinished is None:
        target.set_facts(unfinished=task)
    _add_rows(target, rows, missing, progress)


def _rows_in_frame(memory: PlaceMemory, frame_id: str) -> PlaceRows:
    """The rows with their poses from the origin that a frame is called by."""
    if memory.manifest.frame_id == frame_id:
        return memory.rows
    return memory.rows.with_places([place.in_frame(frame_id) for place in memory.rows.places])


def _add_rows(
    target: PlaceMemory,
    rows: PlaceRows,
    missing: NDArray[np.int64],
    progress: Progress | None = None,
) -> None:
    done = len(rows) - len(missing)
    for start in range(0, len(missing), BATCH):
        part = missing[start : start + BATCH]
        target.add_rows(rows.take(part))
        if progress is not None:
            progress(done + start + len(part), len(rows))


def _differing(rows: PlaceRows, others: PlaceRows) -> NDArray[np.int64]:
    """Numbers of the rows that the others have not, or with another checksum."""
    mine, theirs = rows.columns, others.columns
    differs = np.ones(len(rows), np.bool_)
    for number, name in enumerate(mine.sessions):
        if name not in theirs.sessions:
            continue
        at = np.flatnonzero(mine.session == number)
        there = np.flatnonzero(theirs.session == theirs.sessions.index(name))
        place = np.searchsorted(theirs.index[there], mine.index[at]).clip(max=len(there) - 1)
        found = there[place]
        differs[at] = (theirs.index[found] != mine.index[at]) | (
            others.checksums[found] != rows.checksums[at]
        )
    return np.flatnonzero(differs)


def _check_is_copy(target: PlaceMemory, source: PlaceMemory) -> None:
    _check_alike(target, source)
    if target.manifest.dtype != source.manifest.dtype:
        raise SettingError(
            f"{target.uri} keeps {target.manifest.dtype}, {source.uri} {source.manifest.dtype}: "
            "copy to a new address"
        )
    suspects = _differing(target.rows, source.rows)  # others are the source's, to the bit
    names = {place.id: place.name for place in source.places} if len(suspects) else {}
    own = [p for p in target.rows.take(suspects).places if names.get(p.id) != p.name]
    if own:
        raise SettingError(
            f"{target.uri} holds {len(own)} places that are not in {source.uri}, first "
            f"{own[0].name!r} of session {own[0].session!r}; copy to a new address, or merge"
        )


def _check_alike(first: PlaceMemory, second: PlaceMemory, *, any_origin: bool = False) -> None:
    first.check_encoder(second.card)
    for what in _WORDS:
        mine, theirs = getattr(first.manifest, what), getattr(second.manifest, what)
        if what == "frame_id" and any_origin and None not in map(Origin.of_frame, (mine, theirs)):
            continue
        if mine != theirs:
            raise SettingError(
                f"{first.uri} and {second.uri} differ in {_WORDS[what]}: {mine!r} and {theirs!r}"
            )


def _check_mergeable(memories: Sequence[PlaceMemory]) -> None:
    deep = [memory for memory in memories if memory.levels is not None]
    for i, memory in enumerate(memories):
        _check_alike(memories[0], memory, any_origin=True)
        if memory.levels not in (None, *(other.levels for other in deep[:1])):
            raise SettingError(
                f"{deep[0].uri} and {memory.uri} scale deep images by other values, "
                f"{deep[0].levels} and {memory.levels}; build both into one memory"
            )
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
    columns = first.rows.columns
    others = _rows_in_frame(second, first.manifest.frame_id)
    beyond = _differing(first.rows, others.round_to(first.manifest.dtype))
    return {columns.sessions[i] for i in np.unique(columns.session[beyond])}


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
    Killed, the same call goes on where it stopped; until then nobody else can open the target. A
    calibration is of all the places, and left out.

    Args:
        source: Address of the memory.
        target: Address of the new memory.
        places: How many to keep.
        megabytes: Or: how large the descriptors may be.
        radius: Metres.

    Raises:
        MemoryUnfinishedError: The target is another command's unfinished memory.
        SettingError: Not exactly one budget is given, it is not positive, or the target exists.
    """
    if (places is None) == (megabytes is None):
        raise SettingError("give a budget, in places or in megabytes (--places, --megabytes)")
    with PlaceMemory.open(source, readonly=True) as memory:
        budget = places if places is not None else _places_in(memory, float(megabytes or 0))
        if budget < 1 or not radius > 0:
            raise SettingError("the budget is at least one place, the radius above zero")
        task = f"the pruning of {memory.uri} to {budget} places with a radius of {radius:g} m"
        _refuse_finished(target, task)
        positions = _positions(memory)
        chosen = choose(memory.descriptors, positions, budget, radius)
        with _filling(target, memory, task) as pruned:
            wanted = memory.rows.take(chosen)
            _add_rows(pruned, wanted, _differing(wanted, pruned.rows))
            _carry(memory, pruned, _OF_THE_MAP)
            _say_left_out(memory, pruned)
        pruned.close()
        return _report(memory.descriptors, positions, chosen, radius)


def _refuse_finished(target: str | Path, task: str) -> None:
    if PlaceMemory.exists(target):
        with PlaceMemory.open(target, unfinished=task, readonly=True) as memory:
            if memory.manifest.unfinished is None:
                raise SettingError(
                    f"{memory.uri} is there already; give the address of a new memory"
                )


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
    columns = memory.rows.columns
    positions, apart = columns.positions.copy(), np.zeros(len(memory))
    unknown = np.isnan(positions[:, 0])
    positions[unknown] = 0.0
    positions[unknown, 0] = columns.index[unknown]
    apart[unknown] = 1e9 * (columns.session[unknown] + 1)
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
