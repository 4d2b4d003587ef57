"""Milvus as a store: Milvus Lite in a folder, or a server or cluster, through one client API.

Milvus has no transactions over several rows, so a write is announced in the manifest first and
confirmed there afterwards. Rows of a write that was never confirmed are dropped when the memory is
next opened for writing, and not shown to readers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory.errors import MemoryFormatError, MemoryNotFoundError, MemoryStoreError
from placememory.memory.place import PlaceId
from placememory.memory.rows import PlaceRows
from placememory.memory.search import Where
from placememory.memory.stores import milvus_schema as schema
from placememory.memory.stores.milvus_client import (
    LITE,
    Connection,
    State,
    build_index,
    card_key,
    collection_name,
    connect,
    create_collections,
    lite_folder_exists,
    milvus_errors,
    read_state,
    write_state,
)
from placememory.memory.stores.port import (
    FORMAT,
    Manifest,
    Store,
    StoreIndex,
    check_rows,
    reading_places,
)

_MESSAGE_BYTES = 16_000_000
_MOST_ROWS = 1024
_MOST_RESULTS = 16_384
_PAGE_ROWS = 4096


class MilvusStore(Store):
    """Rows in Milvus collections."""

    has_index = True

    def __init__(self, uri: str, *, readonly: bool = False) -> None:
        """Open an existing memory; a write that was cut off is undone first.

        Raises:
            MemoryNotFoundError: There is none at this address.
            MemoryFormatError: What is there is no memory, or one of another version.
            MemoryLockedError: Another process holds a Lite folder.
        """
        self.uri = uri
        if uri.startswith(LITE) and not lite_folder_exists(uri):
            raise MemoryNotFoundError(f"{uri}: there is no such memory; make it with build")
        self._connection: Connection | None = connect(uri, create=False)
        self._readonly = readonly
        self._unflushed = False
        self._known: State | None = None
        try:
            self._attach()
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, uri: str, manifest: Manifest, card: bytes) -> MilvusStore:
        """Make the collections; the manifest is written last, so a half-made one is not a memory.

        Raises:
            MemoryLockedError: There is a memory at this address already.
        """
        connection = connect(uri, create=True)
        try:
            with milvus_errors(uri):
                create_collections(connection, uri, manifest, card)
        finally:
            connection.close()
        return cls(uri)

    @classmethod
    def exists(cls, uri: str) -> bool:
        """Whether there is a complete memory at this address."""
        if uri.startswith(LITE) and not lite_folder_exists(uri):
            return False
        connection = connect(uri, create=False)
        try:
            with milvus_errors(uri):
                return read_state(connection, load=True) is not None
        finally:
            connection.close()

    @property
    def manifest(self) -> Manifest:
        """See :class:`Store`."""
        return (self._known or self._state()).manifest

    @property
    def card(self) -> bytes:
        """See :class:`Store`."""
        count = (self._known or self._state()).card_pieces
        keys = [card_key(i) for i in range(count)]
        with milvus_errors(self.uri):
            found = [self._get(self._name("manifest"), [key], "text")[0]["text"] for key in keys]
        return schema.join_pieces(found)

    def update(self, **fields: Any) -> None:
        """See :class:`Store`."""
        state = self._prepare_write()
        self._save(state.model_copy(update={"manifest": state.manifest.change(**fields)}))

    def read(self) -> PlaceRows:
        """See :class:`Store`."""
        state = self._state()
        rows = self._read_rows(state)
        if not state.pending:
            check_rows(rows, state.manifest, self.uri)
        return rows

    def upsert(self, rows: PlaceRows) -> None:
        """See :class:`Store`."""
        for start in range(0, len(rows), _MOST_ROWS):
            part = rows.take(range(start, min(start + _MOST_ROWS, len(rows))))
            self._upsert_batch(part)

    def remove(self, session: str) -> int:
        """See :class:`Store`."""
        state = self._prepare_write()
        self._save(state.model_copy(update={"removing": session}))
        return self._finish_removal(session)

    def make_index(self, kind: StoreIndex) -> None:
        """See :class:`Store`."""
        self._refuse_readonly()
        with milvus_errors(self.uri):
            self._flush()
            self._client.release_collection(self._places)
            self._client.drop_index(self._places, "descriptor")
            assert self._connection is not None
            build_index(
                self._connection, self._places, kind, _index_params(kind, self.manifest.count)
            )
            self._client.load_collection(self._places)
        self.update(index=kind)

    def search(
        self, queries: NDArray[np.float32], k: int, where: Where | None
    ) -> list[list[tuple[PlaceId, float]]]:
        """See :class:`Store`."""
        manifest = self.manifest
        near = where is not None and where.near is not None
        limit = min(_MOST_RESULTS, manifest.count if near else k)
        if manifest.count == 0:
            return [[] for _ in queries]
        with milvus_errors(self.uri):
            answers = self._client.search(
                self._places,
                data=[query.tolist() for query in queries],
                anns_field="descriptor",
                filter=schema.expression(where),
                limit=limit,
                output_fields=["key"],
                search_params={
                    "metric_type": "IP",
                    "params": _search_params(manifest.index or "flat", manifest.count, limit),
                },
            )
        found = [[(schema.id_of(hit["key"]), float(hit["distance"])) for hit in a] for a in answers]
        return [sorted(hits, key=lambda hit: (-hit[1], hit[0])) for hits in found]

    def close(self) -> None:
        """See :class:`Store`."""
        if self._connection is None:
            return
        try:
            if self._unflushed:
                self._flush()
        finally:
            self._connection.close()
            self._connection = None

    @property
    def _client(self) -> Any:
        if self._connection is None:
            raise MemoryStoreError(f"{self.uri}: the memory is closed")
        return self._connection.client

    @property
    def _places(self) -> str:
        return self._name("")

    def _name(self, part: str) -> str:
        if self._connection is None:
            raise MemoryStoreError(f"{self.uri}: the memory is closed")
        return collection_name(self._connection, part)

    def _attach(self) -> None:
        with milvus_errors(self.uri):
            assert self._connection is not None
            state = read_state(self._connection, load=True)
            if state is None:
                raise MemoryNotFoundError(f"{self.uri}: there is no complete memory here")
            for part in _parts(state.manifest):
                self._client.load_collection(self._name(part))
        if state.manifest.format != FORMAT:
            raise MemoryFormatError(
                f"{self.uri}: format {state.manifest.format}, this version reads {FORMAT}"
            )
        if not self._readonly:
            self._recover(state)

    def _prepare_write(self) -> State:
        """Undo what an earlier write left unfinished, and return the state."""
        self._refuse_readonly()
        state = self._state()
        if state.pending or state.removing is not None:
            self._recover(state)
            state = self._state()
        return state

    def _recover(self, state: State) -> None:
        """Finish a removal, or undo a write, that was cut off.

        A write that replaced rows cannot be undone, because the old ones are gone: what arrived
        of it stays.
        """
        if state.removing is not None:
            self._finish_removal(state.removing)
        if state.pending:
            if not state.replacing:
                with milvus_errors(self.uri):
                    for part in _vector_parts(state.manifest):
                        self._delete(part, f"batch == {state.revision + 1}")
            self._recount(state)

    def _state(self) -> State:
        if self._connection is None:
            raise MemoryStoreError(f"{self.uri}: the memory is closed")
        with milvus_errors(self.uri):
            state = read_state(self._connection)
        if state is None:
            raise MemoryNotFoundError(f"{self.uri}: the memory was removed")
        self._known = state
        return state

    def _save(self, state: State) -> None:
        self._refuse_readonly()
        assert self._connection is not None
        with milvus_errors(self.uri):
            write_state(self._connection, state)
        self._known = state

    def _refuse_readonly(self) -> None:
        if self._readonly:
            raise MemoryStoreError(f"{self.uri}: the memory was opened for reading only")

    def _upsert_batch(self, rows: PlaceRows) -> None:
        state = self._prepare_write()
        batch = state.revision + 1
        keys = [schema.key_of(place.id) for place in rows.places]
        with milvus_errors(self.uri):
            old = [int(entity["crc"]) for entity in self._get(self._places, keys, "crc")]
        self._save(state.model_copy(update={"pending": True, "replacing": bool(old)}))
        with milvus_errors(self.uri):
            self._send(self._places, schema.place_entities(rows, batch), rows.descriptors.shape[1])
            if rows.sequences is not None:
                entities = schema.sequence_entities(rows, batch)
                self._send(self._name("sequences"), entities, rows.sequences.shape[1])
                known = {entity["key"] for entity in entities}
                self._delete_keys("sequences", [key for key in keys if old and key not in known])
        manifest = state.manifest
        counted = manifest.model_copy(
            update={
                "count": manifest.count + len(rows) - len(old),
                "checksum": manifest.checksum + int(rows.checksums.sum()) - sum(old),
            }
        )
        self._save(state.model_copy(update={"manifest": counted, "revision": batch}))

    def _send(self, collection: str, entities: list[dict[str, Any]], dim: int) -> None:
        """Upsert within Milvus's limit on messages; its log is durable, the flush comes later."""
        step = max(1, min(_MOST_ROWS, _MESSAGE_BYTES // (4 * dim)))
        for start in range(0, len(entities), step):
            self._client.upsert(collection, entities[start : start + step])
            self._unflushed = True

    def _flush(self) -> None:
        """Let Milvus seal the rows written in this session: one flush, not one a batch."""
        with milvus_errors(self.uri):
            for part in _vector_parts(self.manifest):
                self._client.flush(self._name(part))
        self._unflushed = False

    def _finish_removal(self, session: str) -> int:
        before = self._state()
        with milvus_errors(self.uri):
            keys = [e["key"] for e in self._entities("", f"session == {schema.quote(session)}")]
            for part in _vector_parts(before.manifest):
                self._delete_keys(part, keys)
        self._recount(before)
        return len(keys)

    def _delete(self, part: str, condition: str) -> None:
        self._delete_keys(part, [entity["key"] for entity in self._entities(part, condition)])

    def _delete_keys(self, part: str, keys: list[str]) -> None:
        for start in range(0, len(keys), _MOST_ROWS):
            filter_ = schema.with_keys(keys[start : start + _MOST_ROWS])
            self._client.delete(self._name(part), filter=filter_)

    def _recount(self, state: State) -> None:
        """Write count and checksum of the stored rows."""
        crcs = [int(entity["crc"]) for entity in self._entities("", "", "crc")]
        counted = state.manifest.model_copy(update={"count": len(crcs), "checksum": sum(crcs)})
        self._save(
            State(
                manifest=counted,
                revision=state.revision + 1,
                card_pieces=state.card_pieces,
            )
        )

    def _read_rows(self, state: State) -> PlaceRows:
        condition = f"batch <= {state.revision}" if state.pending else ""
        entities = self._entities("", condition, "place", "descriptor")
        sequences = {}
        if state.manifest.sequence_dim is not None:
            found = self._entities("sequences", condition, "descriptor")
            sequences = {entity["key"]: entity["descriptor"] for entity in found}
        with reading_places(self.uri):
            return schema.rows_of(
                entities, sequences, state.manifest.dim, state.manifest.sequence_dim
            )

    def _entities(self, part: str, condition: str, *fields: str) -> list[dict[str, Any]]:
        """All entities of a collection that meet a condition, read in pages."""
        manifest = self.manifest
        dim = manifest.dim if "descriptor" in fields else 64
        size = max(1, min(_PAGE_ROWS, _MESSAGE_BYTES // (4 * dim)))
        joined = f"({condition}) and " if condition else ""
        found: list[dict[str, Any]] = []
        with milvus_errors(self.uri):
            for page in schema.pages(manifest.count + _MOST_ROWS, size):
                found += self._client.query(
                    self._name(part),
                    filter=joined + page,
                    output_fields=["key", *fields],
                    limit=_MOST_RESULTS,
                    consistency_level="Strong",
                )
        return found

    def _get(self, collection: str, keys: list[str], field: str) -> list[dict[str, Any]]:
        found = self._client.query(
            collection,
            filter=schema.with_keys(keys),
            output_fields=["key", field],
            consistency_level="Strong",
        )
        return list(found)


def _vector_parts(manifest: Manifest) -> list[str]:
    return [""] if manifest.sequence_dim is None else ["", "sequences"]


def _parts(manifest: Manifest) -> list[str]:
    return [*_vector_parts(manifest), "manifest"]


def _index_params(kind: StoreIndex, count: int) -> dict[str, int]:
    params: dict[StoreIndex, dict[str, int]] = {
        "flat": {},
        "ivf": {"nlist": _lists(count)},
        "hnsw": {"M": 16, "efConstruction": 200},
    }
    return params[kind]


def _search_params(kind: StoreIndex, count: int, limit: int) -> dict[str, int]:
    if kind == "ivf":
        return {"nprobe": max(1, math.ceil(_lists(count) / 4))}
    if kind == "hnsw":
        return {"ef": max(64, 4 * limit)}
    return {}


def _lists(count: int) -> int:
    """Lists of an IVF index: about 39 rows or more in each, as its k-means wants."""
    return max(1, min(1024, round(math.sqrt(count)), count // 39))
