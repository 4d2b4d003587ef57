"""Describe images into hloc's feature files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from placememory._types import Progress
from placememory.encoders import (
    Encoder,
    EncoderCard,
    FittableEncoder,
    Workers,
    create,
    encode_shards,
    from_card,
)
from placememory.encoders.batching import BadFrames, fit_on_sample
from placememory.encoders.card import Option
from placememory.errors import EncoderMismatchError
from placememory.frames import Frame
from placememory.memory import PlaceMemory
from placememory.memory.features_h5 import FeatureReader, FeatureWriter
from placememory.memory.sample import SampleFile, discard_sample, sample_path


@dataclass(frozen=True, slots=True)
class ExtractReport:
    """The result of an extraction.

    Attributes:
        added: Images described now.
        present: Images that were in the file already.
        bad: Names and reasons of images that could not be read.
    """

    added: int
    present: int
    bad: tuple[tuple[str, str], ...]


def extract(
    frames: Sequence[Frame],
    path: Path | str,
    encoder: Encoder,
    *,
    half: bool = True,
    skip_bad: bool = False,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> ExtractReport:
    """Describe images into a feature file; those that are there already are skipped.

    Args:
        frames: With images; an encoder that needs a vocabulary has it fitted on them.
        path: The file; made, or added to.
        encoder: Fitted or not.
        half: Store float16, as hloc does, or float32.
        skip_bad: Leave out, and count, images that cannot be read.
        progress: Called with images done and images in all.
        workers: Processes that describe the images in shards, kept in ``<path>.shards`` until the
            file is written; this one alone if left out. A vocabulary is fitted here all the same.

    Raises:
        ImageError: An image cannot be read.
        EncoderMismatchError: The file was made by another encoder.
        InputError: Workers are given, and a frame is no image file.
        PlaceMemoryError: See :func:`placememory.encoders.encode_shards`.
    """
    bad = BadFrames(skip_bad)
    with ExitStack() as stack:
        kept = None
        if isinstance(encoder, FittableEncoder) and not encoder.is_fitted:
            kept = stack.enter_context(SampleFile(sample_path(path), encoder.card))
        encoder, sample, descriptors = fit_on_sample(encoder, frames, bad, progress, kept)
    with FeatureWriter(path, encoder.card, dtype="float16" if half else "float32") as writer:
        known = {frame.name for frame in frames} & writer.names
        present = len(known)
        if descriptors is not None:
            writer.add([frame.name for frame in sample], descriptors)
        unread = {name for name, _ in bad.names}
        missing = [f for f in frames if f.name not in writer.names and f.name not in unread]
        done = len(frames) - len(missing)
        shards = shards_path(path)
        for part, encoded in encode_shards(encoder, missing, shards, workers, bad):
            writer.add([frame.name for frame in part], encoded)
            done += len(part)
            if progress is not None:
                progress(done, len(frames))
    discard_sample(path)
    shutil.rmtree(shards, ignore_errors=True)
    return ExtractReport(len(frames) - present - len(bad.names), present, tuple(bad.names))


def shards_path(path: Path | str) -> Path:
    """Folder of the shards of an extraction that is not finished.

    Example:
        >>> shards_path("maps/db.h5").as_posix()
        'maps/db.h5.shards'
    """
    return Path(path).with_name(f"{Path(path).name}.shards")


def encoder_like(
    like: str | None,
    path: Path,
    name: str,
    weights: str | None,
    *,
    options: dict[str, Option],
    device: str,
    precision: str,
) -> Encoder:
    """The encoder of a memory or feature file, of the file that is being added to, or a new one.

    Raises:
        EncoderMismatchError: A feature file does not say its encoder.
    """
    card: EncoderCard | None = None
    if like is not None:
        card = card_of(like)
    elif path.is_file():
        card = card_of(str(path))
    if card is None:
        return create(name, weights, device=device, precision=precision, **options)
    return from_card(card, weights, device=device, precision=precision)


def card_of(address: str) -> EncoderCard:
    """The encoder card of a memory or of a feature file.

    Raises:
        EncoderMismatchError: A feature file does not say its encoder.
    """
    if Path(address).suffix not in (".h5", ".hdf5"):
        with PlaceMemory.open(address, readonly=True) as memory:
            return memory.card
    with FeatureReader(address) as reader:
        if reader.card is None:
            raise EncoderMismatchError(
                f"{address} does not say which encoder made it, so more cannot be made like it"
            )
        return reader.card
