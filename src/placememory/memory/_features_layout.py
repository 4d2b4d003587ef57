"""What a file of global descriptors looks like inside, and the errors of HDF5 as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from placememory.encoders import EncoderCard
from placememory.errors import (
    EncoderMismatchError,
    InputError,
    MemoryFormatError,
    MemoryStoreError,
)

DESCRIPTOR, IMAGE_SIZE = "global_descriptor", "image_size"
CARD, CARD_HASH = "placememory_encoder_card", "placememory_encoder_hash"
_TAIL = f"/{DESCRIPTOR}".encode()


def link_of(name: str) -> bytes:
    """HDF5 path of an image's descriptor."""
    return name.encode("utf-8", "surrogateescape") + _TAIL


def name_of(link: bytes) -> str:
    """Inverse of :func:`link_of`."""
    return link[: -len(_TAIL)].decode("utf-8", "surrogateescape")


def check_encoder(path: Path, theirs: EncoderCard | None, card: EncoderCard) -> None:
    """Check that a file's descriptors are an encoder's.

    Raises:
        EncoderMismatchError: They are not, or the file does not say (hloc's own files do not).
    """
    if theirs is None:
        raise EncoderMismatchError(
            f"{path} does not say which encoder made it, so descriptors of {card.name!r} may not "
            "be added; write them to a new file"
        )
    if theirs.hash != card.hash:
        raise EncoderMismatchError(
            f"{path}: descriptors of {theirs.name!r} ({theirs.hash[:12]}) and of {card.name!r} "
            f"({card.hash[:12]}) do not go together: they differ in "
            f"{', '.join(theirs.differences(card))}"
        )


def complete_links(file: Any) -> list[bytes]:
    """Paths of all descriptors whose values were written (a killed writer leaves empty ones)."""
    links: list[bytes] = []

    def keep(link: bytes) -> None:
        if link.endswith(_TAIL):
            links.append(link)

    file.id.links.visit(keep)
    return [link for link in links if _is_complete(file, link)]


def _is_complete(file: Any, link: bytes) -> bool:
    found = h5py.h5o.open(file.id, link)
    return isinstance(found, h5py.h5d.DatasetID) and found.get_storage_size() > 0


def read_card(path: Path, file: Any) -> EncoderCard | None:
    """The card in a file's attributes; ``None`` where there is none (hloc's own files)."""
    if CARD not in file.attrs:
        return None
    try:
        card = EncoderCard.from_bytes(np.asarray(file.attrs[CARD], np.uint8).tobytes())
    except MemoryFormatError as error:
        raise InputError(f"{path}: {error}") from error
    if card.hash != file.attrs.get(CARD_HASH):
        raise InputError(f"{path}: the encoder card is damaged")
    return card


def part_of(path: Path) -> Path:
    """The journal beside a feature file, where an extraction into it is not finished."""
    return path.with_name(f"{path.name}.part")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise HDF5's errors as :class:`InputError` that names the file."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: cannot read the feature file ({error}); it is damaged, or no HDF5 file, or "
            "another program is writing it. If its writer was killed, delete it and extract again"
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise HDF5's errors as :class:`MemoryStoreError` that names the file."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise MemoryStoreError(
            f"{path}: cannot write the feature file ({error}); is there space? What was extracted "
            f"is kept in {part_of(path)}: run the same again to go on"
        ) from error
