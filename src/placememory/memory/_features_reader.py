"""Read hloc's files of global descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from placememory.encoders import EncoderCard
from placememory.errors import DescriptorError, InputError
from placememory.frames.names import natural_key
from placememory.memory._features_layout import (
    DESCRIPTOR,
    check_encoder,
    complete_links,
    link_of,
    name_of,
    part_of,
    read_card,
    reading,
)

Paths = Path | str | Sequence[Path | str]
_SHOWN = 3


class FeatureReader:
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
            with reading(path):
                dataset = h5py.h5d.open(file.id, link_of(name))
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
        """Let go of the files. May be called twice."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add_file(self, path: Path) -> None:
        if not path.is_file():
            part = part_of(path)
            hint = f" yet; {part} keeps an interrupted extraction" if part.exists() else ""
            raise InputError(f"{path}: there is no such feature file{hint}")
        with reading(path):
            file = self._open.enter_context(h5py.File(path, "r"))
            links = complete_links(file)
            if not links:
                raise InputError(
                    f"{path}: holds no {DESCRIPTOR}; is it a file of local features, or none of "
                    "hloc's?"
                )
            shape = h5py.h5d.open(file.id, links[0]).shape
            card = read_card(path, file)
        self._check_alike(path, int(np.prod(shape)), card)
        for link in links:
            name = name_of(link)
            if name in self._files:
                raise InputError(f"{name!r} is in two files: {self._files[name][0]} and {path}")
            self._files[name] = (path, file)

    def _check_alike(self, path: Path, dim: int, card: EncoderCard | None) -> None:
        if self.card is not None and card is not None:
            check_encoder(path, self.card, card)
        if self.dim not in (0, dim):
            raise DescriptorError(f"{path}: descriptors have length {dim}, others {self.dim}")
        self.dim, self.card = dim, self.card or card
