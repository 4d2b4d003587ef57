"""Connections to Milvus: a Lite engine that we start in this process, or a server."""

from __future__ import annotations

import base64
import contextlib
import logging
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from placememory._registry import require
from placememory.errors import (
    MemoryDamagedError,
    MemoryFormatError,
    MemoryLockedError,
    MemoryNotFoundError,
    MemoryStoreError,
    PlaceMemoryError,
)
from placememory.memory.stores import milvus_schema as schema
from placememory.memory.stores.address import ServerAddress, show_address
from placememory.memory.stores.port import FORMAT, Manifest, StoreIndex

LITE = "milvus-lite:"
_LITE_COLLECTION = "places"
_PURPOSE = "Milvus stores"
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Connection:
    """An open client.

    Attributes:
        client: ``pymilvus.MilvusClient``.
        collection: Name of the collection that holds the places.
        lite: Whether it is the embedded engine.
        close: Lets go of the connection, and of the engine with its lock.
    """

    client: Any
    collection: str
    lite: bool
    close: Callable[[], None]


def connect(uri: str, *, create: bool) -> Connection:
    """Connect to ``milvus-lite:PATH`` or ``http://host:port/collection``.

    Raises:
        MissingExtraError: pymilvus or milvus-lite is not installed.
        MemoryFormatError: The path is a file (Milvus Lite before version 3), or a foreign folder.
        MemoryLockedError: Another process holds the Lite folder.
        MemoryStoreError: No server answers.
        SettingError: The address names no collection.
    """
    if uri.startswith(LITE):
        return _connect_lite(uri, Path(uri.removeprefix(LITE)), create=create)
    return _connect_server(uri)


def lite_folder_exists(uri: str) -> bool:
    """Whether a Lite address points at something."""
    return Path(uri.removeprefix(LITE)).exists()


@contextlib.contextmanager
def milvus_errors(uri: str, *, reading: bool = False) -> Iterator[None]:
    """Milvus's errors as ours; while reading, whatever goes wrong in the embedded engine is damage.

    Raises:
        MemoryDamagedError: What was read is none of ours, or the embedded engine cannot read it.
        MemoryStoreError: Milvus refuses.
    """
    milvus = require("pymilvus.exceptions", extra="milvus", purpose=_PURPOSE)
    shown = show_address(uri)
    try:
        yield
    except milvus.MilvusException as error:
        damaged = reading and uri.startswith(LITE)
        kind = MemoryDamagedError if damaged else MemoryStoreError
        raise kind(f"{shown}: Milvus says: {error.message}") from error
    except PlaceMemoryError:
        raise
    except (LookupError, ValueError, TypeError, AttributeError, OSError) as error:
        if not reading:
            raise
        raise MemoryDamagedError(
            f"{shown}: what Milvus holds cannot be read ({type(error).__name__}: {error}); restore "
            "it from a copy, or build it again"
        ) from error


def _connect_lite(uri: str, path: Path, *, create: bool) -> Connection:
    if path.is_file():
        raise MemoryFormatError(
            f"{path} is a file; since version 3 Milvus Lite keeps a folder. Files of older "
            "versions cannot be opened: build the memory again"
        )
    foreign = path.is_dir() and any(path.iterdir()) and not (path / "collections").is_dir()
    if foreign:
        raise MemoryFormatError(f"{path}: this folder is not a Milvus Lite folder")
    if not create and not path.is_dir():
        raise MemoryFormatError(f"{path}: there is no Milvus Lite folder")
    engine = require("milvus_lite.adapter.grpc.server", extra="milvus", purpose=_PURPOSE)
    lite = require("milvus_lite", extra="milvus", purpose=_PURPOSE)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        server, database, port = engine.start_server_in_thread(
            data_dir=str(path.resolve()), host="127.0.0.1", port=0
        )
    except lite.DataDirLockedError as error:
        raise MemoryLockedError(
            f"{uri}: another process (or this one) holds the folder; Milvus Lite serves one at a "
            "time. Use a SQLite memory or a Milvus server for several"
        ) from error
    except Exception as error:  # whatever its files make it stumble over
        raise MemoryDamagedError(f"{uri}: Milvus Lite cannot open its folder ({error})") from error

    def stop() -> None:
        server.stop(grace=2)
        database.close()

    try:
        client = _client(uri, uri=f"http://127.0.0.1:{port}")
    except BaseException:
        stop()
        raise

    def close() -> None:
        client.close()
        stop()

    return Connection(client, _LITE_COLLECTION, lite=True, close=close)


def _connect_server(uri: str) -> Connection:
    address = ServerAddress.of(uri)
    client = _client(show_address(uri), uri=address.url, token=address.token)
    return Connection(client, address.collection, lite=False, close=client.close)


def _client(shown: str, **arguments: Any) -> Any:
    pymilvus = require("pymilvus", extra="milvus", purpose=_PURPOSE)
    # It prints a traceback for every refusal; we raise each one with its message instead.
    logging.getLogger("pymilvus.decorators").setLevel(logging.CRITICAL)
    try:
        return pymilvus.MilvusClient(timeout=_TIMEOUT_SECONDS, **arguments)
    except pymilvus.MilvusException as error:
        raise MemoryStoreError(f"{shown}: no Milvus server answers ({error.message})") from error


_INDEX_SECONDS = 600.0
_STATE = "state"
_PACKED = "zlib:"
_MOST_TEXT = 60_000
_PAGE_ROWS = 1000
_CARD = "card/"


class SessionFacts(BaseModel):
    """What is known of the confirmed places of a session.

    Attributes:
        count: Places.
        checksum: Sum of their CRC-32 values.
        first: An index that none of them is below.
        last: An index that none of them is above.
    """

    count: int = 0
    checksum: int = 0
    first: int
    last: int


class State(BaseModel):
    """The manifest with the write that is under way.

    Attributes:
        manifest: Of the confirmed rows.
        sessions: Facts of the confirmed sessions.
        revision: Number of the last confirmed write.
        pending: The sessions of a write that is announced and not confirmed.
        replacing: Whether that write replaces rows.
        removing: The session whose removal is under way.
        card_pieces: In how many pieces the encoder card is kept.
        mapped: Whether Milvus is told to map the vectors from disk.
    """

    manifest: Manifest
    sessions: dict[str, SessionFacts] = {}
    revision: int = 0
    pending: dict[str, SessionFacts] = {}
    replacing: bool = False
    removing: str | None = None
    card_pieces: int = 0
    mapped: bool = False

    def to_text(self) -> str:
        """JSON; compressed where a field of Milvus could not hold it, say of 500 sessions."""
        text = self.model_dump_json()
        if len(text.encode()) <= _MOST_TEXT:
            return text
        return _PACKED + base64.b64encode(zlib.compress(text.encode(), 9)).decode()

    @classmethod
    def of_text(cls, text: str) -> State:
        """Inverse of :meth:`to_text`."""
        if text.startswith(_PACKED):
            packed = base64.b64decode(text.removeprefix(_PACKED))
            return cls.model_validate_json(zlib.decompress(packed))
        return cls.model_validate_json(text)


def collection_name(connection: Connection, part: str) -> str:
    """Name of a collection of a memory: ``""`` for the places."""
    return f"{connection.collection}__{part}" if part else connection.collection


def card_key(piece: int) -> str:
    """Key of a piece of the encoder card in the manifest collection."""
    return f"{_CARD}{piece:06d}"


def create_collections(connection: Connection, uri: str, manifest: Manifest, card: bytes) -> None:
    """Make the collections; the state is written last, so a half-made memory is none.

    Raises:
        MemoryLockedError: There is a memory already.
        MemoryFormatError: A collection of this name is somebody else's.
    """
    if read_state(connection, uri, loads=True) is not None:
        raise MemoryLockedError(f"{show_address(uri)}: there is a memory already; open it")
    client = connection.client
    fields = {"": schema.place_fields(manifest.dim), "manifest": schema.manifest_fields()}
    if manifest.sequence_dim is not None:
        fields["sequences"] = schema.sequence_fields(manifest.sequence_dim)
    names = {part: collection_name(connection, part) for part in fields}
    for part, name in names.items():
        if client.has_collection(name):
            _refuse_foreign(client, uri, name, fields[part])
    for part, name in names.items():
        _remove_partial(connection, uri, name)
        client.create_collection(name, schema=fields[part], consistency_level="Bounded")
        build_index(connection, name, "flat", {})
    load(client, names.values())
    texts = list(schema.pieces(card))
    for i, text in enumerate(texts):
        write_text(client, names["manifest"], card_key(i), text)
    state = State(manifest=manifest, card_pieces=len(texts))
    write_text(client, names["manifest"], _STATE, state.to_text())


def read_state(
    connection: Connection, uri: str, *, loads: bool = False, level: str = "Strong"
) -> State | None:
    """The state of a memory; ``None`` where there is no complete one.

    Raises:
        MemoryDamagedError: It cannot be read.
        MemoryFormatError: It is of another version.
    """
    name = collection_name(connection, "manifest")
    with milvus_errors(uri, reading=True):
        if loads and not connection.client.has_collection(name):
            return None
        if loads:
            load(connection.client, [name])
        found = connection.client.query(
            name, ids=[_STATE], output_fields=["text"], consistency_level=level
        )
        if not found:
            return None
        try:
            state = State.of_text(found[0]["text"])
        except ValidationError as error:
            _refuse_format(uri, found[0]["text"])
            raise MemoryDamagedError(
                f"{show_address(uri)}: the manifest is damaged ({error})"
            ) from error
    _refuse_format(uri, found[0]["text"])
    return state


def read_card(connection: Connection, uri: str, pieces: int) -> bytes:
    """The encoder card; it never changes, so it is read from any node that has it.

    Raises:
        MemoryDamagedError: A piece is missing.
    """
    keys = [card_key(i) for i in range(pieces)]
    texts: dict[str, str] = {}
    for level in ("Bounded", "Strong"):
        missing = [key for key in keys if key not in texts]
        for key in missing:
            with milvus_errors(uri, reading=True):
                found = connection.client.query(
                    collection_name(connection, "manifest"),
                    ids=[key],
                    output_fields=["text"],
                    consistency_level=level,
                )
            if found:
                texts[key] = found[0]["text"]
    if len(texts) < len(keys):
        raise MemoryDamagedError(f"{show_address(uri)}: the encoder card is damaged")
    return schema.join_pieces([texts[key] for key in keys])


def write_state(connection: Connection, state: State) -> None:
    """Replace the state, in one step."""
    name = collection_name(connection, "manifest")
    write_text(connection.client, name, _STATE, state.to_text())


def write_text(client: Any, collection: str, key: str, text: str) -> None:
    """Write a text of the manifest collection."""
    client.upsert(collection, [{"key": key, "text": text, "descriptor": schema.NO_VECTOR}])


def build_index(
    connection: Connection, name: str, kind: StoreIndex, params: dict[str, int]
) -> None:
    """Build an index and wait until it holds every row; the client's own wait upsets Lite."""
    types: dict[StoreIndex, str] = {"flat": "FLAT", "ivf": "IVF_FLAT", "hnsw": "HNSW"}
    client = connection.client
    prepared = client.prepare_index_params()
    prepared.add_index(
        "descriptor",
        index_type=types[kind],
        metric_type="IP",
        params={"params": params} if connection.lite else params,  # Lite reads the nested form
    )
    client.create_index(name, prepared, sync=False)
    end = time.monotonic() + _INDEX_SECONDS
    while int((client.describe_index(name, "descriptor") or {}).get("pending_index_rows", 0)):
        if time.monotonic() > end:
            raise MemoryStoreError(f"{name}: the index was not ready in {_INDEX_SECONDS:.0f} s")
        time.sleep(0.1)


def load(client: Any, names: Iterable[str]) -> None:
    """Let Milvus load collections, all at once, and wait for them; at once where they are."""
    names = list(names)
    for name in names:
        client.load_collection(name, _async=True, timeout=_INDEX_SECONDS)
    for name in names:
        client.load_collection(name, timeout=_INDEX_SECONDS)


def read_collection(uri: str, fields: Sequence[str]) -> tuple[str | None, list[dict[str, Any]]]:
    """All entities of a collection that another program has made.

    Args:
        uri: Of the collection.
        fields: Which to read, where they are there; beside the vector.

    Returns:
        Name of its one float vector field, ``None`` if there is not just one, and the entities.

    Raises:
        MemoryNotFoundError: There is no such collection.
    """
    connection = connect(uri, create=False)
    client, name = connection.client, connection.collection
    try:
        with milvus_errors(uri):
            if not client.has_collection(name):
                raise MemoryNotFoundError(f"{show_address(uri)}: there is no such collection")
            described = client.describe_collection(name)["fields"]
            kinds = {field["name"]: getattr(field["type"], "name", "") for field in described}
            vectors = [name for name, kind in kinds.items() if kind == "FLOAT_VECTOR"]
            wanted = [field for field in fields if field in kinds] + vectors
            if len(vectors) != 1:
                return None, []
            load(client, [name])
            pages = client.query_iterator(name, batch_size=_PAGE_ROWS, output_fields=wanted)
            found: list[dict[str, Any]] = []
            while page := pages.next():
                found += map(dict, page)
            pages.close()
            return vectors[0], found
    finally:
        connection.close()


def _refuse_format(uri: str, text: str) -> None:
    found = re.search(r'"format":(\d+)', text)
    if found and int(found[1]) != FORMAT:
        raise MemoryFormatError(
            f"{show_address(uri)}: format {found[1]}, this version reads {FORMAT}; copy it to a "
            "file with the version that made it (placememory copy), and that back with this one"
        )


def _refuse_foreign(client: Any, uri: str, name: str, expected: Any) -> None:
    """Only an empty collection with our fields may be made anew.

    Raises:
        MemoryFormatError: It has other fields, or rows.
    """
    described = {field["name"] for field in client.describe_collection(name)["fields"]}
    rows = int(client.get_collection_stats(name).get("row_count", 0))
    if described != {field.name for field in expected.fields} or (
        rows and not name.endswith("__manifest")
    ):
        raise MemoryFormatError(
            f"{show_address(uri)}: Milvus has a collection {name!r} that is not an unfinished "
            "place memory; choose another name"
        )


def _remove_partial(connection: Connection, uri: str, name: str) -> None:
    """Remove collections of a creation that was interrupted."""
    if connection.client.has_collection(name):
        connection.client.drop_collection(name)
    elif connection.lite:  # a folder that the engine does not list holds no rows
        left = Path(uri.removeprefix(LITE)) / "collections" / name
        shutil.rmtree(left, ignore_errors=True)
