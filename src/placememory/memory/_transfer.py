"""Copy a memory to another store, and merge memories."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from placememory._types import Progress
from placememory.errors import MemoryLockedError, SettingError
from placememory.memory._memory import PlaceMemory
from placememory.memory._place import PlaceId
from placememory.memory._rows import Rows

BATCH = 1024
_WORDS = {"frame_id": "their map frame", "sequence_dim": "the length of sequence descriptors"}


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
    return PlaceMemory.create(
        target,
        encoder=like.card,
        frame_id=manifest.frame_id,
        sequence_dim=manifest.sequence_dim,
        dtype=manifest.dtype,
        map_yaml=manifest.map_yaml,
    )


def _add_missing(target: PlaceMemory, source: PlaceMemory, progress: Progress | None) -> None:
    """Write the rows that the target lacks, or has in another state."""
    rows = source.rows.rounded(target.manifest.dtype)
    have, wanted = _states(target.rows), _states(rows)
    missing = [i for i, place in enumerate(rows.places) if have.get(place.id) != wanted[place.id]]
    done = len(rows) - len(missing)
    for start in range(0, len(missing), BATCH):
        part = missing[start : start + BATCH]
        target.add_rows(rows.take(part))
        if progress is not None:
            progress(done + start + len(part), len(rows))
    target.set_sources(source.manifest.sources)


def _states(rows: Rows) -> dict[PlaceId, int]:
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
    for what in ("frame_id", "sequence_dim"):
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
    theirs = _states(second.rows.rounded(first.manifest.dtype))
    return {key[0] for key, crc in _states(first.rows).items() if theirs.get(key) != crc}
