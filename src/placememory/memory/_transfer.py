"""Copy a memory to another store, and merge memories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from placememory.errors import MemoryLockedError, SettingError
from placememory.memory._memory import PlaceMemory
from placememory.memory._rows import Rows

BATCH = 1024
Progress = Callable[[int, int], None]


def copy(
    source: str | Path, target: str | Path, *, progress: Progress | None = None
) -> PlaceMemory:
    """Copy a memory into a new store, bit for bit; an interrupted copy goes on where it stopped.

    Args:
        source: Address of the memory.
        target: Address of the copy (see :meth:`PlaceMemory.create`).
        progress: Called with places done and places in all.

    Returns:
        The copy, open.

    Raises:
        EncoderMismatchError: At the target is a memory of another encoder.
        MemoryLockedError: Source and target are the same.
    """
    with PlaceMemory.open(source, readonly=True) as memory:
        if str(source) == str(target):
            raise MemoryLockedError(f"{source} cannot be copied onto itself")
        copied = _open_or_create(target, memory)
        try:
            _add_missing(copied, memory.rows, progress)
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
        SettingError: Two memories share a session name, or differ in their map frame.
    """
    if not sources:
        raise SettingError("nothing to merge")
    with ExitStack() as stack:
        opened = [
            stack.enter_context(PlaceMemory.open(source, readonly=True))
            for source in sources
            if str(source) != str(target)
        ]
        merged = _open_or_create(target, opened[0]) if opened else PlaceMemory.open(target)
        stack.push(lambda kind, *_: merged.close() if kind else None)
        _check_mergeable([merged, *opened])
        for memory in opened:
            _add_missing(merged, memory.rows, progress)
    return merged


def _open_or_create(target: str | Path, like: PlaceMemory) -> PlaceMemory:
    if PlaceMemory.exists(target):
        return PlaceMemory.open(target, encoder=like.card)
    manifest = like.manifest
    return PlaceMemory.create(
        target,
        encoder=like.card,
        frame_id=manifest.frame_id,
        sequence_dim=manifest.sequence_dim,
        dtype=manifest.dtype,
        map_yaml=manifest.map_yaml,
    )


def _add_missing(target: PlaceMemory, rows: Rows, progress: Progress | None) -> None:
    have = {place.id: place for place in target.places}
    missing = [i for i, place in enumerate(rows.places) if have.get(place.id) != place]
    done = len(rows) - len(missing)
    for start in range(0, len(missing), BATCH):
        part = missing[start : start + BATCH]
        target.add_rows(rows.take(part))
        if progress is not None:
            progress(done + start + len(part), len(rows))


def _check_mergeable(memories: Sequence[PlaceMemory]) -> None:
    present: dict[str, PlaceMemory] = {}
    first = memories[0]
    for memory in memories:
        first.check_encoder(memory.card)
        if memory.manifest.frame_id != first.manifest.frame_id:
            raise SettingError(
                f"{memory.uri} is in the frame {memory.manifest.frame_id!r}, {first.uri} in "
                f"{first.manifest.frame_id!r}"
            )
        for session in memory.sessions():
            owner = present.setdefault(session, memory)
            if owner is not memory and not _is_part(owner, memory, session):
                raise SettingError(
                    f"the session {session!r} is in {owner.uri} and in {memory.uri}; build one of "
                    "them with another --session"
                )


def _is_part(first: PlaceMemory, second: PlaceMemory, session: str) -> bool:
    """Whether all places of a session in the first are in the second: a merge that was cut off."""
    theirs = {place.id: place for place in second.places}
    return all(theirs.get(p.id) == p for p in first.places if p.session == session)
