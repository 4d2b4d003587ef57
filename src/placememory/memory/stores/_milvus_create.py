"""Make the collections of a new memory in Milvus; never touches collections that are not ours."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from placememory.errors import MemoryFormatError, MemoryLockedError, MemoryStoreError
from placememory.memory.stores import _milvus_schema as schema
from placememory.memory.stores._milvus_client import LITE, Connection
from placememory.memory.stores._port import Manifest, StoreIndex

_INDEX_SECONDS = 600.0
_STATE = "state"
_CARD = "card/"


class State(BaseModel):
    """The manifest with the write that is under way.

    Attributes:
        manifest: Of the confirmed rows.
        revision: Number of the last confirmed write.
        pending: Whether a write is announced and not confirmed.
        replacing: Whether that write replaces rows.
        removing: The session whose removal is under way.
        card_pieces: In how many pieces the encoder card is kept.
    """

    manifest: Manifest
    revision: int = 0
    pending: bool = False
    replacing: bool = False
    removing: str | None = None
    card_pieces: int = 0


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
    if read_state(connection, load=True) is not None:
        raise MemoryLockedError(f"{uri}: there is a memory already; open it")
    client = connection.client
    fields = {"": schema.place_fields(manifest.dim), "manifest": schema.manifest_fields()}
    if manifest.sequence_dim is not None:
        fields["sequences"] = schema.sequence_fields(manifest.sequence_dim)
    names = {part: collection_name(connection, part) for part in fields}
    for part, name in names.items():
        if client.has_collection(name):
            _refuse_foreign(client, uri, name, fields[part])
    for part, name in names.items():
        _drop_half_made(connection, uri, name)
        client.create_collection(name, schema=fields[part])
        build_index(connection, name, "flat", {})
        client.load_collection(name)
    texts = list(schema.pieces(card))
    for i, text in enumerate(texts):
        write_text(client, names["manifest"], card_key(i), text)
    state = State(manifest=manifest, card_pieces=len(texts))
    write_text(client, names["manifest"], _STATE, state.model_dump_json())


def read_state(connection: Connection, *, load: bool = False) -> State | None:
    """The state of a memory; ``None`` where there is no complete one."""
    name = collection_name(connection, "manifest")
    if load and not connection.client.has_collection(name):
        return None
    if load:
        connection.client.load_collection(name)
    found = connection.client.query(
        name, ids=[_STATE], output_fields=["text"], consistency_level="Strong"
    )
    return State.model_validate_json(found[0]["text"]) if found else None


def write_state(connection: Connection, state: State) -> None:
    """Replace the state, in one step."""
    name = collection_name(connection, "manifest")
    write_text(connection.client, name, _STATE, state.model_dump_json())


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
            f"{uri}: Milvus has a collection {name!r} that is not an unfinished place memory; "
            "choose another name"
        )


def _drop_half_made(connection: Connection, uri: str, name: str) -> None:
    """Remove what a creation that was cut off left behind."""
    if connection.client.has_collection(name):
        connection.client.drop_collection(name)
    elif connection.lite:  # a folder that the engine does not list holds no rows
        left = Path(uri.removeprefix(LITE)) / "collections" / name
        shutil.rmtree(left, ignore_errors=True)
