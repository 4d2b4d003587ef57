"""Encode a stream of frames: read ahead, encode in batches, count unreadable images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import numpy as np

from placememory._types import Progress
from placememory.encoders.base import Descriptors, Encoder, FittableEncoder
from placememory.encoders.sequence import SequenceEncoder, StreamDescriptors
from placememory.errors import ImageError, InputError
from placememory.frames import Frame, Image, read_ahead, sample_evenly

BATCH = 32
_COMPARED = 3
_SAME = 1e-4  # the same image on another engine


@dataclass
class BadFrames:
    """Frames whose image could not be read.

    Attributes:
        skip: Whether to leave them out; otherwise the first one raises.
        names: Names and reasons, in the order met.
    """

    skip: bool = False
    names: list[tuple[str, str]] = field(default_factory=list)

    def note(self, frame: Frame, error: ImageError) -> None:
        """Collect a bad frame, or raise.

        Raises:
            ImageError: Bad frames are not to be skipped.
        """
        if not self.skip:
            raise ImageError(f"{error} (frame {frame.name!r}; --skip-bad leaves such frames out)")
        self.names.append((frame.name, str(error)))


def encode_frames(
    encoder: Encoder,
    frames: Iterable[Frame],
    bad: BadFrames | None = None,
    *,
    batch: int = BATCH,
) -> Iterator[tuple[list[Frame], Descriptors]]:
    """Encode frames in their order; images are read ahead by threads.

    Args:
        encoder: Ready (fitted) encoder.
        frames: Frames with images.
        bad: Collects, or refuses, unreadable images; without it the first one raises.
        batch: Frames a batch.

    Yields:
        Up to ``batch`` frames with their descriptors (N, D) float32.

    Raises:
        ImageError: An image cannot be read and ``bad`` does not skip.
    """
    pairs = read_ahead(frames, on_bad=None if bad is None else bad.note, depth=batch)
    while part := list(islice(pairs, batch)):
        images: list[Image] = [image for _, image in part]
        yield [frame for frame, _ in part], encoder.encode(images)


def encode_windows(
    encoder: SequenceEncoder,
    frames: Sequence[Frame],
    wanted: Collection[int] | None = None,
    bad: BadFrames | None = None,
) -> Iterator[tuple[int, StreamDescriptors]]:
    """Encode frames of one traverse in the context of those before them, one backbone pass each.

    Args:
        encoder: Describes windows; frames are streamed through it as a robot's would be.
        frames: In order; where the session changes, a new stream begins.
        wanted: Which of them to give; all by default. Frames that only fill their windows are
            streamed too.
        bad: Collects, or refuses, unreadable images, which are left out of the stream.

    Yields:
        Number of the frame, and its descriptors.

    Raises:
        ImageError: An image cannot be read and ``bad`` does not skip.
    """
    length = encoder.sequence_length
    selected = set(range(len(frames)) if wanted is None else wanted)
    needed = {
        j
        for i in selected
        for j in range(max(0, i - length + 1), i + 1)
        if frames[j].session == frames[i].session
    }
    order = sorted(needed)
    number = {id(frames[j]): j for j in order}
    stream, before = encoder.stream(), -2
    on_bad = None if bad is None else bad.note
    for frame, image in read_ahead([frames[j] for j in order], on_bad=on_bad):
        i = number[id(frame)]
        if i != before + 1 or frames[i].session != frames[before].session:
            stream = encoder.stream()
        found, before = stream.push(image), i
        if i in selected:
            yield i, found


class KeptFeatures(Protocol):
    """Where the features of a sample are stored as they come; see :func:`fit_on_sample`."""

    def get(self, frame: Frame) -> Descriptors | None:
        """Those (F, C) of a frame; ``None`` if they are not there."""
        ...

    def add(self, frame: Frame, features: Descriptors) -> None:
        """Store those of a frame."""
        ...

    def clear(self) -> None:
        """Drop all."""
        ...


def fit_on_sample(
    encoder: Encoder,
    frames: Sequence[Frame],
    bad: BadFrames,
    progress: Progress | None = None,
    kept: KeptFeatures | None = None,
) -> tuple[Encoder, list[Frame], Descriptors | None]:
    """Fit an encoder that needs it; the sample's descriptors come along, at no further cost.

    Args:
        encoder: Fitted or not.
        frames: Some of them, evenly spaced, are the sample.
        bad: Collects, or refuses, unreadable images.
        progress: Called with frames encoded and frames in all.
        kept: Where the features of each image are stored as they come, so that a fit that was cut
            off goes on.

    Returns:
        The fitted encoder, the frames it was fitted on and their descriptors (N, D); the encoder
        itself, no frames and ``None`` where nothing is to be fitted.

    Raises:
        InputError: None of the images can be read.
    """
    if not isinstance(encoder, FittableEncoder) or encoder.is_fitted:
        return encoder, [], None
    chosen = [frames[int(i)] for i in sample_evenly(len(frames), encoder.fit_sample)]
    found = {} if kept is None else _features_kept(encoder, chosen, kept)
    taken: list[Frame] = []

    def images() -> Iterator[Image]:
        missing = [frame for i, frame in enumerate(chosen) if i not in found]
        for frame, image in read_ahead(missing, on_bad=bad.note):
            taken.append(frame)
            yield image

    number = {id(frame): i for i, frame in enumerate(chosen)}
    for done, features in enumerate(encoder.find_features(images())):
        found[number[id(taken[done])]] = features
        if kept is not None:
            kept.add(taken[done], features)
        if progress is not None:
            progress(len(found) + len(bad.names), len(frames))
    if not found:
        raise InputError("none of the images can be read, so there is nothing to build from")
    order = sorted(found)
    fitted, descriptors = encoder.fit_features([found[i] for i in order])
    return fitted, [chosen[i] for i in order], descriptors


def _features_kept(
    encoder: FittableEncoder, frames: Sequence[Frame], kept: KeptFeatures
) -> dict[int, Descriptors]:
    """Features that are stored, by number of the frame; none if the images are others now."""
    found = {i: known for i, frame in enumerate(frames) if (known := kept.get(frame)) is not None}
    numbers = list(found)
    for i in (numbers[int(n)] for n in sample_evenly(len(numbers), _COMPARED)):
        try:
            [now] = encoder.find_features([frames[i].image()])
            same = now.shape == found[i].shape and np.allclose(now, found[i], atol=_SAME)
        except ImageError:
            same = False
        if not same:
            kept.clear()
            return {}
    return found
