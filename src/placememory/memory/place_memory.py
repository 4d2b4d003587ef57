"""PlaceMemory: the places of a map with their descriptors and poses, in a store."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory._checks import check_choice
from placememory._io import Closing
from placememory._types import Rows, Vectors
from placememory._version import __version__
from placememory.encoders import Encoder, EncoderCard, count_bits, from_card, read_bits
from placememory.errors import (
    DescriptorError,
    EncoderError,
    EncoderMismatchError,
    InputError,
    MemoryDamagedError,
    MemoryFormatError,
    MemoryUnfinishedError,
    SettingError,
)
from placememory.frames import Frame, Image, Levels, as_frame
from placememory.likeness import Background
from placememory.memory.place import Candidate, Candidates, Place
from placememory.memory.report import BuildReport
from placememory.memory.rows import PlaceRows, unit_rows
from placememory.memory.search import FEW, Where, prefilter, top_k
from placememory.memory.stores import (
    Manifest,
    Store,
    StoreIndex,
    create_store,
    open_store,
    store_exists,
)

Search = Literal["exact", "store"]
_READ = 4096  # rows whose bits are read at a time

UNNAMED_FRAMES = ("", "map")
"""What poses say that name no frame; they fit every memory."""

UNKNOWN_ENCODER = "unknown (feature file)"
"""Name on the card of a memory made from feature files that do not say their encoder."""


class PlaceMemory(Closing):
    """Places of one map: descriptors with poses, and the card of the encoder that made them.

    The store is the durable truth. Opening reads what is searched and filtered; places and
    descriptors are read, and checked, when they are first used. Another process's writes are seen
    after :meth:`refresh`; what it has replaced or removed meanwhile raises
    :class:`MemoryChangedError` until then.

    One object may be used by several threads: writes follow one another, and a search goes over
    the places as they were when it began.

    Attributes:
        card: Of the encoder.
        report: What the build did, where the memory comes from :func:`placememory.build`.

    Example:
        >>> import tempfile
        >>> from placememory.encoders import Preprocess
        >>> card = EncoderCard(name="toy", dim=2, preprocess=Preprocess(longest=8))
        >>> path = Path(tempfile.mkdtemp()) / "office.memory"
        >>> with PlaceMemory.create(path, encoder=card) as memory:
        ...     _ = memory.add([Frame("a.png", "run1", 0)], np.float32([[1, 0]]))
        ...     _ = memory.add([Frame("b.png", "run1", 1)], np.float32([[0, 1]]))
        ...     [[best]] = memory.search(np.float32([0.1, 0.9]), k=1)
        >>> best.place.name, round(best.similarity, 3)
        ('b.png', 0.994)
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._encoder: Encoder | None = None
        self._bits: tuple[PlaceRows, NDArray[np.uint8]] | None = None
        self.report: BuildReport | None = None
        try:
            self.card = _card(store)
            if self.card.hash != store.manifest.card_hash:
                raise MemoryDamagedError(f"{store.uri}: the encoder card is damaged")
            self._rows: PlaceRows | None = None
            _ = self.rows
        except BaseException:
            store.close()
            raise

    @classmethod
    def create(
        cls,
        uri: str | Path,
        *,
        encoder: EncoderCard,
        frame_id: str = "map",
        sequence_dim: int | None = None,
        sequence_encoder: EncoderCard | None = None,
        dtype: Literal["float32", "float16"] = "float32",
        map_yaml: Path | str | None = None,
        unfinished: str | None = None,
    ) -> PlaceMemory:
        """Make an empty memory.

        Args:
            uri: A path (one SQLite file), ``milvus-lite:PATH``, ``http://host:port/collection``, or
                ``:memory:`` for one that lives as long as this object.
            encoder: Card of the encoder whose descriptors will be kept.
            frame_id: Name of the map frame.
            sequence_dim: Length of sequence descriptors, where they are kept too.
            sequence_encoder: Card of their encoder.
            dtype: How descriptors are stored; float16 halves the file.
            map_yaml: The ROS map under the places, remembered for figures.
            unfinished: The command that fills it, until :meth:`finish`; others cannot open it.

        Raises:
            MemoryLockedError: There is a memory at this address already.
        """
        manifest = Manifest(
            software=f"placememory {__version__}",
            dim=encoder.dim,
            sequence_dim=sequence_dim,
            sequence_card=None if sequence_encoder is None else _card_text(sequence_encoder),
            dtype=dtype,
            frame_id=frame_id,
            card_hash=encoder.hash,
            map_yaml=_path_text(map_yaml) if map_yaml is not None else None,
            unfinished=unfinished,
        )
        return cls(create_store(uri, manifest, encoder.to_bytes()))

    @classmethod
    def open(
        cls,
        uri: str | Path,
        *,
        encoder: EncoderCard | None = None,
        readonly: bool = False,
        unfinished: str | None = None,
    ) -> PlaceMemory:
        """Open a memory and check that it is whole.

        Args:
            uri: As for :meth:`create`.
            encoder: Card of the encoder that will be used with it.
            readonly: Refuse to write.
            unfinished: The command that fills it, to open what that command left unfinished.

        Raises:
            MemoryNotFoundError: There is none.
            MemoryFormatError: It is no memory, or one of another version.
            MemoryDamagedError: Count or checksum are wrong.
            MemoryUnfinishedError: A copy, merge or prune into it was cut off.
            EncoderMismatchError: The memory was made by another encoder.
        """
        memory = cls(open_store(uri, readonly=readonly))
        try:
            task = memory.manifest.unfinished
            if task is not None and task != unfinished:
                raise MemoryUnfinishedError(
                    f"{memory.uri} is unfinished: {task} was cut off. Run it again to finish it, "
                    "or remove the memory"
                )
            if encoder is not None:
                memory.check_encoder(encoder)
        except (EncoderMismatchError, MemoryUnfinishedError):
            memory.close()
            raise
        return memory

    @staticmethod
    def exists(uri: str | Path) -> bool:
        """Whether there is a memory at this address."""
        return store_exists(uri)

    def __repr__(self) -> str:
        sessions = len(self.sessions())
        return (
            f"PlaceMemory({self.uri!r}, {len(self):,} places of {sessions} "
            f"session{'s' * (sessions != 1)}, {self.card.name})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: contents and encoder of the memory."""
        manifest, positions = self.manifest, self.rows.positions
        posed = positions[~np.isnan(positions[:, 0])]
        extent = None
        if len(posed):
            low, high = posed.min(axis=0), posed.max(axis=0)
            extent = {"x": [low[0], high[0]], "y": [low[1], high[1]]}
        return {
            "address": self.uri,
            "made_by": manifest.software,
            "places": len(self),
            "with_a_pose": len(posed),
            "extent": extent,
            "map_frame": manifest.frame_id,
            "map": manifest.map_yaml,
            "encoder": self.card.name,
            "encoder_hash": self.card.hash,
            "encoder_options": dict(self.card.options),
            "descriptors_depend_on_the_batch": not self.card.batch_invariant,
            "deep_images": None if self.levels is None else f"values of {self.levels}",
            "descriptor": f"{manifest.dim} x {manifest.dtype}",
            "sequence_descriptor": manifest.sequence_dim,
            "sessions": self.sessions(),
        }

    @property
    def uri(self) -> str:
        """The address, as given; without a password."""
        return self._store.uri

    @property
    def manifest(self) -> Manifest:
        """The manifest of the store."""
        return self._store.manifest

    @property
    def levels(self) -> Levels | None:
        """What deep images (16 bits, float) are scaled by here; ``None`` where there are none."""
        found = self.manifest.levels
        return None if found is None else Levels(*found)

    @property
    def rows(self) -> PlaceRows:
        """Places and descriptors in the order of place ids, as of the last refresh or write."""
        with self._lock:
            if self._rows is None:
                self._rows = self._store.read()
            return self._rows

    @property
    def places(self) -> Sequence[Place]:
        """All places in the order of their ids."""
        return self.rows.places

    @property
    def descriptors(self) -> NDArray[np.float32]:
        """(N, D) float32, unit rows, in the order of :attr:`places`; do not change it.

        All are read when this is first asked for, and stay in memory.
        """
        return self.rows.descriptors

    def __len__(self) -> int:
        """Count of places."""
        return len(self.rows)

    def refresh(self) -> None:
        """See what other processes have written since.

        Raises:
            MemoryDamagedError: Count or checksum are wrong.
        """
        with self._lock:
            self._rows = None
            self._store.refresh()
            _ = self.rows

    def check(self) -> None:
        """Read all that is stored and compare it with its checksums; opening checks less.

        Raises:
            MemoryDamagedError: Something is damaged or missing.
        """
        self._store.check()

    def finish(self) -> None:
        """Publish a memory that was made as unfinished."""
        self._store.update(unfinished=None)

    @property
    def revision(self) -> str:
        """Names the content of :attr:`rows`: the same for the same places, in every store."""
        return self.rows.revision

    def is_current(self) -> bool:
        """Whether :attr:`rows` are what the store holds now; cheap, for asking often."""
        rows = self._rows
        return rows is not None and self._store.revision == rows.revision

    def check_writable(self) -> None:
        """Refuse a memory that cannot be written to, before there is something to write.

        Raises:
            MemoryStoreError: It was opened for reading only, or its file may not be written.
            MemoryLockedError: Another process is writing.
        """
        self._store.check_writable()

    def sessions(self) -> dict[str, int]:
        """Count of places per session."""
        return self.rows.counts()

    @property
    def search_settings(self) -> str | None:
        """How a Milvus store searches; ``None`` where this process does."""
        return self._store.search_settings

    def encoder(
        self, weights: str | Path | None = None, *, device: str = "cpu", precision: str = "auto"
    ) -> Encoder:
        """Rebuild the encoder of the memory from its card; the same one for the same memory.

        Args:
            weights: File of weights; by default the published ones.
            device: Such as ``cpu`` or ``cuda:0``.
            precision: ``auto``, ``float32``, ``bfloat16`` or ``float16``.

        Raises:
            EncoderError: The encoder is not known here, or the memory was made from feature files
                that do not say it.
        """
        if self.card.name == UNKNOWN_ENCODER:
            raise EncoderError(
                f"{self.uri} was built from a feature file that does not say its encoder, so "
                "images cannot be encoded for it; describe them with the same encoder, and use "
                "pairs"
            )
        if (weights, device, precision) != (None, "cpu", "auto"):
            return from_card(self.card, weights, device=device, precision=precision)
        if self._encoder is None:
            self._encoder = from_card(self.card)
        return self._encoder

    def query(
        self, image: str | Path | Image | Frame, k: int = 5, where: Where | None = None
    ) -> Candidates:
        """Encode an image and search its most similar places.

        Args:
            image: File, (H, W, 3) uint8 RGB array (grey and alpha are converted), or a frame.
            k: How many; all places if there are fewer.
            where: Which places may answer.

        Returns:
            The candidates, most similar first; see :meth:`search`.

        Raises:
            ImageError: The image cannot be read, or is no image.
            EncoderError: See :meth:`encoder`.
            SettingError: ``k`` is below 1.
        """
        pixels = as_frame(image).with_levels(self.levels).image()
        [found] = self.search(self.encoder().encode([pixels]), k, where)
        return found

    def check_encoder(self, card: EncoderCard) -> None:
        """Check that descriptors of an encoder belong here.

        Raises:
            EncoderMismatchError: They do not; the message names the difference.
        """
        if card.hash != self.card.hash:
            different = ", ".join(self.card.differences(card))
            raise EncoderMismatchError(
                f"{self.uri} keeps descriptors of {self.card.name!r} ({self.card.hash[:12]}), not "
                f"of {card.name!r} ({card.hash[:12]}): they differ in {different}"
            )

    @property
    def sequence_card(self) -> EncoderCard | None:
        """Card of the encoder of the sequence descriptors; ``None`` where there is none."""
        text = self.manifest.sequence_card
        return None if text is None else EncoderCard.from_bytes(base64.b64decode(text))

    def check_sequence_encoder(self, card: EncoderCard) -> None:
        """Check that sequence descriptors of an encoder belong here.

        Raises:
            EncoderMismatchError: They do not.
        """
        mine = self.sequence_card
        if mine is None:
            raise EncoderMismatchError(
                f"{self.uri} has no sequence descriptors; build another memory with the sequence "
                "encoder"
            )
        if mine.hash != card.hash:
            different = ", ".join(mine.differences(card))
            raise EncoderMismatchError(
                f"{self.uri} has sequence descriptors of {mine.name!r} ({mine.hash[:12]}), not of "
                f"{card.name!r} ({card.hash[:12]}): they differ in {different}"
            )

    def add(
        self,
        frames: Iterable[Frame | Place],
        descriptors: ArrayLike,
        sequence_descriptors: ArrayLike | None = None,
        *,
        encoder: EncoderCard | None = None,
    ) -> int:
        """Write places: all of them or, if something is wrong, none.

        A place with a known session and index takes the place of the old one.

        Args:
            frames: N frames (or places); poses from another origin are brought to this memory's.
            descriptors: (N, D); brought to unit norm.
            sequence_descriptors: (N, Ds), where the memory keeps them; NaN rows for none.
            encoder: Card of the encoder that made the descriptors, to be checked.

        Returns:
            How many were written.

        Raises:
            DescriptorError: Wrong shape, NaN, infinity, a masked value or a zero row.
            EncoderMismatchError: The descriptors are another encoder's.
            InputError: A pose is in another frame than the memory's.
            MemoryLockedError: Another process is writing.
        """
        if encoder is not None:
            self.check_encoder(encoder)
        frame_id = self.manifest.frame_id
        places = [f if isinstance(f, Place) else Place.from_frame(f) for f in frames]
        places = [place.in_frame(frame_id) for place in places]
        if not places and np.size(descriptors) == 0:
            return 0
        self._write(self._check_rows(places, descriptors, sequence_descriptors))
        return len(places)

    def add_rows(self, rows: PlaceRows) -> None:
        """Write rows of a memory as they are (see :func:`placememory.memory.copy`).

        A memory of float16 rounds what is longer.

        Raises:
            DescriptorError: The rows' descriptors have another length than this memory's.
        """
        manifest = self.manifest
        dims = (rows.descriptors.shape[1], rows.sequence_dim)
        if dims != (manifest.dim, manifest.sequence_dim):
            raise DescriptorError(
                f"{self.uri} keeps descriptors of length {manifest.dim} and sequence descriptors "
                f"of length {manifest.sequence_dim}, not {dims[0]} and {dims[1]}"
            )
        if len(rows):
            self._write(rows.round_to(manifest.dtype))

    def search(
        self,
        descriptors: ArrayLike,
        k: int = 5,
        where: Where | None = None,
        *,
        using: Search | None = None,
    ) -> list[Candidates]:
        """The most similar places for each query.

        Args:
            descriptors: (Q, D) or (D,); brought to unit norm.
            k: How many; all places if there are fewer.
            where: Which places may answer.
            using: ``store`` lets Milvus search; ``exact`` searches in this process, which reads all
                descriptors once. By default Milvus searches what lies in Milvus, until all
                descriptors have been read for something else; and where descriptors end with bits
                (the encoder's option ``prefilter_bits``), those of the fewest other bits are
                ranked, 100 or ``k``, and a better one may be missed.

        Returns:
            For each query the candidates, most similar first, ties in the order of place ids.

        Raises:
            DescriptorError: Wrong shape, NaN, infinity or a zero row.
            SettingError: ``k`` is below 1, ``using`` is unknown, or the store has no index of its
                own.
        """
        if using is not None:
            check_choice("using", using, get_args(Search))
        if k < 1:
            raise SettingError(f"k must be at least 1, not {k}")
        if np.size(descriptors) == 0:
            return []
        queries = unit_rows(descriptors, self.card.dim)
        rows = self.rows
        if using == "store" or (using is None and self.has_index and not rows.is_resident):
            return self._store.search(queries, k, where)
        allowed = None if where is None else where.rows(rows)
        if using is None and count_bits(self.card):
            found = self._search_bits(rows, queries, k, allowed)
            return [_rank(rows, *one) for one in found]
        few = len(rows) * self.card.dim < FEW
        codes = None if few else rows.codes
        source = rows.descriptors if codes is None or rows.is_resident else rows
        return [_rank(rows, *one) for one in top_k(source, queries, k, allowed, codes)]

    def _search_bits(
        self, rows: PlaceRows, queries: Vectors, k: int, allowed: Rows | None
    ) -> list[tuple[Rows, Vectors]]:
        """Rank by similarity what the bits leave; see :func:`prefilter`."""
        count = count_bits(self.card)
        with self._lock:
            if self._bits is None or self._bits[0] is not rows:
                numbers = np.arange(len(rows))
                parts = [
                    read_bits(rows.gather(numbers[i : i + _READ]), count)
                    for i in range(0, len(rows), _READ)
                ]
                none = np.empty((0, -(-count // 8)), np.uint8)
                self._bits = rows, np.concatenate([none, *parts])
            bits = self._bits[1]
        source = rows.descriptors if rows.is_resident else rows
        found = []
        for query, query_bits in zip(queries, read_bits(queries, count), strict=True):
            near = prefilter(bits, query_bits, k, allowed)
            found += top_k(source, query[None], k, near)
        return found

    def remove(self, session: str) -> int:
        """Remove a session; returns how many places went.

        Raises:
            SettingError: There is no such session.
        """
        known = self.sessions()
        if session not in known:
            raise SettingError(
                f"{self.uri} has no session {session!r}; it has: {', '.join(known) or 'none'}"
            )
        with self._lock:
            self._rows = None
            return self._store.remove(session)

    @property
    def has_index(self) -> bool:
        """Whether the store has an index of its own (Milvus has)."""
        return self._store.has_index

    def make_index(self, kind: StoreIndex) -> None:
        """Build a Milvus store's own index (``flat``, ``ivf`` or ``hnsw``)."""
        self._store.make_index(kind)

    def set_map(self, map_yaml: Path | str) -> None:
        """Store the path of the ROS map under the places, for figures."""
        self._store.update(map_yaml=_path_text(map_yaml))

    def set_sources(self, folders: Mapping[str, Path | str]) -> None:
        """Store the folders of the sessions' images, by session, for figures."""
        with self._lock:
            known = self.manifest.sources
            sources = {**known, **{name: _path_text(folder) for name, folder in folders.items()}}
            if sources != known:
                self._store.update(sources=sources)

    def set_topics(self, images: Mapping[str, str], poses: Mapping[str, str] | None = None) -> None:
        """Store which topics of bags images and poses are of, by session, to read them again."""
        with self._lock:
            given = {"topics": images, "pose_topics": poses or {}}
            known = {name: getattr(self.manifest, name) for name in given}
            changed = {
                name: {**known[name], **new}
                for name, new in given.items()
                if new.items() - known[name].items()
            }
            if changed:
                self._store.update(**changed)

    def set_facts(self, **fields: Any) -> None:
        """Store fields of the manifest as another memory's has them; see :class:`Manifest`.

        Raises:
            SettingError: A value cannot be stored.
        """
        self._store.update(**fields)

    def set_calibration(self, values: Mapping[str, float] | None) -> None:
        """Store the calibration on this map, or remove it; see ``placememory calibrate``."""
        self._store.update(calibration=None if values is None else dict(values))

    def set_background(self, law: Background | None) -> None:
        """Store how alike the map and views of other places are; see :class:`Background`."""
        self._store.update(background=None if law is None else law.to_dict())

    def close(self) -> None:
        """Close files and connections. May be called twice."""
        self._store.close()

    def check_frame(self, places: Iterable[Place]) -> None:
        """Refuse poses in a frame that is named and is not the memory's.

        Raises:
            InputError: A place has such a pose.
        """
        frame_id = self.manifest.frame_id
        for place in places:
            if place.pose is not None and place.pose.frame_id not in (frame_id, *UNNAMED_FRAMES):
                raise InputError(
                    f"{self.uri} keeps poses in the frame {frame_id!r}, and that of "
                    f"{place.name!r} is in {place.pose.frame_id!r}: transform the poses, or build "
                    "another memory"
                )

    def _check_rows(
        self, places: list[Place], descriptors: ArrayLike, sequences: ArrayLike | None
    ) -> PlaceRows:
        names = [place.name for place in places]
        unit = unit_rows(descriptors, self.card.dim, names)
        if len(unit) != len(places):
            raise DescriptorError(f"{len(places)} frames but {len(unit)} descriptors")
        if len({place.id for place in places}) != len(places):
            raise DescriptorError("two frames of one call have the same session and index")
        self.check_frame(places)
        manifest = self.manifest
        sequence_rows = _sequence_rows(sequences, len(places), manifest.sequence_dim, names)
        return PlaceRows(places, unit, sequence_rows).round_to(manifest.dtype)

    def _write(self, rows: PlaceRows) -> None:
        with self._lock:
            self._rows = None
            self._store.upsert(rows)


def _rank(rows: PlaceRows, numbers: Rows, similarities: Vectors) -> Candidates:
    """Rows that were found, best first, as candidates."""
    pairs = zip(numbers, similarities, strict=True)
    return Candidates(
        Candidate(rows.places[row], float(similarity), rank)
        for rank, (row, similarity) in enumerate(pairs, start=1)
    )


def open_memory(uri: str | Path, *, readonly: bool = False) -> PlaceMemory:
    """Open a memory, as ``placememory.open``; see :meth:`PlaceMemory.open`.

    Args:
        uri: A path, ``milvus-lite:PATH`` or ``http://host:port/collection``.
        readonly: Refuse to write.

    Raises:
        MemoryNotFoundError: There is none.
        MemoryFormatError: It is no memory, or one of another version.
        MemoryDamagedError: Count or checksum are wrong.
    """
    return PlaceMemory.open(uri, readonly=readonly)


def _card(store: Store) -> EncoderCard:
    try:
        return EncoderCard.from_bytes(store.card)
    except MemoryFormatError as error:
        raise MemoryDamagedError(f"{store.uri}: {error}") from error


def _card_text(card: EncoderCard) -> str:
    return base64.b64encode(card.to_bytes()).decode()


def _path_text(path: Path | str) -> str:
    """A path as text that any store can keep; bytes that are no UTF-8 are replaced."""
    return str(path).encode(errors="surrogateescape").decode(errors="replace")


def _sequence_rows(
    sequences: ArrayLike | None, count: int, dim: int | None, names: Sequence[str]
) -> NDArray[np.float32] | None:
    """Sequence descriptors brought to unit norm; NaN rows, which mean none, stay."""
    if dim is None:
        if sequences is not None:
            raise DescriptorError("this memory keeps no sequence descriptors")
        return None
    if sequences is None:
        return np.full((count, dim), np.nan, np.float32)
    if np.ma.isMaskedArray(sequences):
        raise DescriptorError("sequence descriptors are masked; give NaN rows for none")
    array = np.array(sequences, dtype=np.float32)
    if array.shape != (count, dim):
        raise DescriptorError(f"sequence descriptors are ({count}, {dim}) here, not {array.shape}")
    known = ~np.isnan(array).all(axis=1)
    if known.any():
        array[known] = unit_rows(array[known], dim, [names[int(i)] for i in np.flatnonzero(known)])
    return array
