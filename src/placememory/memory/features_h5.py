"""hloc's feature files: global descriptors by image name in HDF5, read and written.

HDF5 cannot be killed safely in mid-write, so a writer keeps its rows in a journal beside the file
and publishes the file in one step at the end. Errors of HDF5 become ours.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory._io import Closing
from placememory._version import __version__
from placememory.encoders import EncoderCard
from placememory.errors import (
    DescriptorError,
    EncoderMismatchError,
    InputError,
    MemoryFormatError,
    MemoryLockedError,
    MemoryStoreError,
)
from placememory.frames.names import natural_key
from placememory.memory.rows import unit_rows

Paths = Path | str | Sequence[Path | str]

DESCRIPTOR, IMAGE_SIZE = "global_descriptor", "image_size"
CARD, CARD_HASH = "placememory_encoder_card", "placememory_encoder_hash"
_SHOWN = 3
_LONGEST = 1 << 18
_TAIL = f"/{DESCRIPTOR}".encode()


def _link_of(name: str) -> bytes:
    """HDF5 path of an image's descriptor."""
    return name.encode("utf-8", "surrogateescape") + _TAIL


def _name_of(link: bytes) -> str:
    """Inverse of :func:`_link_of`."""
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


def _complete_links(file: Any) -> list[bytes]:
    """Paths of all descriptors whose values were written (a killed writer leaves empty ones)."""
    links: list[bytes] = []

    def collect(link: bytes) -> None:
        if link.endswith(_TAIL):
            links.append(link)

    file.id.links.visit(collect)
    return [link for link in links if _is_complete(file, link)]


def _is_complete(file: Any, link: bytes) -> bool:
    found = h5py.h5o.open(file.id, link)
    return isinstance(found, h5py.h5d.DatasetID) and found.get_storage_size() > 0


def _read_card(path: Path, file: Any) -> EncoderCard | None:
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


def _journal_of(path: Path) -> Path:
    """The journal beside a feature file, where an extraction into it is not finished."""
    return path.with_name(f"{path.name}.part")


@contextmanager
def _errors_of_reading(path: Path) -> Iterator[None]:
    """Raise HDF5's errors as :class:`InputError` that names the file."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: cannot read the feature file ({error}); it is damaged, or no HDF5 file, or "
            "another program is writing it. If its writer was killed, delete it and extract again"
        ) from error


@contextmanager
def _errors_of_writing(path: Path) -> Iterator[None]:
    """Raise HDF5's errors as :class:`MemoryStoreError` that names the file."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise MemoryStoreError(
            f"{path}: cannot write the feature file ({error}); is there space? What was extracted "
            f"is kept in {_journal_of(path)}: run the same again to go on"
        ) from error


class FeatureReader(Closing):
    """Descriptors of one or several files, which share no names.

    Attributes:
        names: All image names in natural order.
        dim: Length of a descriptor.
        card: Card of the encoder; ``None`` where the files do not say.

    Raises:
        InputError: A file is missing, damaged, or holds no descriptors; a name is in two files.
        DescriptorError: The files' descriptors differ in length.
        EncoderMismatchError: The files come from different encoders.

    Example:
        >>> import tempfile
        >>> from placememory.memory.features_h5 import FeatureWriter
        >>> path = Path(tempfile.mkdtemp()) / "feats.h5"
        >>> card = EncoderCard(name="toy", dim=2)
        >>> with FeatureWriter(path, card) as writer:
        ...     writer.add(["db/2.jpg", "db/10.jpg"], np.eye(2, dtype=np.float32))
        >>> with FeatureReader(path) as reader:
        ...     reader.names, reader.read(["db/10.jpg"]).tolist(), reader.card == card
        (['db/2.jpg', 'db/10.jpg'], [[0.0, 1.0]], True)
    """

    def __init__(self, paths: Paths) -> None:
        self._open = ExitStack()
        self._files: dict[str, tuple[Path, Any]] = {}
        self.card: EncoderCard | None = None
        self.dim = 0
        try:
            for path in [paths] if isinstance(paths, str | Path) else paths:
                self._add_file(Path(path))
            if not self._files:
                raise InputError("no feature file is given")
        except BaseException:
            self.close()
            raise
        self.names = sorted(self._files, key=natural_key)

    def read(self, names: Sequence[str] | None = None) -> NDArray[np.float32]:
        """Read descriptors.

        Args:
            names: Which images; all, in the order of :attr:`names`, if left out.

        Returns:
            (N, D) float32, as they are in the file.

        Raises:
            InputError: A name is not there, or a file is damaged.
            DescriptorError: A descriptor has another shape or type.
        """
        names = self.names if names is None else names
        self.check_names(names)
        matrix = np.empty((len(names), self.dim), np.float32)
        for name, row in zip(names, matrix, strict=True):
            path, file = self._files[name]
            with _errors_of_reading(path):
                dataset = h5py.h5d.open(file.id, _link_of(name))
                if dataset.shape != (self.dim,) or dataset.dtype.kind != "f":
                    raise DescriptorError(
                        f"{path}: the descriptor of {name!r} is {dataset.dtype} "
                        f"{dataset.shape} where ({self.dim},) floats are expected"
                    )
                dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, row)
        return matrix

    def check_names(self, names: Sequence[str]) -> None:
        """Check that descriptors of these images are there.

        Raises:
            InputError: Some are not; the message names them.
        """
        missing = [name for name in names if name not in self._files]
        if missing:
            shown = ", ".join(map(repr, missing[:_SHOWN])) + (
                ", …" if len(missing) > _SHOWN else ""
            )
            files = ", ".join(str(path) for path in {path: 0 for path, _ in self._files.values()})
            raise InputError(
                f"{files}: no descriptors of {len(missing)} of {len(names)} images: {shown}"
            )

    def close(self) -> None:
        """Close the files. May be called twice."""
        self._open.close()

    def _add_file(self, path: Path) -> None:
        if not path.is_file():
            part = _journal_of(path)
            hint = f" yet; {part} keeps an interrupted extraction" if part.exists() else ""
            raise InputError(f"{path}: there is no such feature file{hint}")
        with _errors_of_reading(path):
            file = self._open.enter_context(h5py.File(path, "r"))
            links = _complete_links(file)
            if not links:
                raise InputError(
                    f"{path}: holds no {DESCRIPTOR}; is it a file of local features, or none of "
                    "hloc's?"
                )
            shape = h5py.h5d.open(file.id, links[0]).shape
            card = _read_card(path, file)
        if len(shape) != 1 or not 0 < shape[0] <= _LONGEST:
            raise InputError(
                f"{path}: the descriptor of {_name_of(links[0])!r} has the shape {shape}; a global "
                f"descriptor is a row of at most {_LONGEST:,} numbers"
            )
        self._check_alike(path, shape[0], card)
        for link in links:
            name = _name_of(link)
            if name in self._files:
                raise InputError(f"{name!r} is in two files: {self._files[name][0]} and {path}")
            self._files[name] = (path, file)

    def _check_alike(self, path: Path, dim: int, card: EncoderCard | None) -> None:
        if self.card is not None and card is not None:
            check_encoder(path, self.card, card)
        if self.dim not in (0, dim):
            raise DescriptorError(f"{path}: descriptors have length {dim}, others {self.dim}")
        self.dim, self.card = dim, self.card or card


_SCHEMA = """
CREATE TABLE IF NOT EXISTS encoder (id INTEGER PRIMARY KEY CHECK (id = 1), hash TEXT, name TEXT);
CREATE TABLE IF NOT EXISTS images (
    name TEXT PRIMARY KEY, width INTEGER, height INTEGER, dtype TEXT, descriptor BLOB NOT NULL
) WITHOUT ROWID;
"""


class FeatureRow(NamedTuple):
    """One image: its name, its descriptor (D,) and its width and height, where they are known."""

    name: str
    descriptor: NDArray[np.floating]
    size: tuple[int, int] | None


class Journal:
    """Rows of one unfinished extraction; one process at a time holds it.

    Raises:
        MemoryLockedError: Another process extracts into the same file.
        EncoderMismatchError: The rows left here by an interruption are another encoder's.
        MemoryStoreError: It cannot be read or written.
    """

    def __init__(self, path: Path, card: EncoderCard) -> None:
        self.path = path
        with self._errors():
            self._connection = sqlite3.connect(path, timeout=0.2, isolation_level=None)
        try:
            with self._errors():
                self._lock()
                self._connection.executescript(_SCHEMA)
                self._check_encoder(card)
        except BaseException:
            self._connection.close()
            raise

    def names(self) -> list[str]:
        """Names of the images described."""
        with self._errors():
            return [name for (name,) in self._connection.execute("SELECT name FROM images")]

    def rows(self) -> Iterator[FeatureRow]:
        """All rows in the order of their names."""
        with self._errors():
            for name, width, height, dtype, blob in self._connection.execute(
                "SELECT name, width, height, dtype, descriptor FROM images ORDER BY name"
            ):
                size = None if width is None else (width, height)
                yield FeatureRow(name, np.frombuffer(blob, dtype=dtype), size)

    def add(self, rows: Iterable[FeatureRow]) -> None:
        """Write rows: they are all safe when this returns, or none is."""
        values = [
            (name, *(size or (None, None)), descriptor.dtype.str, descriptor.tobytes())
            for name, descriptor, size in rows
        ]
        with self._errors():
            self._connection.execute("BEGIN")
            try:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?)", values
                )
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self, *, remove: bool) -> None:
        """Close the file; ``remove`` it once its rows are safe elsewhere."""
        if remove:
            self.path.unlink(missing_ok=True)  # before the lock goes, so that nobody joins it
        self._connection.close()

    def _lock(self) -> None:
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("BEGIN EXCLUSIVE")
        self._connection.execute("COMMIT")
        if not self.path.exists():  # its last holder removed it while we waited
            raise sqlite3.OperationalError("database is locked")

    def _check_encoder(self, card: EncoderCard) -> None:
        known: Sequence[tuple[str, str]]
        known = self._connection.execute("SELECT hash, name FROM encoder").fetchall()
        if not known:
            self._connection.execute("INSERT INTO encoder VALUES (1, ?, ?)", (card.hash, card.name))
        elif known[0][0] != card.hash:
            raise EncoderMismatchError(
                f"{self.path} keeps an interrupted extraction by {known[0][1]!r} "
                f"({known[0][0][:12]}), not by {card.name!r} ({card.hash[:12]}): finish that one, "
                "or delete the file"
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise MemoryLockedError(
                    f"{self.path}: another process is extracting into the same file"
                ) from error
            raise MemoryStoreError(
                f"{self.path}: cannot read or write what was extracted so far ({error}); "
                "is there space, and may you write here?"
            ) from error


_SOFTWARE = "placememory_software"
_LIBVER = ("v108", "v110")  # attributes over 64 KiB, and no flags that lock out after a crash


class FeatureWriter(Closing):
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
        with _errors_of_writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        self._journal: Journal | None = Journal(_journal_of(self._path), encoder)
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
        all_sizes = [None] * len(names) if sizes is None else list(sizes)
        if not len(rows) == len(names) == len(all_sizes):
            raise DescriptorError(
                f"{len(names)} names, {len(rows)} descriptors, {len(all_sizes)} sizes"
            )
        if len(set(names)) != len(names):
            raise InputError("a name occurs twice among the images of one call")
        for name in names:
            _check_name(name)
        self._journal.add(map(FeatureRow, names, rows, all_sizes))
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

    def _publish(self, journal: Journal) -> None:
        new = self._path.with_name(f".{self._path.name}.new")
        try:
            with _errors_of_writing(self._path):
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


def _put(file: Any, row: FeatureRow) -> None:
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
