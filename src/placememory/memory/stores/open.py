"""From an address to a store."""

from __future__ import annotations

import os
from pathlib import Path

from placememory.errors import MemoryLockedError, MemoryNotFoundError
from placememory.memory.stores.port import Manifest, Store
from placememory.memory.stores.resident import RESIDENT, ResidentStore
from placememory.memory.stores.sqlite import SqliteStore

LITE = "milvus-lite:"
_SERVER = ("http://", "https://")


def is_milvus(uri: str) -> bool:
    """Whether an address means Milvus, embedded or served.

    Example:
        >>> is_milvus("milvus-lite:office"), is_milvus("office.memory")
        (True, False)
    """
    return uri.startswith((LITE, *_SERVER))


def open_store(uri: str | Path, *, readonly: bool = False) -> Store:
    """Open an existing store.

    Raises:
        MemoryNotFoundError: There is none at this address.
        MemoryFormatError: What is there is no memory, or one of another version.
        MemoryLockedError: Another process holds a Milvus Lite folder.
    """
    if is_milvus(str(uri)):
        from placememory.memory.stores.milvus import MilvusStore

        return MilvusStore(str(uri), readonly=readonly)
    if str(uri) == RESIDENT:
        raise MemoryNotFoundError(f"{uri}: such a memory cannot be opened again; create it")
    return SqliteStore(Path(uri), readonly=readonly)


def create_store(uri: str | Path, manifest: Manifest, card: bytes) -> Store:
    """Make a new, empty store.

    Raises:
        MemoryLockedError: There is a memory at this address already.
    """
    if is_milvus(str(uri)):
        from placememory.memory.stores.milvus import MilvusStore

        return MilvusStore.create(str(uri), manifest, card)
    if str(uri) == RESIDENT:
        return ResidentStore(manifest, card)
    if os.path.exists(uri):  # noqa: PTH110 - false, not an error, for a name that is too long
        raise MemoryLockedError(f"{uri}: there is a file already; open it or remove it")
    return SqliteStore.create(Path(uri), manifest, card)


def store_exists(uri: str | Path) -> bool:
    """Whether there is a memory at this address."""
    if is_milvus(str(uri)):
        from placememory.memory.stores.milvus import MilvusStore

        return MilvusStore.exists(str(uri))
    return os.path.exists(uri)  # noqa: PTH110 - to open a folder says what is wrong with it
