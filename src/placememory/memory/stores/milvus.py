"""Milvus as a store: Milvus Lite in a folder, or a server or cluster, through one client API.

Nobody loads the places: a memory is opened by its manifest, Milvus searches and filters, and what
is read are the places of the answers, each checked by its own checksum.

Milvus has no transactions over several rows, so a write is announced in the manifest first and
confirmed there afterwards. Rows of a write that was never confirmed are dropped when the memory is
next opened for writing, and not shown to readers.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory.errors import (
    MemoryChangedError,
    MemoryDamagedError,
    MemoryFormatError,
    MemoryNotFoundError,
    MemoryStoreError,
)
from placememory.memory.place import Candidate, Candidates, Place
from placememory.memory.rows import (
    Columns,
    PlaceRows,
    RowFilter,
    StoredPlaces,
    Stretch,
    revision_of,
)
from placememory.memory.search import ROUNDING, Where, similarity_of
from placememory.memory.stores import milvus_schema as schema
from placememory.memory.stores.address import show_address
from placememory.memory.stores.milvus_client import (
    LITE,
    Connection,
    SessionFacts,
    State,
    build_index,
    collection_name,
    connect,
    create_collections,
    lite_folder_exists,
    load,
    milvus_errors,
    read_card,
    read_state,
    write_state,
)
from placememory.memory.stores.port import Manifest, Store, StoreIndex, reading_places

_MESSAGE_BYTES = 16_000_000
_ROWS_A_WRITE = 8192
_MOST_KEYS = 1024
_MOST_STRETCHES = 64  # in one filter
_MOST_RESULTS = 16_384
_MORE = 16  # results beyond k, so that ties with the k-th best are among them
_QUERIES_AT_ONCE = 64
_STALE_SECONDS = 10.0  # twice what a read of level Bounded may lag behind
_MAPPED_BYTES = 4e9


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
        self.uri = show_address(uri)
        if uri.startswith(LITE) and not lite_folder_exists(uri):
            raise MemoryNotFoundError(f"{uri}: there is no such memory; make it with build")
        self._lock = threading.RLock()
        self._readonly = readonly
        self._unflushed = 0
        self._strong_until = 0.0
        self._connection: Connection | None = connect(uri, create=False)
        try:
            self._known = self._attach()
            self._learn(self._known)
            self._card = read_card(self._open, self.uri, self._known.card_pieces)
            if not readonly:
                self._recover(self._known)
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
            return read_state(connection, uri, loads=True) is not None
        finally:
            connection.close()

    @property
    def manifest(self) -> Manifest:
        """See :class:`Store`; as of the last read or write."""
        return self._known.manifest

    @property
    def revision(self) -> str:
        """See :class:`Store`; may lag some seconds behind the writes of others."""
        with self._reading():
            state = read_state(self._open, self.uri, level="Bounded")
        if state is None or state.revision < self._known.revision:
            state = self._known
        return revision_of(state.manifest.count, state.manifest.checksum)

    @property
    def card(self) -> bytes:
        """See :class:`Store`."""
        return self._card

    @property
    def search_settings(self) -> str:
        """See :class:`Store`."""
        kind = self.manifest.index or "flat"
        exact = "exact" if kind == "flat" else "approximate"
        mapped = "mapped from disk" if self._known.mapped else "in the memory of Milvus"
        return (
            f"{kind} ({exact}), inner product, consistency Bounded (Strong for "
            f"{_STALE_SECONDS:.0f} s after a change), vectors {mapped}"
        )

    def update(self, **fields: Any) -> None:
        """See :class:`Store`."""
        with self._lock:
            state = self._prepare_write()
            self._save(state, manifest=state.manifest.change(**fields))

    def refresh(self) -> None:
        """See :class:`Store`."""
        with self._reading():
            self._state()

    def read(self) -> PlaceRows:
        """See :class:`Store`."""
        with self._reading():
            state = self._known
            if self._open.lite and not state.pending:  # nobody else writes
                self._check_count(state, "batch >= 0")
        return ServedRows(self, state)

    def check(self) -> None:
        """See :class:`Store`."""
        with self._reading():
            state = self._state()
            for name, facts in state.sessions.items():
                parts = self.parts(state, [name])
                sums = [(len(part), int(part.checksums.sum())) for part in parts]
                count, checksum = (sum(values) for values in zip((0, 0), *sums, strict=True))
                if (count, checksum) != (facts.count, facts.checksum):
                    raise self._disagree(state, f"{count} places of session {name!r} were read")
            self._check_count(state)

    def upsert(self, rows: PlaceRows) -> None:
        """See :class:`Store`."""
        with self._lock:
            state = self._prepare_write()
            step = self._fitting(state.manifest, _ROWS_A_WRITE)
            for start in range(0, len(rows), step):
                part = rows.take(range(start, min(start + step, len(rows))))
                state = self._upsert_batch(state, part)

    def remove(self, session: str) -> int:
        """See :class:`Store`."""
        with self._lock:
            state = self._prepare_write()
            return self._finish_removal(self._save(state, removing=session))

    def make_index(self, kind: StoreIndex) -> None:
        """See :class:`Store`."""
        with self._lock:
            state = self._prepare_write()
            manifest, mapped = state.manifest, state.mapped
            with milvus_errors(self.uri):
                self._flush()
                self._client.release_collection(self._places)
                if not mapped and 4.0 * manifest.dim * manifest.count > _MAPPED_BYTES:
                    mapped = True
                    settings = {"mmap.enabled": "true"}
                    self._client.alter_collection_properties(self._places, settings)
                self._client.drop_index(self._places, "descriptor")
                params = _index_params(kind, manifest.count)
                build_index(self._open, self._places, kind, params)
                load(self._client, [self._places])
            self._save(state, manifest=manifest.change(index=kind), mapped=mapped)

    def search(self, queries: NDArray[np.float32], k: int, where: Where | None) -> list[Candidates]:
        """See :class:`Store`.

        Milvus finds more than k; the best of them are read and scored again in float64, so that
        similarities and ties are those of the exact search. Where its scores leave open which are
        the best, or too few lie within the radius, more are asked for, up to 16,384.
        """
        state = self._known
        if where is not None:
            where.check_excluded(sorted(state.sessions))
        found: list[Candidates] = []
        with self._reading():
            for start in range(0, len(queries), _QUERIES_AT_ONCE):
                part = queries[start : start + _QUERIES_AT_ONCE]
                found += self._search(state, part, k, where)
        return found

    def close(self) -> None:
        """See :class:`Store`."""
        with self._lock:
            if self._connection is None:
                return
            try:
                if self._unflushed >= _ROWS_A_WRITE:  # fewer are left to Milvus
                    self._flush()
            finally:
                self._connection.close()
                self._connection = None

    def columns(self, state: State) -> tuple[Columns, NDArray[np.int64]]:
        """Columns and checksums (N,) of all places of a state, in the order of their ids.

        Raises:
            MemoryChangedError: Another process has replaced or removed places since.
            MemoryDamagedError: Count or checksum disagree.
        """
        with self._reading():
            entities = (
                entity
                for name in sorted(state.sessions)
                for page in self._pages(state, name, schema.COLUMNS, _MOST_RESULTS // 2)
                for entity in page
            )
            columns, crcs = schema.columns_of(entities, state.manifest.count)
            if (len(crcs), int(crcs.sum())) != (state.manifest.count, state.manifest.checksum):
                raise self._disagree(state, f"{len(crcs)} places were read")
        return columns, crcs

    def parts(
        self, state: State, sessions: Sequence[str], condition: str = ""
    ) -> Iterator[PlaceRows]:
        """Places of sessions of a state, some at a time, in the order of their indices.

        Args:
            state: Which are confirmed.
            sessions: Of these sessions.
            condition: And of those, all that meet it.

        Raises:
            MemoryDamagedError: A checksum is wrong.
        """
        fields = ("key", *schema.PLACE, "descriptor")
        for name in sessions:
            size = self._fitting(state.manifest, _MOST_RESULTS) // 2 or 1
            for page in self._pages(state, name, fields, size, condition=condition):
                with self._reading():
                    yield self._rows_of(state, page)

    def read_all(self, state: State) -> PlaceRows:
        """All places of a state, in the order of their ids.

        Raises:
            MemoryChangedError: Another process has replaced or removed places since.
            MemoryDamagedError: Count or a checksum disagree.
        """
        parts = self.parts(state, sorted(state.sessions))
        rows = _concatenate(parts, state.manifest, state.manifest.count)
        if len(rows) != state.manifest.count:
            with self._reading():
                raise self._disagree(state, f"{len(rows)} places were read")
        return rows

    def select(self, state: State, where: Where) -> PlaceRows:
        """The places of a state that meet a filter, in the order of their ids; others stay there.

        Raises:
            MemoryDamagedError: A checksum is wrong.
            SettingError: There is no session of a name that is to be left out.
        """
        where.check_excluded(sorted(state.sessions))
        wanted = state.sessions if where.sessions is None else where.sessions
        sessions = [s for s in sorted(state.sessions) if s in wanted and s not in where.excluded]
        parts = list(self.parts(state, sessions, schema.expression(where)))
        rows = _concatenate(parts, state.manifest, sum(map(len, parts)))
        return rows.take(replace(where, exclude_sessions=None).rows(rows))

    def stretches(self, state: State, wanted: Sequence[Stretch]) -> PlaceRows:
        """Places of a state by sessions and indices, in the order of their ids; checked.

        Raises:
            MemoryDamagedError: A checksum is wrong.
        """
        fields = ("key", *schema.PLACE, "descriptor")
        size = self._fitting(state.manifest, _MOST_RESULTS)
        there: dict[str, dict[str, Any]] = {}
        pieces = [  # of at most ``size`` places
            (name, low, min(low + size - 1, last))
            for name, first, last in wanted
            for low in range(first, last + 1, size)
        ]
        with self._reading():
            while pieces:
                taken: list[str] = []
                room = size
                while pieces and len(taken) < _MOST_STRETCHES:
                    name, low, high = pieces[-1]
                    room -= high - low + 1
                    if room < 0:
                        break
                    taken.append(f"({schema.within((low, high), name)})")
                    pieces.pop()
                where = f"({' or '.join(taken)}) and {_confirmed(state)}"
                there.update((e["key"], e) for e in self._query("", where, fields, size))
            by_id = sorted(there.values(), key=lambda e: (e["session"], int(e["index"])))
            return self._rows_of(state, by_id)

    def find_near(
        self, state: State, position: NDArray[np.float64], radius: float
    ) -> list[tuple[str, int]]:
        """Ids of the places of a state within ``radius`` metres; at most 16,384 of a box."""
        where = Where(near=tuple(position.tolist()), radius=radius)
        condition = f"{schema.expression(where)} and {_confirmed(state)}"
        fields = ("session", "index", "x", "y", "z")
        with self._reading():
            found = self._query("", condition, fields, _MOST_RESULTS)
        at = np.array([[entity[axis] for axis in "xyz"] for entity in found]).reshape(-1, 3)
        inside = np.flatnonzero(where.holds_near(at)).tolist()
        return [(found[row]["session"], int(found[row]["index"])) for row in inside]

    def fetch(self, state: State, keys: Sequence[str], *, found: bool = False) -> PlaceRows:
        """Places by their keys, in that order; checked.

        Args:
            state: Which are confirmed.
            keys: Of the places.
            found: Whether Milvus has just found them, so that it need not wait for the newest
                state again; those that are gone since are left out.

        Raises:
            MemoryChangedError: Another process has replaced or removed some since.
            MemoryDamagedError: One is missing, or its checksum is wrong.
        """
        fields = ("key", *schema.PLACE, "descriptor")
        there: dict[str, dict[str, Any]] = {}
        step = self._fitting(state.manifest, _MOST_KEYS)
        with self._reading():
            for level in dict.fromkeys(("Bounded", self._level())) if found else (self._level(),):
                missing = [key for key in keys if key not in there]
                for start in range(0, len(missing), step):
                    wanted = schema.with_keys(missing[start : start + step])
                    condition = f"{wanted} and {_confirmed(state)}"
                    entities = self._query("", condition, fields, step, level)
                    there.update({entity["key"]: entity for entity in entities})
            if not found and len(there) < len(set(keys)):
                raise self._disagree(state, f"{len(there)} of {len(set(keys))} places were found")
            return self._rows_of(state, [there[key] for key in keys if key in there])

    @property
    def _open(self) -> Connection:
        if self._connection is None:
            raise MemoryStoreError(f"{self.uri}: the memory is closed")
        return self._connection

    @property
    def _client(self) -> Any:
        return self._open.client

    @property
    def _places(self) -> str:
        return self._name("")

    def _name(self, part: str) -> str:
        return collection_name(self._open, part)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """One thread at a time; what cannot be read is damage."""
        with self._lock, milvus_errors(self.uri, reading=True), reading_places(self.uri):
            yield

    def _attach(self) -> State:
        state = read_state(self._open, self.uri, loads=True)
        with milvus_errors(self.uri, reading=True):
            if state is None:
                self._refuse_foreign()
                raise MemoryNotFoundError(f"{self.uri}: there is no complete memory here")
            load(self._client, [self._name(part) for part in _vector_parts(state.manifest)])
        return state

    def _refuse_foreign(self) -> None:
        """Say what a collection is that is not a memory's.

        Raises:
            MemoryFormatError: There is one of this name, with fields of somebody else.
        """
        if not self._client.has_collection(self._places):
            return
        fields = [f["name"] for f in self._client.describe_collection(self._places)["fields"]]
        if "crc" not in fields:
            raise MemoryFormatError(
                f"{self.uri}: this collection is not a place memory; it has the fields "
                f"{', '.join(fields)}. Where these are names, positions and descriptors, make a "
                "memory of it: placememory copy --collection"
            )

    def _state(self) -> State:
        """The state as it is now."""
        state = read_state(self._open, self.uri)
        if state is None:
            raise MemoryNotFoundError(f"{self.uri}: the memory was removed")
        self._learn(state)
        return state

    def _learn(self, state: State) -> None:
        """Take a state as the known one; what it confirms may be new to some node of Milvus."""
        if self._strong_until == 0.0 or state.revision != self._known.revision:
            self._strong_until = time.monotonic() + _STALE_SECONDS
        self._known = state

    def _level(self) -> str:
        return "Strong" if time.monotonic() < self._strong_until else "Bounded"

    def _save(self, state: State, **changes: Any) -> State:
        """Write a state with changes; every change is of a confirmed or announced write."""
        self._refuse_readonly()
        changed = state.model_copy(update=changes)
        with milvus_errors(self.uri):
            write_state(self._open, changed)
        self._learn(changed)
        return changed

    def _refuse_readonly(self) -> None:
        if self._readonly:
            raise MemoryStoreError(f"{self.uri}: the memory was opened for reading only")

    def _prepare_write(self) -> State:
        """Undo what an earlier write left unfinished, and return the state."""
        self._refuse_readonly()
        return self._recover(self._state())

    def _recover(self, state: State) -> State:
        """Finish a removal, or undo a write, that was cut off.

        A write that replaced rows cannot be undone, because the old ones are gone: what arrived
        of it stays, and is counted.
        """
        if state.removing is not None:
            self._finish_removal(state)
            state = self._known
        if state.pending and not state.replacing:
            with milvus_errors(self.uri):
                for part in _vector_parts(state.manifest):
                    condition = f"batch == {state.revision + 1}"
                    left = self._query(part, condition, ("key",), _MOST_RESULTS, "Strong")
                    self._delete_keys(part, [entity["key"] for entity in left])
            state = self._save(state, pending={})
        elif state.pending:
            arrived = state.model_copy(update={"revision": state.revision + 1})
            facts = dict(state.sessions)
            for name, touched in state.pending.items():
                known = facts.get(name, touched)
                span = min(known.first, touched.first), max(known.last, touched.last)
                facts[name] = self._count(arrived, name, known.count + touched.count, span)
            state = self._save(_counted(arrived, facts), pending={}, replacing=False)
        return state

    def _count(self, state: State, session: str, guess: int, span: tuple[int, int]) -> SessionFacts:
        facts = SessionFacts(count=guess, first=span[0], last=span[1])
        searched = state.model_copy(update={"sessions": {session: facts}})
        with self._reading():
            pages = self._pages(searched, session, ("index", "crc"), _MOST_RESULTS // 2, "Strong")
            crcs = [int(entity["crc"]) for page in pages for entity in page]
        return facts.model_copy(update={"count": len(crcs), "checksum": sum(crcs)})

    def _upsert_batch(self, state: State, rows: PlaceRows) -> State:
        batch = state.revision + 1
        entities = schema.place_entities(rows, batch, state.manifest.frame_id)
        old = self._old(state, entities)
        touched: dict[str, SessionFacts] = {}
        facts = dict(state.sessions)
        for entity in entities:
            index, session = entity["index"], entity["session"]
            before = old.get(entity["key"])
            one = SessionFacts(
                count=before is None,
                checksum=entity["crc"] - (before or 0),
                first=index,
                last=index,
            )
            for known in (touched, facts):
                known[session] = one if session not in known else _joined(known[session], one)
        state = self._save(state, pending=touched, replacing=bool(old))
        with milvus_errors(self.uri):
            self._send(self._places, entities, rows.descriptors.shape[1])
            if rows.sequences is not None:
                sequences = schema.sequence_entities(rows, batch)
                self._send(self._name("sequences"), sequences, rows.sequences.shape[1])
                known_keys = {entity["key"] for entity in sequences}
                self._delete_keys("sequences", [key for key in old if key not in known_keys])
        confirmed = _counted(state, facts)
        return self._save(confirmed, revision=batch, pending={}, replacing=False)

    def _old(self, state: State, entities: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """Checksums by key of those entities that are stored already."""
        keys = []
        for entity in entities:
            facts = state.sessions.get(entity["session"])
            if facts is not None and facts.first <= entity["index"] <= facts.last:
                keys.append(entity["key"])
        found: dict[str, int] = {}
        with self._reading():
            for start in range(0, len(keys), _MOST_KEYS):
                wanted = schema.with_keys(keys[start : start + _MOST_KEYS])
                for entity in self._query("", wanted, ("key", "crc"), _MOST_KEYS, "Strong"):
                    found[entity["key"]] = int(entity["crc"])
        return found

    def _send(self, collection: str, entities: list[dict[str, Any]], dim: int) -> None:
        """Upsert within Milvus's limit on messages; its log is durable without a flush."""
        step = max(1, min(_ROWS_A_WRITE, _MESSAGE_BYTES // (4 * dim)))
        for start in range(0, len(entities), step):
            part = entities[start : start + step]
            self._client.upsert(collection, part)
            self._unflushed += len(part)

    def _flush(self) -> None:
        """Let Milvus seal the rows written here: one flush, not one a batch."""
        with milvus_errors(self.uri):
            for part in _vector_parts(self.manifest):
                self._client.flush(self._name(part))
        self._unflushed = 0

    def _finish_removal(self, state: State) -> int:
        session = state.removing
        facts = dict(state.sessions)
        gone = facts.pop(session or "", None)
        if session is not None and gone is not None:
            with self._reading():
                pages = list(self._pages(state, session, ("key", "index"), _MOST_KEYS, "Strong"))
            with milvus_errors(self.uri):
                for part in _vector_parts(state.manifest):
                    for page in pages:
                        self._delete_keys(part, [entity["key"] for entity in page])
        changes = {"removing": None, "revision": state.revision + 1}
        self._save(_counted(state, facts), **changes)
        return 0 if gone is None else gone.count

    def _delete_keys(self, part: str, keys: list[str]) -> None:
        for start in range(0, len(keys), _MOST_KEYS):
            filter_ = schema.with_keys(keys[start : start + _MOST_KEYS])
            self._client.delete(self._name(part), filter=filter_)

    def _pages(
        self,
        state: State,
        session: str,
        fields: Sequence[str],
        size: int,
        level: str | None = None,
        condition: str = "",
    ) -> Iterator[list[dict[str, Any]]]:
        """Entities of a session in the order of their indices, about ``size`` a page."""
        more = f" and {condition}" if condition else ""
        facts = state.sessions[session]
        step = max(1, (facts.last - facts.first + 1) * size // max(1, facts.count))
        starts = range(facts.first, facts.last + 1, step)
        spans = [(low, min(low + step - 1, facts.last)) for low in reversed(starts)]
        while spans:
            low, high = spans.pop()
            which = f"{schema.within((low, high), session)} and {_confirmed(state)}{more}"
            page = self._query("", which, fields, 2 * size, level)
            if len(page) == 2 * size and high > low:  # there may be more: half at a time
                middle = (low + high) // 2
                spans += [(middle + 1, high), (low, middle)]
            elif page:
                yield sorted(page, key=lambda entity: int(entity["index"]))

    def _query(
        self,
        part: str,
        condition: str,
        fields: Sequence[str],
        limit: int | None,
        level: str | None = None,
    ) -> list[dict[str, Any]]:
        with self._reading():
            found = self._client.query(
                self._name(part),
                filter=condition,
                output_fields=list(fields),
                consistency_level=level or self._level(),
                **({} if limit is None else {"limit": limit}),
            )
            return list(found)

    def _rows_of(self, state: State, entities: Sequence[Mapping[str, Any]]) -> PlaceRows:
        """Entities as rows, each compared with its checksum."""
        sequences: dict[str, Any] = {}
        if state.manifest.sequence_dim is not None:
            keys = [entity["key"] for entity in entities]
            step = self._fitting(state.manifest, _MOST_KEYS)
            for start in range(0, len(keys), step):
                wanted = schema.with_keys(keys[start : start + step])
                found = self._query("sequences", wanted, ("key", "descriptor"), step)
                sequences.update({entity["key"]: entity["descriptor"] for entity in found})
        rows = schema.rows_of(entities, sequences, state.manifest)
        stored = np.array([entity["crc"] for entity in entities], np.int64)
        if wrong := np.flatnonzero(rows.checksums != stored).tolist():
            raise self._disagree(state, f"the checksum of {rows.places[wrong[0]]!r} is wrong")
        return rows

    def _disagree(self, state: State, what: str) -> MemoryStoreError:
        """The error where what was read is not what a state says."""
        if self._state().revision != state.revision:
            return MemoryChangedError(
                f"{self.uri}: another process has replaced or removed places since they were "
                "read; refresh the memory"
            )
        return MemoryDamagedError(
            f"{self.uri}: {what}, and {state.manifest.count} places were written; restore the "
            "memory from a copy, or build it again"
        )

    def _check_count(self, state: State, condition: str | None = None) -> None:
        which = condition or _confirmed(state)
        [counted] = self._query("", which, ("count(*)",), None, "Strong")
        if counted["count(*)"] != state.manifest.count:
            raise self._disagree(state, f"{counted['count(*)']} places are there")

    def _fitting(self, manifest: Manifest, most: int) -> int:
        """How many rows fit a message."""
        longest = max(manifest.dim, manifest.sequence_dim or 0)
        return max(1, min(most, _MESSAGE_BYTES // (4 * longest)))

    def _search(
        self, state: State, queries: NDArray[np.float32], k: int, where: Where | None
    ) -> list[Candidates]:
        count = state.manifest.count
        near = where is not None and where.near is not None
        limit = min(_MOST_RESULTS, count, (2 * k if near else k) + _MORE)
        keys: list[list[str]] = [[] for _ in queries]
        todo = list(range(len(queries)))
        while todo and limit:
            again = []
            answers = self._nearest(state, queries[todo], limit, where)
            for i, hits in zip(todo, answers, strict=True):
                inside = hits
                if near and where is not None:
                    at = np.array([hit[2] for hit in hits]).reshape(-1, 3)
                    held = where.holds_near(at).tolist()
                    inside = [hit for hit, holds in zip(hits, held, strict=True) if holds]
                least = inside[k - 1][1] - 2 * ROUNDING if len(inside) >= k else -math.inf
                keys[i] = [key for key, score, _ in inside if score >= least]
                more = len(hits) == limit < min(count, _MOST_RESULTS)
                if more and hits[-1][1] >= least:
                    again.append(i)
            todo, limit = again, min(_MOST_RESULTS, count, 4 * limit)
        rows = self.fetch(state, sorted({key for ks in keys for key in ks}), found=True)
        row_of = {schema.key_of(place.id): row for row, place in enumerate(rows.places)}
        found = []
        for query, mine in zip(queries, keys, strict=True):
            at = np.array([row_of[key] for key in mine if key in row_of], np.int64)
            scores = similarity_of(rows.descriptors[at], query).tolist()
            places = [rows.places[row] for row in map(int, at)]
            best = sorted(zip(places, scores, strict=True), key=lambda p: (-p[1], p[0].id))[:k]
            ranked = enumerate(best, start=1)
            found.append(Candidates(Candidate(place, s, rank) for rank, (place, s) in ranked))
        return found

    def _nearest(
        self, state: State, queries: NDArray[np.float32], limit: int, where: Where | None
    ) -> list[list[tuple[str, float, tuple[float, ...]]]]:
        """Key, score and position of what Milvus finds for each query, best first."""
        axes = "xyz" if where is not None and where.near is not None else ""
        kind = state.manifest.index or "flat"
        condition = schema.expression(where)
        answers = self._client.search(
            self._places,
            data=[query.tolist() for query in queries],
            anns_field="descriptor",
            filter=f"{condition} and {_confirmed(state)}" if condition else _confirmed(state),
            limit=limit,
            output_fields=["key", *axes],
            search_params={
                "metric_type": "IP",
                "params": _search_params(kind, state.manifest.count, limit),
            },
            consistency_level=self._level(),
        )
        return [
            [
                (
                    hit["entity"]["key"],
                    float(hit["distance"]),
                    tuple(hit["entity"][axis] for axis in axes),
                )
                for hit in hits
            ]
            for hits in answers
        ]


class ServedRows(PlaceRows):
    """Rows that stay in Milvus; what is used of them is read when it is first used.

    Args:
        store: Reads them.
        state: Which they are.
    """

    def __init__(self, store: MilvusStore, state: State) -> None:
        self._store, self._state = store, state
        self.places = StoredPlaces(self._read_places, len(self))

    def __len__(self) -> int:
        return self._state.manifest.count

    @property
    def revision(self) -> str:
        """See :class:`PlaceRows`."""
        return revision_of(self._state.manifest.count, self._state.manifest.checksum)

    @property
    def sequence_dim(self) -> int | None:
        """See :class:`PlaceRows`."""
        return self._state.manifest.sequence_dim

    @property
    def is_resident(self) -> bool:
        """See :class:`PlaceRows`."""
        return "_all" in self.__dict__

    def counts(self) -> dict[str, int]:
        """See :class:`PlaceRows`."""
        known = self._state.sessions
        return {name: known[name].count for name in sorted(known) if known[name].count}

    def extent(self) -> dict[str, tuple[int, int]]:
        """See :class:`PlaceRows`."""
        known = self._state.sessions
        return {name: (known[name].first, known[name].last) for name in self.counts()}

    def stretches(self, wanted: Sequence[Stretch]) -> PlaceRows:
        """See :class:`PlaceRows`; Milvus filters."""
        if self.is_resident:
            return super().stretches(wanted)
        return self._store.stretches(self._state, wanted)

    def find_near(self, position: NDArray[np.float64], radius: float) -> list[tuple[str, int]]:
        """See :class:`PlaceRows`; Milvus searches."""
        if self.is_resident:
            return super().find_near(position, radius)
        return self._store.find_near(self._state, position, radius)

    @cached_property
    def _read(self) -> tuple[Columns, NDArray[np.int64]]:
        return self._store.columns(self._state)

    @cached_property
    def columns(self) -> Columns:
        """See :class:`PlaceRows`; read when they are first asked for, and kept."""
        return self._read[0]

    @cached_property
    def checksums(self) -> NDArray[np.int64]:
        """See :class:`PlaceRows`; read with the columns."""
        return self._read[1]

    @cached_property
    def _all(self) -> PlaceRows:
        """All rows; read when all descriptors are first asked for, and kept."""
        return self._store.read_all(self._state)

    @property
    def descriptors(self) -> NDArray[np.float32]:
        """All descriptors; read when they are first asked for, and kept."""
        return self._all.descriptors

    @property
    def sequences(self) -> NDArray[np.float32] | None:
        """All sequence descriptors; read when they are first asked for, and kept."""
        return None if self.sequence_dim is None else self._all.sequences

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """See :class:`PlaceRows`."""
        return self.take(rows).descriptors

    def select(self, where: RowFilter) -> PlaceRows:
        """See :class:`PlaceRows`; Milvus filters."""
        if self.is_resident or not isinstance(where, Where):
            return super().select(where)
        return self._store.select(self._state, where)

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> PlaceRows:
        """See :class:`PlaceRows`."""
        if self.is_resident:
            return self._all.take(indices)
        columns, rows = self.columns, np.array(indices, np.int64)
        sessions = [columns.sessions[i] for i in columns.session[rows].tolist()]
        ids = zip(sessions, columns.index[rows].tolist(), strict=True)
        found = self._store.fetch(self._state, [schema.key_of(i) for i in ids])
        if not np.array_equal(found.checksums, self.checksums[rows]):
            raise MemoryChangedError(f"{self._store.uri}: places were replaced; refresh the memory")
        return found

    def _read_places(self, rows: NDArray[np.int64]) -> list[Place]:
        if self.is_resident or len(rows) == len(self):
            places = self._all.places
            return [places[row] for row in map(int, rows)]
        return list(self.take(rows).places)


def _concatenate(parts: Iterable[PlaceRows], manifest: Manifest, count: int) -> PlaceRows:
    """Parts of ``count`` rows as one; all places, and the vectors that there is room for."""
    places: list[Place] = []
    descriptors = np.empty((count, manifest.dim), np.float32)
    sequences = None
    if manifest.sequence_dim is not None:
        sequences = np.empty((count, manifest.sequence_dim), np.float32)
    for part in parts:
        rows = slice(len(places), len(places) + len(part))
        places += part.places
        if rows.stop <= count:
            descriptors[rows] = part.descriptors
            if sequences is not None:
                sequences[rows] = part.sequences
    return PlaceRows(places, descriptors, sequences)


def _confirmed(state: State) -> str:
    """A filter for the rows of confirmed writes."""
    return f"batch <= {state.revision}"


def _joined(one: SessionFacts, other: SessionFacts) -> SessionFacts:
    return SessionFacts(
        count=one.count + other.count,
        checksum=one.checksum + other.checksum,
        first=min(one.first, other.first),
        last=max(one.last, other.last),
    )


def _counted(state: State, facts: dict[str, SessionFacts]) -> State:
    """A state with other sessions, their places counted in its manifest."""
    sums = {
        "count": sum(session.count for session in facts.values()),
        "checksum": sum(session.checksum for session in facts.values()),
    }
    manifest = state.manifest.model_copy(update=sums)
    return state.model_copy(update={"manifest": manifest, "sessions": facts})


def _vector_parts(manifest: Manifest) -> list[str]:
    return [""] if manifest.sequence_dim is None else ["", "sequences"]


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
