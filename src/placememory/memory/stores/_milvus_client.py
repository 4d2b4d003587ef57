"""Connections to Milvus: a Lite engine that we start in this process, or a server."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from placememory._extras import require
from placememory.errors import (
    MemoryDamagedError,
    MemoryFormatError,
    MemoryLockedError,
    MemoryStoreError,
    SettingError,
)

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
def milvus_errors(uri: str) -> Iterator[None]:
    """Milvus's errors as ours."""
    milvus = require("pymilvus.exceptions", extra="milvus", purpose=_PURPOSE)
    try:
        yield
    except milvus.MilvusException as error:
        raise MemoryStoreError(f"{uri}: Milvus says: {error.message}") from error


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
    except (lite.MilvusLiteError, OSError, ValueError) as error:
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
    parts = urlsplit(uri)
    collection = parts.path.strip("/")
    if not collection.isidentifier():
        raise SettingError(
            f"{uri}: the address of a Milvus memory is http://host:port/collection, where the "
            "collection is a name of letters, digits and underscores"
        )
    token = os.environ.get("PLACEMEMORY_MILVUS_TOKEN", "")
    if parts.username:
        token = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    address = f"{parts.scheme}://{parts.hostname}:{parts.port or 19530}"
    client = _client(uri, uri=address, token=token)
    return Connection(client, collection, lite=False, close=client.close)


def _client(shown: str, **arguments: Any) -> Any:
    pymilvus = require("pymilvus", extra="milvus", purpose=_PURPOSE)
    # It prints a traceback for every refusal; we raise each one with its message instead.
    logging.getLogger("pymilvus.decorators").setLevel(logging.CRITICAL)
    try:
        return pymilvus.MilvusClient(timeout=_TIMEOUT_SECONDS, **arguments)
    except pymilvus.MilvusException as error:
        raise MemoryStoreError(f"{shown}: no Milvus server answers ({error.message})") from error
