"""Encode a stream of frames: read ahead, encode in batches, count what cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from placememory.encoders import Encoder
from placememory.encoders._base import Descriptors
from placememory.errors import ImageError
from placememory.frames import Frame, Image, read_ahead

BATCH = 32


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
        """Keep a bad frame, or raise.

        Raises:
            ImageError: Bad frames are not to be skipped.
        """
        if not self.skip:
            raise ImageError(f"{error} (frame {frame.name!r}; --skip-bad leaves such frames out)")
        self.names.append((frame.name, str(error)))


def encode_frames(
    encoder: Encoder, frames: Iterable[Frame], bad: BadFrames, *, batch: int = BATCH
) -> Iterator[tuple[list[Frame], Descriptors]]:
    """Encode frames in their order.

    Args:
        encoder: Ready (fitted) encoder.
        frames: Frames with images.
        bad: Collects, or refuses, unreadable images.
        batch: Frames a batch.

    Yields:
        Up to ``batch`` frames with their descriptors (N, D) float32.

    Raises:
        ImageError: An image cannot be read and ``bad`` does not skip.
    """
    waiting: list[tuple[Frame, Image]] = []
    for pair in read_ahead(frames, on_bad=bad.note, depth=batch):
        waiting.append(pair)
        if len(waiting) == batch:
            yield _encoded(encoder, waiting)
            waiting = []
    if waiting:
        yield _encoded(encoder, waiting)


def _encoded(encoder: Encoder, pairs: list[tuple[Frame, Image]]) -> tuple[list[Frame], Descriptors]:
    return [frame for frame, _ in pairs], encoder.encode([image for _, image in pairs])
