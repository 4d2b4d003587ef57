"""A memory of a collection that another program has made in a Milvus server."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from placememory._types import Progress
from placememory.encoders import EncoderCard
from placememory.errors import MemoryFormatError
from placememory.frames import Pose
from placememory.memory.place import Place
from placememory.memory.place_memory import UNKNOWN_ENCODER, PlaceMemory
from placememory.memory.stores import show_address
from placememory.memory.transfer import BATCH

_log = logging.getLogger(__name__)
_FIELDS = ("image_name", "vertex_id", "pose_x", "pose_y")


def import_collection(
    source: str,
    target: str | Path,
    *,
    session: str = "run1",
    encoder: EncoderCard | None = None,
    progress: Progress | None = None,
) -> PlaceMemory:
    """Make a memory of a collection as tutorials of place recognition with Milvus make it.

    Its entities have the fields ``image_name`` (text) and, where they are there, ``vertex_id``,
    ``pose_x`` and ``pose_y`` (metres), and one float vector, whatever its name. They become places
    of one session in the order of vertex ids and names. The collection stays as it is.

    Args:
        source: ``http://host:port/collection``.
        target: Address of the new memory.
        session: Its session.
        encoder: Card of the encoder of the vectors; without it images cannot be encoded for the
            memory.
        progress: Called with places done and places in all.

    Returns:
        The memory, open.

    Raises:
        MemoryFormatError: The collection has no image names, or not one vector an entity.
        MemoryLockedError: There is a memory at the target.
    """
    from placememory.memory.stores.milvus_client import read_collection

    vector, entities = read_collection(source, _FIELDS)
    if vector is None or (entities and "image_name" not in entities[0]):
        raise MemoryFormatError(
            f"{show_address(source)}: a collection to import has image_name and one float vector"
        )
    entities.sort(key=lambda e: (e.get("vertex_id", -1), e["image_name"]))
    if unposed := all(_position(entity) in (None, (0.0, 0.0)) for entity in entities):
        _log.warning("%s: all poses are 0 or missing; they are left out", show_address(source))
    dim = len(entities[0][vector]) if entities else 1
    card = encoder or EncoderCard(name=UNKNOWN_ENCODER, dim=dim)
    task = f"the import of {show_address(source)}"
    memory = PlaceMemory.create(target, encoder=card, unfinished=task)
    try:
        for start in range(0, len(entities), BATCH):
            part = entities[start : start + BATCH]
            places = [_place(e, session, start + i, unposed) for i, e in enumerate(part)]
            memory.add(places, np.array([entity[vector] for entity in part], np.float32))
            if progress is not None:
                progress(start + len(part), len(entities))
        memory.finish()
    except BaseException:
        memory.close()
        raise
    return memory


def _position(entity: dict[str, Any]) -> tuple[float, float] | None:
    x, y = (float(entity.get(name, np.nan)) for name in ("pose_x", "pose_y"))
    return (x, y) if np.isfinite((x, y)).all() else None


def _place(entity: dict[str, Any], session: str, index: int, unposed: bool) -> Place:
    position = None if unposed else _position(entity)
    vertex = entity.get("vertex_id")
    return Place(
        session,
        index,
        entity["image_name"],
        vertex_id=None if vertex in (None, -1) else vertex,
        pose=None if position is None else Pose(*position),
    )
