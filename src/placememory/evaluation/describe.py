"""Describe a traverse; descriptors in the cache are not computed again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from placememory._checks import check_vectors
from placememory._types import Progress, Vectors
from placememory.encoders import (
    Descriptors,
    Encoder,
    FittableEncoder,
    SequenceEncoder,
    Workers,
    encode_shards,
    encode_windows,
)
from placememory.errors import InputError
from placememory.evaluation.cache import (
    DescriptorCache,
    Row,
    cache_path,
    frame_key,
    joint_key,
    window_keys,
)
from placememory.frames import Frame, FrameImages
from placememory.frames.keyframes import sample_evenly
from placememory.memory import list_background

_BATCH = 32
FrameRows = tuple[Row | None, Row | None]


@dataclass(frozen=True, slots=True, eq=False)
class TraverseDescriptors:
    """A run of frames in their order, already described by an encoder.

    Attributes:
        descriptors: (N, D) float32, of any length; ``None`` where frames have none of their own.
        sequences: (M, Ds) float32 sequence descriptors of the last M frames, M <= N, in the scale
            that the encoder gave them: a sequence encoder that looks at L frames has
            M = N - L + 1. A row that is all NaN is a frame without one. ``None``: no encoder.
        frames: N, where there are no descriptors of frames.
        length: L, frames that a sequence descriptor stands for.
        background: (B, D) of the shipped views of other places; ``None`` where they were not
            described.

    Raises:
        DescriptorError: Descriptors have another shape or type, NaN, infinity or zero rows.
        InputError: There are more sequences than frames, or their number is not known.

    Example:
        >>> len(TraverseDescriptors(np.eye(3), sequences=np.ones((1, 4))))
        3
    """

    descriptors: Vectors | None
    sequences: Vectors | None = None
    frames: int | None = None
    length: int = 1
    background: Vectors | None = None

    def __post_init__(self) -> None:
        count = self.frames
        if self.descriptors is not None:
            rows = check_vectors("descriptors", self.descriptors, None)
            object.__setattr__(self, "descriptors", rows)
            count = len(rows)
        if count is None:
            raise InputError("without descriptors of frames, give their number")
        object.__setattr__(self, "frames", count)
        if self.sequences is not None:
            found = check_vectors("sequence descriptors", self.sequences, None, gaps=True)
            if len(found) > count:
                raise InputError(f"{len(found)} sequence descriptors for {count} frames")
            object.__setattr__(self, "sequences", found)

    def __len__(self) -> int:
        """How many frames there are."""
        assert self.frames is not None
        return self.frames


@dataclass(frozen=True, slots=True)
class CachedTraverse:
    """Where the descriptors of a traverse are.

    Attributes:
        file: Of the cache.
        length: L, frames of a window; 1 for an image encoder.
        batch_invariant: Whether, by the encoder's card, descriptors depend on no other image.
    """

    file: Path
    length: int
    batch_invariant: bool = True

    def read_background(self) -> Vectors | None:
        """(B, D) of the shipped views of other places; ``None`` where they were not described."""
        keys = [frame_key(frame) for frame in list_background()]
        with DescriptorCache(self.file) as stored:
            found = stored.get(keys)
        rows = [found[key][0] for key in keys if key in found]
        known = [row for row in rows if row is not None]
        return np.stack(known) if known and len(known) == len(keys) else None


def fit_on(
    encoder: Encoder, frames: Sequence[Frame], cache: Path, *, fresh: bool = False
) -> Encoder:
    """An encoder that needs a vocabulary, fitted on a reference traverse; others as they are.

    Args:
        encoder: Any.
        frames: Of the reference traverse; an even sample of them is used.
        cache: Folder of the cache, where the fitted card is stored.
        fresh: Whether to fit anew.

    Raises:
        ImageError: An image cannot be read.
    """
    if not isinstance(encoder, FittableEncoder) or encoder.is_fitted:
        return encoder
    chosen = [frames[int(i)] for i in sample_evenly(len(frames), encoder.fit_sample)]
    with DescriptorCache(cache_path(cache, encoder.card)) as stored:
        key = joint_key(frame_key(frame) for frame in chosen)
        card = None if fresh else stored.get_card(key)
        if card is not None:
            return encoder.with_fitted(card.fitted)
        fitted = encoder.fit(FrameImages(chosen))
        stored.put_card(key, fitted.card)
    return fitted


def describe(
    encoder: Encoder,
    frames: Sequence[Frame],
    cache: Path,
    *,
    fresh: bool = False,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> CachedTraverse:
    """Describe all frames, and of a sequence encoder the windows that end at them, into the cache.

    A pass that was cut off goes on where it stopped.

    Args:
        encoder: Ready (fitted).
        frames: N frames of one traverse, in order.
        cache: Folder of the cache.
        fresh: Whether to describe anew what the cache holds.
        progress: Called with frames described now and frames to describe.
        workers: Processes that describe frames in shards; this one alone if left out, and of
            sequence encoders, whose windows cross shards.

    Returns:
        Where the descriptors are.

    Raises:
        ImageError: An image cannot be read.
        PlaceMemoryError: See :func:`placememory.encoders.encode_shards`.
    """
    length = encoder.sequence_length if isinstance(encoder, SequenceEncoder) else 1
    file = cache_path(cache, encoder.card)
    keys = window_keys([frame_key(frame) for frame in frames], length)
    shards = file.with_name(f"{file.stem}-{joint_key(keys).hex()[:16]}.shards")
    with DescriptorCache(file) as stored:
        missing = set(keys) if fresh else set(keys) - stored.select_known(keys)
        batch: list[tuple[bytes, Row | None, Row | None]] = []
        by = partial(encode_shards, folder=shards, workers=workers)
        for key, rows in _describe_missing(encoder, frames, keys, missing, by, progress):
            batch.append((key, *rows))
            if len(batch) == _BATCH:
                stored.put(batch)
                batch = []
        stored.put(batch)
    shutil.rmtree(shards, ignore_errors=True)
    return CachedTraverse(file, length, encoder.card.batch_invariant)


def read_descriptors(where: CachedTraverse, frames: Sequence[Frame]) -> TraverseDescriptors:
    """Descriptors of a traverse out of the cache.

    Args:
        where: What :func:`describe` gave for these frames.
        frames: N frames of the traverse, in order.

    Returns:
        (N, D) frame descriptors, where the encoder has any, and, of a sequence encoder, (N, Ds)
        with NaN rows where no whole window of one session ends.

    Raises:
        InputError: A frame has changed since, so that the cache does not know it.
    """
    keys = window_keys([frame_key(frame) for frame in frames], where.length)
    with DescriptorCache(where.file) as stored:
        found = stored.get(keys)
    missing = next(
        (frame.name for frame, key in zip(frames, keys, strict=True) if key not in found), None
    )
    if missing is not None:
        raise InputError(f"{missing} changed while it was in use; run the same command again")
    described = [row for key in keys if (row := found[key][0]) is not None]
    windows = [row for key in keys if (row := found[key][1]) is not None]
    rows = np.stack(described) if len(described) == len(keys) and keys else None
    sequences = None
    if windows:
        none = np.full(len(windows[0]), np.nan, np.float32)
        sequences = np.stack([none if (row := found[key][1]) is None else row for key in keys])
    return TraverseDescriptors(rows, sequences, len(keys), where.length)


def _describe_missing(
    encoder: Encoder,
    frames: Sequence[Frame],
    keys: Sequence[bytes],
    missing: set[bytes],
    encode: Callable[[Encoder, Sequence[Frame]], Iterator[tuple[list[Frame], Descriptors]]],
    progress: Progress | None,
) -> Iterator[tuple[bytes, FrameRows]]:
    """Describe the frames whose key is missing, each once."""
    wanted: dict[bytes, int] = {}
    for i, key in enumerate(keys):
        if key in missing:
            wanted.setdefault(key, i)
    order = list(wanted.values())
    found: Iterator[tuple[int, FrameRows]]
    if isinstance(encoder, SequenceEncoder):
        windows = encode_windows(encoder, frames, order)
        found = ((i, (rows.frame, rows.sequence)) for i, rows in windows)
    else:
        parts = encode(encoder, [frames[i] for i in order])
        rows_of_parts = (row for _, rows in parts for row in rows)
        found = ((i, (row, None)) for i, row in zip(order, rows_of_parts, strict=True))
    for done, (i, pair) in enumerate(found, start=1):
        yield keys[i], pair
        if progress is not None:
            progress(done, len(order))
