"""Collections of a memory in Milvus, and rows to entities and back.

Three collections: ``<name>`` with one entity a place, ``<name>__sequences`` with the sequence
descriptors where a memory keeps them (Milvus 2.3 allows one vector field a collection), and
``<name>__manifest`` with the manifest and the encoder card in pieces.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from placememory._registry import require
from placememory.errors import InputError
from placememory.memory.place import Place, PlaceId
from placememory.memory.rows import PlaceRows
from placememory.memory.search import Where

KEY_LENGTH = 1024
_TEXT_LENGTH = 65535
_PIECE_BYTES = 45_000
_SLOTS = 1 << 32
_NO_STAMP = -(2**63) + 1
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})
NO_VECTOR = [0.0, 0.0]
"""Milvus wants a vector in every collection; the manifest has none to give."""


def place_fields(dim: int) -> Any:
    """Schema of the places."""
    schema, kind = _schema()
    schema.add_field("session", kind.VARCHAR, max_length=KEY_LENGTH)
    schema.add_field("stamp", kind.INT64)
    schema.add_field("floor", kind.VARCHAR, max_length=KEY_LENGTH)
    schema.add_field("place", kind.VARCHAR, max_length=_TEXT_LENGTH)
    schema.add_field("crc", kind.INT64)
    schema.add_field("batch", kind.INT64)
    schema.add_field("slot", kind.INT64)
    schema.add_field("descriptor", kind.FLOAT_VECTOR, dim=dim)
    return schema


def sequence_fields(dim: int) -> Any:
    """Schema of the sequence descriptors."""
    schema, kind = _schema()
    schema.add_field("batch", kind.INT64)
    schema.add_field("slot", kind.INT64)
    schema.add_field("descriptor", kind.FLOAT_VECTOR, dim=dim)
    return schema


def manifest_fields() -> Any:
    """Schema of the manifest: text by key."""
    schema, kind = _schema()
    schema.add_field("text", kind.VARCHAR, max_length=_TEXT_LENGTH)
    schema.add_field("descriptor", kind.FLOAT_VECTOR, dim=len(NO_VECTOR))
    return schema


def _schema() -> tuple[Any, Any]:
    pymilvus = require("pymilvus", extra="milvus", purpose="Milvus stores")
    schema = pymilvus.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("key", pymilvus.DataType.VARCHAR, is_primary=True, max_length=KEY_LENGTH)
    return schema, pymilvus.DataType


def key_of(place_id: PlaceId) -> str:
    """Primary key of a place.

    Raises:
        InputError: The session's name is too long for Milvus.
    """
    session, index = place_id
    key = f"{session}/{index:012d}"
    if len(key.encode()) > KEY_LENGTH:
        raise InputError(f"the session name {session[:40]!r}… is too long for Milvus")
    return key


def id_of(key: str) -> PlaceId:
    """Place id of a primary key.

    Example:
        >>> id_of(key_of(("a/b", 12)))
        ('a/b', 12)
    """
    session, _, index = key.rpartition("/")
    return session, int(index)


def _slot(key: str) -> int:
    """A number in 0..2^32 by which a collection is read in pages of about equal size."""
    return zlib.crc32(key.encode())


def pages(count: int, size: int) -> Iterator[str]:
    """Filters that split ``count`` entities into pages of about ``size``.

    Example:
        >>> list(pages(2, 1))
        ['slot >= 0 and slot < 2147483648', 'slot >= 2147483648 and slot < 4294967296']
    """
    parts = max(1, -(-count // size))
    edges = [_SLOTS * i // parts for i in range(parts + 1)]
    for first, end in pairwise(edges):
        yield f"slot >= {first} and slot < {end}"


def place_entities(rows: PlaceRows, batch: int) -> list[dict[str, Any]]:
    """Rows as entities of the places collection."""
    return [
        {
            "key": key_of(place.id),
            "session": place.session,
            "stamp": place.stamp if place.stamp is not None else _NO_STAMP,
            "floor": place.floor or "",
            "place": place.to_json(),
            "crc": int(rows.checksums[i]),
            "batch": batch,
            "slot": _slot(key_of(place.id)),
            "descriptor": rows.descriptors[i],
        }
        for i, place in enumerate(rows.places)
    ]


def sequence_entities(rows: PlaceRows, batch: int) -> list[dict[str, Any]]:
    """Sequence descriptors of the rows that have one."""
    if rows.sequences is None:
        return []
    known = np.flatnonzero(~np.isnan(rows.sequences[:, 0])).tolist()
    keys = {i: key_of(rows.places[i].id) for i in known}
    return [
        {"key": key, "batch": batch, "slot": _slot(key), "descriptor": rows.sequences[i]}
        for i, key in keys.items()
    ]


def rows_of(
    entities: Sequence[dict[str, Any]],
    sequences: dict[str, Any],
    dim: int,
    sequence_dim: int | None,
) -> PlaceRows:
    """Entities that were read, as rows in the order of place ids."""
    places = [Place.from_json(entity["place"]) for entity in entities]
    descriptors = np.empty((len(entities), dim), np.float32)
    sequence_rows = (
        None if sequence_dim is None else np.full((len(entities), sequence_dim), np.nan, "f4")
    )
    for i, entity in enumerate(entities):
        descriptors[i] = entity["descriptor"]
        if sequence_rows is not None and entity["key"] in sequences:
            sequence_rows[i] = sequences[entity["key"]]
    return PlaceRows(places, descriptors, sequence_rows).sort_by_id()


def pieces(data: bytes) -> Iterator[str]:
    """Bytes as texts that fit a Milvus field."""
    for start in range(0, len(data), _PIECE_BYTES):
        yield base64.b64encode(data[start : start + _PIECE_BYTES]).decode()


def join_pieces(texts: Sequence[str]) -> bytes:
    """Inverse of :func:`pieces`."""
    return b"".join(base64.b64decode(text) for text in texts)


def expression(where: Where | None) -> str:
    """A filter in Milvus's language; the circle is left to the caller."""
    if where is None:
        return ""
    parts = []
    if where.sessions is not None:
        parts.append(f"session in [{', '.join(quote(name) for name in where.sessions)}]")
    if where.excluded:
        parts.append(f"session not in [{', '.join(quote(name) for name in where.excluded)}]")
    if where.stamp is not None:
        parts.append(f"stamp >= {where.stamp[0]} and stamp <= {where.stamp[1]}")
    if where.floor is not None:
        parts.append(f"floor == {quote(where.floor)}")
    return " and ".join(parts)


def with_keys(keys: Sequence[str]) -> str:
    """A filter for entities with one of these keys; the client's own quotes nothing.

    Example:
        >>> with_keys(["a", "b"])
        'key in ["a", "b"]'
    """
    return f"key in [{', '.join(map(quote, keys))}]"


def quote(text: str) -> str:
    r"""A text literal of Milvus's filter language.

    Example:
        >>> quote('a "b"')
        '"a \\"b\\""'
    """
    return f'"{text.translate(_ESCAPED)}"'
