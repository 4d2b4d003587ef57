"""Milvus's own index: built if need be, its recall measured against exact search."""

from __future__ import annotations

from typing import get_args

from placememory.cli._common import say
from placememory.errors import SettingError
from placememory.memory import PlaceMemory, index_recall
from placememory.memory.stores import StoreIndex


def use_index(uri: str, kind: str) -> None:
    """Build the index unless the store has it, and print its recall against exact search.

    Raises:
        SettingError: The kind is unknown, or the store is no Milvus.
    """
    for known in get_args(StoreIndex):
        if kind == known:
            with PlaceMemory.open(uri) as memory:
                if not memory.has_index or (memory.manifest.index or "flat") != known:
                    memory.make_index(known)
                say(str(index_recall(memory)))
            return
    raise SettingError(f"--index is {', '.join(get_args(StoreIndex))}, not {kind!r}")
