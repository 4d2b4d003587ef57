"""Collections of a memory in Milvus, places to entities and back, and filters.

Three collections: ``<name>`` with one entity a place, ``<name>__sequences`` with the sequence
descriptors where a memory keeps them (Milvus 2.3 allows one vector field a collection), and
``<name>__manifest`` with the manifest and the encoder card in pieces.

A place is in typed columns, which Milvus filters and its tools show; what they cannot hold to the
last bit (a covariance, a name longer than its column) is in ``extra``, as JSON of these fields.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._registry import require
from placememory._types import Vectors
from placememory.errors import InputError
from placememory.memory.place import Place, PlaceId
from placememory.memory.rows import NO_STAMP, Columns, PlaceRows
from placememory.memory.search import Where
from placememory.memory.stores.port import Manifest

KEY_LENGTH = 1024
_TEXT_LENGTH = 65535
_PIECE_BYTES = 45_000
_STAMP_UNKNOWN = -(2**63) + 1  # a filter cannot name -2^63
_NO_VERTEX = -1
_INT64 = (-(2**63), 2**63 - 1)
_FAR = 1e300
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})
NO_VECTOR = [0.0, 0.0]
"""Milvus wants a vector in every collection; the manifest has none to give."""

_POSE = {
    "x": "metres, map frame; NaN without a pose",
    "y": "metres, map frame",
    "z": "metres, map frame",
    "qx": "quaternion of the body in the map; NaN where the heading is unknown",
    "qy": "quaternion",
    "qz": "quaternion",
    "qw": "quaternion",
    "yaw": "heading, radians counter-clockwise from the map's x axis; NaN where unknown",
}
COLUMNS = ("session", "index", "stamp", "floor", "x", "y", "z", "yaw", "crc")
"""What :class:`Columns` and the checksums are made of."""

PLACE = ("session", "index", "name", "vertex_id", "stamp", "floor", *_POSE, "extra", "crc")
"""What a place and its checksum are made of."""


def place_fields(dim: int) -> Any:
    """Schema of the places."""
    schema, kind = _schema("Places of a placememory map: one entity a place")

    def text(name: str, description: str, length: int = KEY_LENGTH) -> None:
        schema.add_field(name, kind.VARCHAR, max_length=length, description=description)

    def whole(name: str, description: str) -> None:
        schema.add_field(name, kind.INT64, description=description)

    text("session", "the traverse that the frame belongs to")
    whole("index", "position within the session")
    text("name", "image name")
    whole("vertex_id", "id of the SLAM vertex; -1 for none")
    whole("stamp", f"nanoseconds; {_STAMP_UNKNOWN} where unknown")
    text("floor", "name of the floor; empty for none")
    for name, description in _POSE.items():
        schema.add_field(name, kind.DOUBLE, description=description)
    text("extra", "JSON of what the other columns do not hold exactly", _TEXT_LENGTH)
    whole("crc", "CRC-32 of the place and its descriptors")
    whole("batch", "number of the write that brought it")
    schema.add_field(
        "descriptor", kind.FLOAT_VECTOR, dim=dim, description="unit length; compare by IP"
    )
    return schema


def sequence_fields(dim: int) -> Any:
    """Schema of the sequence descriptors."""
    schema, kind = _schema("Sequence descriptors of the places of a placememory map, by key")
    schema.add_field("batch", kind.INT64, description="number of the write that brought it")
    schema.add_field("descriptor", kind.FLOAT_VECTOR, dim=dim, description="unit length")
    return schema


def manifest_fields() -> Any:
    """Schema of the manifest: text by key."""
    schema, kind = _schema("Manifest and encoder card of a placememory map")
    schema.add_field("text", kind.VARCHAR, max_length=_TEXT_LENGTH)
    schema.add_field("descriptor", kind.FLOAT_VECTOR, dim=len(NO_VECTOR))
    return schema


def _schema(description: str) -> tuple[Any, Any]:
    pymilvus = require("pymilvus", extra="milvus", purpose="Milvus stores")
    schema = pymilvus.MilvusClient.create_schema(
        auto_id=False, enable_dynamic_field=False, description=description
    )
    schema.add_field("key", pymilvus.DataType.VARCHAR, is_primary=True, max_length=KEY_LENGTH)
    return schema, pymilvus.DataType


def key_of(place_id: PlaceId) -> str:
    """Primary key of a place.

    Raises:
        InputError: The session's name is too long for Milvus.

    Example:
        >>> key_of(("a/b", 12))
        'a/b/000000000012'
    """
    session, index = place_id
    key = f"{session}/{index:012d}"
    if len(key.encode()) > KEY_LENGTH:
        raise InputError(f"the session name {session[:40]!r}… is too long for Milvus")
    return key


def place_entities(rows: PlaceRows, batch: int, frame_id: str) -> list[dict[str, Any]]:
    """Rows as entities of the places collection of a map in the frame ``frame_id``."""
    return [
        {
            **_entity(place, frame_id),
            "key": key_of(place.id),
            "crc": int(rows.checksums[i]),
            "batch": batch,
            "descriptor": rows.descriptors[i],
        }
        for i, place in enumerate(rows.places)
    ]


def _entity(place: Place, frame_id: str) -> dict[str, Any]:
    """Columns of a place; ``extra`` holds what they do not give back as it was."""
    pose, vertex = place.pose, place.vertex_id
    unknown = (math.nan,) * 4
    numbers = [math.nan] * 8
    if pose is not None:
        numbers = [pose.x, pose.y, pose.z, *(pose.quaternion or unknown), pose.yaw]
    known = vertex is not None and _INT64[0] <= vertex <= _INT64[1]
    entity: dict[str, Any] = {
        "session": place.session,
        "index": place.index,
        "name": _fit(place.name),
        "vertex_id": vertex if known else _NO_VERTEX,
        "stamp": _STAMP_UNKNOWN if place.stamp is None else place.stamp,
        "floor": _fit(place.floor or ""),
        **{name: float(value) for name, value in zip(_POSE, numbers, strict=True)},
    }
    values, shown = place.to_dict(), _place_values(entity, frame_id)
    entity["extra"] = ""
    if repr(values) != repr(shown):
        values = json.loads(place.to_json())  # which may have had NumPy's numbers
        extra = {name: v for name, v in values.items() if repr(v) != repr(shown[name])}
        entity["extra"] = json.dumps(extra, sort_keys=True) if extra else ""
    return entity


def _place_values(entity: Mapping[str, Any], frame_id: str) -> dict[str, Any]:
    """A place by its columns, as :meth:`Place.to_dict` has it."""
    pose = None
    if not math.isnan(entity["x"]):
        turn = [entity[name] for name in ("qx", "qy", "qz", "qw")]
        pose = {
            **{name: entity[name] for name in "xyz"},
            "quaternion": None if math.isnan(turn[0]) else turn,
            "frame_id": frame_id,
            "covariance": None,
        }
    return {
        **{name: entity[name] for name in ("session", "index", "name")},
        "stamp": None if entity["stamp"] == _STAMP_UNKNOWN else entity["stamp"],
        "vertex_id": None if entity["vertex_id"] == _NO_VERTEX else entity["vertex_id"],
        "floor": entity["floor"] or None,
        "pose": pose,
    }


def place_of(entity: Mapping[str, Any], frame_id: str) -> Place:
    """The place of an entity that was read, in a map in the frame ``frame_id``.

    Raises:
        ValueError: It is damaged; also KeyError, TypeError or InputError.
    """
    values = _place_values(entity, frame_id)
    if entity["extra"]:
        values.update(json.loads(entity["extra"]))
    return Place.from_dict(values)


def columns_of(
    entities: Iterable[Mapping[str, Any]], count: int
) -> tuple[Columns, NDArray[np.int64]]:
    """Columns and checksums of entities that come in the order of place ids.

    Args:
        entities: With the fields :data:`COLUMNS`.
        count: How many there should be.
    """
    sessions: dict[str, int] = {}
    floors: dict[str, int] = {"": -1}
    whole = np.empty((5, count), np.int64)
    real = np.empty((count, 4))
    at = 0
    for entity in entities:
        if at < count:
            session = sessions.setdefault(entity["session"], len(sessions))
            floor = floors.setdefault(entity["floor"], len(floors) - 1)
            whole[:, at] = session, entity["index"], entity["stamp"], floor, entity["crc"]
            real[at] = entity["x"], entity["y"], entity["z"], entity["yaw"]
        at += 1
    whole, real = whole[:, :at], real[:at]
    names = sorted(name for name in floors if name)
    number = np.array([-1, *(names.index(n) for n in list(floors)[1:])], np.int32)
    numbers, index, stamp, floor_numbers, crc = whole
    columns = Columns(
        tuple(sessions),
        numbers.astype(np.int32),
        index.copy(),
        np.where(stamp == _STAMP_UNKNOWN, NO_STAMP, stamp),
        tuple(names),
        number[floor_numbers + 1],
        real[:, :3].copy(),
        real[:, 3].copy(),
    )
    return columns, crc.copy()


def sequence_entities(rows: PlaceRows, batch: int) -> list[dict[str, Any]]:
    """Sequence descriptors of the rows that have one."""
    if rows.sequences is None:
        return []
    known = np.flatnonzero(~np.isnan(rows.sequences[:, 0])).tolist()
    return [
        {"key": key_of(rows.places[i].id), "batch": batch, "descriptor": rows.sequences[i]}
        for i in known
    ]


def rows_of(
    entities: Sequence[Mapping[str, Any]],
    sequences: Mapping[str, Any],
    manifest: Manifest,
) -> PlaceRows:
    """Entities that were read, as rows in the same order."""
    descriptors = np.empty((len(entities), manifest.dim), np.float32)
    kept: Vectors | None = None
    if manifest.sequence_dim is not None:
        kept = np.full((len(entities), manifest.sequence_dim), np.nan, np.float32)
    for i, entity in enumerate(entities):
        descriptors[i] = entity["descriptor"]
        if kept is not None and entity["key"] in sequences:
            kept[i] = sequences[entity["key"]]
    places = [place_of(entity, manifest.frame_id) for entity in entities]
    return PlaceRows(places, descriptors, kept)


def pieces(data: bytes) -> Iterator[str]:
    """Bytes as texts that fit a Milvus field."""
    for start in range(0, len(data), _PIECE_BYTES):
        yield base64.b64encode(data[start : start + _PIECE_BYTES]).decode()


def join_pieces(texts: Sequence[str]) -> bytes:
    """Inverse of :func:`pieces`."""
    return b"".join(base64.b64decode(text) for text in texts)


def expression(where: Where | None) -> str:
    """A filter in Milvus's language; of a circle or ball, the box around it.

    Milvus refuses arithmetic in filters, so the caller cuts the box to the circle.

    Example:
        >>> expression(Where(session="run1", stamp=(5, 9)))
        'session in ["run1"] and stamp >= 5 and stamp <= 9'
        >>> expression(Where(near=(0.0, 4.0), radius=1.0)).partition(" and y")[0]
        'x >= -1.000000002 and x <= 1.000000002'
    """
    if where is None:
        return ""
    parts = []
    if where.sessions is not None:
        parts.append(f"session in [{', '.join(map(quote, where.sessions))}]")
    if where.excluded:
        parts.append(f"session not in [{', '.join(map(quote, where.excluded))}]")
    if where.stamp is not None:
        first, last = max(where.stamp[0], _STAMP_UNKNOWN + 1), min(where.stamp[1], _INT64[1])
        parts.append(f"stamp >= {min(first, _INT64[1])} and stamp <= {max(last, _STAMP_UNKNOWN)}")
    if where.floor is not None:
        parts.append(f"floor == {quote(_fit(where.floor))}")
    if where.near is not None and where.radius is not None:
        for axis, at in zip("xyz", where.near, strict=False):
            half = where.radius + 1e-9 * (1.0 + abs(at) + where.radius)  # more than is rounded off
            low, high = (min(max(edge, -_FAR), _FAR) for edge in (at - half, at + half))
            parts.append(f"{axis} >= {float(low)!r} and {axis} <= {float(high)!r}")
    return " and ".join(parts)


def within(index: tuple[int, int], session: str) -> str:
    """A filter for the places of a session from one index to another, both included."""
    low, high = index
    parts = [f"session == {quote(session)}"]
    parts += [f"index >= {low}"] if low > _INT64[0] else []
    parts += [f"index <= {high}"] if high < _INT64[1] else []
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


def _fit(text: str) -> str:
    """As much of a text as a column holds."""
    return text.encode(errors="replace")[:KEY_LENGTH].decode(errors="ignore")
