"""Write hloc's files of global descriptors, or add to them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import h5py
import numpy as np
from numpy.typing import ArrayLike

from placememory._version import __version__
from placememory.encoders import EncoderCard
from placememory.errors import DescriptorError, InputError, MemoryStoreError
from placememory.memory._features_journal import Described, Journal
from placememory.memory._features_layout import (
    CARD,
    CARD_HASH,
    DESCRIPTOR,
    IMAGE_SIZE,
    check_encoder,
    part_of,
    writing,
)
from placememory.memory._features_reader import FeatureReader
from placememory.memory._rows import unit_rows

_SOFTWARE = "placememory_software"
_LIBVER = ("v108", "v110")  # attributes over 64 KiB, and no flags that lock out after a crash


class FeatureWriter:
    """Write descriptors, or add to a file; images described before may be skipped by the caller.

    Each :meth:`add` is durable when it returns, whatever happens to the process afterwards. The
    HDF5 file is made, or replaced by a longer one, when the writer is closed.

    Args:
        path: The file; its folder is made.
        encoder: Card of the encoder whose descriptors will be added.
        dtype: How descriptors are stored; hloc's default is float16.

    Raises:
        EncoderMismatchError: The file is another encoder's, or does not say whose.
        MemoryLockedError: Another process is extracting into the same file.
        InputError: The file is damaged or is no feature file.
    """

    def __init__(
        self,
        path: Path | str,
        encoder: EncoderCard,
        *,
        dtype: Literal["float16", "float32"] = "float16",
    ) -> None:
        self._path, self._card, self._dtype = Path(path), encoder, np.dtype(dtype)
        self.names: set[str] = set()
        if self._path.exists():
            with FeatureReader(self._path) as reader:
                check_encoder(self._path, reader.card, encoder)
                self.names.update(reader.names)
        with writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        self._journal: Journal | None = Journal(part_of(self._path), encoder)
        self.names.update(self._journal.names())

    def add(
        self,
        names: Sequence[str],
        descriptors: ArrayLike,
        sizes: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        """Write the descriptors of some images; a known name's descriptor is replaced.

        Args:
            names: N image names; ``/`` makes nested groups, as in hloc.
            descriptors: (N, D); brought to unit norm.
            sizes: Width and height of the N images in pixels.

        Raises:
            DescriptorError: Wrong shape, NaN, infinity or a zero row; nothing is written.
            InputError: A name cannot be kept in HDF5, or occurs twice.
            MemoryStoreError: The disk is full or not writable, or the writer is closed.
        """
        if self._journal is None:
            raise MemoryStoreError(f"{self._path}: this writer is closed")
        rows = unit_rows(descriptors, self._card.dim, names).astype(self._dtype)
        kept = [None] * len(names) if sizes is None else list(sizes)
        if not len(rows) == len(names) == len(kept):
            raise DescriptorError(f"{len(names)} names, {len(rows)} descriptors, {len(kept)} sizes")
        if len(set(names)) != len(names):
            raise InputError("a name occurs twice among the images of one call")
        for name in names:
            _check_name(name)
        self._journal.add(map(Described, names, rows, kept))
        self.names.update(names)

    def close(self) -> None:
        """Put everything into the HDF5 file. May be called twice.

        Raises:
            MemoryStoreError: The disk is full; what was added stays in ``<file>.part``.
        """
        journal, self._journal = self._journal, None
        if journal is None:
            return
        done = False
        try:
            if journal.names():
                self._publish(journal)
            done = True
        finally:
            journal.close(remove=done)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _publish(self, journal: Journal) -> None:
        new = self._path.with_name(f".{self._path.name}.new")
        try:
            with writing(self._path):
                if self._path.exists():
                    shutil.copyfile(self._path, new)
                with h5py.File(new, "a" if self._path.exists() else "w", libver=_LIBVER) as file:
                    file.attrs[CARD] = np.frombuffer(self._card.to_bytes(), np.uint8)
                    file.attrs[CARD_HASH] = self._card.hash
                    file.attrs[_SOFTWARE] = f"placememory {__version__}"
                    for row in journal.rows():
                        _put(file, row)
                with new.open("rb+") as written:
                    os.fsync(written.fileno())
                new.replace(self._path)
        finally:
            new.unlink(missing_ok=True)


def _put(file: Any, row: Described) -> None:
    group = file.require_group(row.name)
    for key in (DESCRIPTOR, IMAGE_SIZE):
        if key in group:
            del group[key]
    group.create_dataset(DESCRIPTOR, data=row.descriptor)
    if row.size is not None:
        group.create_dataset(IMAGE_SIZE, data=np.array(row.size, np.int64))


def _check_name(name: str) -> None:
    parts = name.split("/")
    if "\0" in name or {"", ".", DESCRIPTOR, IMAGE_SIZE} & set(parts):
        raise InputError(f"the image name {name!r} cannot be the name of an HDF5 group")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the image name {name!r} cannot be written as UTF-8") from error
