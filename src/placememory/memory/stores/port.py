"""The port that every store implements: durable rows under one manifest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from placememory.errors import InputError, MemoryDamagedError, SettingError
from placememory.memory.place import Candidates
from placememory.memory.rows import PlaceRows, revision_of
from placememory.memory.search import Where

FORMAT = 2
"""Version of what stores write; a store of another version is refused."""

StoreIndex = Literal["flat", "ivf", "hnsw"]
Dtype = Literal["float32", "float16"]


class Manifest(BaseModel):
    """Facts that a store holds about its rows.

    Attributes:
        format: Version of the layout.
        software: The version of placememory that made it.
        dim: Length of descriptors.
        sequence_dim: Length of sequence descriptors; ``None`` if none are kept.
        sequence_card: Card of their encoder, in base 64; ``None`` where it is not known.
        dtype: How descriptors are kept.
        metric: Always ``cosine``: the inner product of unit rows.
        frame_id: Name of the map frame.
        card_hash: Of the encoder card.
        count: Places.
        checksum: Sum of the rows' CRC-32 values.
        generation: Counts the writes.
        chunks: How many chunks of rows the embedded store has ever written.
        unfinished: The command that makes this memory and was not done yet; ``None`` when it is.
        index: The store's own index, where it has one.
        map_yaml: The map drawn under the places, as given when the memory was built.
        sources: Where the images of each session lay then; a hint for figures, nothing more.
        topics: Which topic of a bag they are of, by session, where they are of one.
        pose_topics: Which topic the poses were taken from, where it was named.
        levels: Values of deep images (16 bits, float) that are black and white here; ``None`` where
            there are none. See :class:`placememory.frames.Levels`.
        calibration: The filter's calibration on this map; ``None`` if there is none.
        background: How alike the map and views of other places are; ``None`` if it is not known.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    format: int = FORMAT
    software: str
    dim: int = Field(gt=0)
    sequence_dim: int | None = Field(default=None, gt=0)
    sequence_card: str | None = None
    dtype: Dtype = "float32"
    metric: Literal["cosine"] = "cosine"
    frame_id: str = "map"
    card_hash: str
    count: int = 0
    checksum: int = 0
    generation: int = 0
    chunks: int = 0
    unfinished: str | None = None
    index: StoreIndex | None = None
    map_yaml: str | None = None
    sources: dict[str, str] = Field(default_factory=dict)
    topics: dict[str, str] = Field(default_factory=dict)
    pose_topics: dict[str, str] = Field(default_factory=dict)
    levels: tuple[float, float] | None = None
    calibration: dict[str, float] | None = None
    background: dict[str, float] | None = None

    def change(self, **fields: Any) -> Manifest:
        """The manifest with other values, checked before anything is written.

        Raises:
            SettingError: A value is none that can be stored, such as NaN.
        """
        try:
            return Manifest.model_validate({**self.model_dump(), **fields})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise SettingError(f"{where}: {first['input']!r} cannot be stored") from error


class Store(ABC):
    """Durable rows of one memory; its methods may be called from several threads.

    Writes are atomic: after a crash either all rows of a call are there, or none. (Milvus: of each
    8192 rows of a call, fewer where descriptors are long; and of a call that replaces rows, what
    arrived.)

    Attributes:
        uri: The address, without a password.
    """

    uri: str
    has_index = False
    """Whether :meth:`search` and :meth:`make_index` work."""

    @property
    @abstractmethod
    def manifest(self) -> Manifest:
        """The current manifest."""

    @property
    def revision(self) -> str:
        """What :attr:`PlaceRows.revision` of the rows is that are stored now; cheap to ask."""
        manifest = self.manifest
        return revision_of(manifest.count, manifest.checksum)

    @property
    @abstractmethod
    def card(self) -> bytes:
        """The encoder card (see :meth:`EncoderCard.to_bytes`)."""

    @abstractmethod
    def update(self, **fields: Any) -> None:
        """Change fields of the manifest (``map_yaml``).

        Raises:
            SettingError: A value cannot be stored, such as NaN.
        """

    def refresh(self) -> None:  # noqa: B027 - a store that has it all in a file asks that
        """Ask what other processes have written; :meth:`read` gives it then."""

    @abstractmethod
    def read(self) -> PlaceRows:
        """All rows in the order of their place ids, checked against count and checksum.

        Places and descriptors, or all there is, may be read when they are first used, and checked
        then.

        Raises:
            MemoryDamagedError: They disagree.
        """

    def check(self) -> None:
        """Read everything that is stored and compare it with its checksums.

        Raises:
            MemoryDamagedError: Something is damaged or missing.
        """
        rows = self.read()
        fresh = PlaceRows(list(rows.places), rows.descriptors, rows.sequences)
        check_rows(fresh, self.manifest, self.uri)

    @abstractmethod
    def upsert(self, rows: PlaceRows) -> None:
        """Write rows; those with a known place id take the place of the old ones.

        Raises:
            MemoryLockedError: Another process is writing.
        """

    @abstractmethod
    def remove(self, session: str) -> int:
        """Remove a session; returns how many places went."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files, locks and connections. May be called twice."""

    def check_writable(self) -> None:
        """Refuse what cannot be written to, before there is something to write.

        Raises:
            MemoryStoreError: It was opened for reading, or may not be written.
            MemoryLockedError: Another process is writing.
        """
        self.update()

    def make_index(self, kind: StoreIndex) -> None:
        """Build the store's own index.

        Raises:
            SettingError: This store has none.
        """
        raise SettingError(f"{self.uri}: only a Milvus store has an index of its own, not {kind!r}")

    @property
    def search_settings(self) -> str | None:
        """How the store searches, for people; ``None`` where it has no index of its own."""
        return None

    def search(self, queries: NDArray[np.float32], k: int, where: Where | None) -> list[Candidates]:
        """Ask the store's own index; the candidates of each query, best first.

        Raises:
            SettingError: This store has none.
        """
        raise SettingError(f"{self.uri}: only a Milvus store can search with an index of its own")


@contextmanager
def reading_places(uri: str) -> Iterator[None]:
    """Turn errors of parsing places into :class:`MemoryDamagedError`.

    Raises:
        MemoryDamagedError: A place is malformed.
    """
    try:
        yield
    except (ValueError, KeyError, TypeError, InputError) as error:
        raise MemoryDamagedError(f"{uri}: a place is damaged ({error})") from error


def check_rows(rows: PlaceRows, manifest: Manifest, uri: str) -> None:
    """Compare rows that were read with what was written.

    Raises:
        MemoryDamagedError: Count or checksum disagree.
    """
    advice = "restore it from a copy, or build it again"
    if len(rows) != manifest.count:
        raise MemoryDamagedError(
            f"{uri}: {len(rows)} places were read but {manifest.count} were written; {advice}"
        )
    if int(rows.checksums.sum()) != manifest.checksum:
        raise MemoryDamagedError(f"{uri}: the checksum of the places is wrong; {advice}")
