"""From an address to a store."""

from __future__ import annotations

import os
from pathlib import Path

from placememory.errors import MemoryLockedError, MemoryNotFoundError, SettingError
from placememory.memory.stores.first_format import FIRST_FORMAT, FirstFormatStore
from placememory.memory.stores.port import Manifest, Store
from placememory.memory.stores.resident import RESIDENT, ResidentStore
from placememory.memory.stores.sqlite import SqliteStore, file_format

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
        SettingError: This is no address.
    """
    address = _check_address(uri)
    if is_milvus(address):
        from placememory.memory.stores.milvus import MilvusStore

        return MilvusStore(address, readonly=readonly)
    if address == RESIDENT:
        raise MemoryNotFoundError(f"{uri}: such a memory cannot be opened again; create it")
    path = Path(uri)
    if file_format(path) == FIRST_FORMAT:
        return FirstFormatStore(path)
    return SqliteStore(path, readonly=readonly)


def create_store(uri: str | Path, manifest: Manifest, card: bytes) -> Store:
    """Make a new, empty store.

    Raises:
        MemoryLockedError: There is a memory at this address already.
        SettingError: This is no address.
    """
    address = _check_address(uri)
    if is_milvus(address):
        from placememory.memory.stores.milvus import MilvusStore

        return MilvusStore.create(address, manifest, card)
    if address == RESIDENT:
        return ResidentStore(manifest, card)
    if os.path.exists(uri):  # noqa: PTH110 - false, not an error, for a name that is too long
        raise MemoryLockedError(f"{uri}: there is a file already; open it or remove it")
    return SqliteStore.create(Path(uri), manifest, card)


def is_outdated(path: Path) -> bool:
    """Whether this is a memory file of an earlier version, which is read but not written.

    Raises:
        MemoryNotFoundError: There is no such file.
        MemoryFormatError: It is no memory.
    """
    return file_format(path) == FIRST_FORMAT


def store_exists(uri: str | Path) -> bool:
    """Whether there is a memory at this address."""
    address = _check_address(uri)
    if is_milvus(address):
        from placememory.memory.stores.milvus import MilvusStore

        return MilvusStore.exists(address)
    return os.path.exists(uri)  # noqa: PTH110 - to open a folder says what is wrong with it


def _check_address(uri: str | Path) -> str:
    if not isinstance(uri, str | Path):
        raise SettingError(
            f"the address of a memory is a path or text, not {type(uri).__name__}; give the uri of "
            "an open memory, after closing it"
        )
    return str(uri)
