"""Addresses of Milvus servers: read, and shown without their passwords."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from placememory.errors import SettingError

_SECRET = re.compile(r"^(https?://).*@", re.IGNORECASE | re.DOTALL)
_PORT = 19530
_FORM = (
    "the address of a Milvus memory is http://host:port/collection, where the collection is a name "
    "of letters, digits and underscores"
)


def show_address(uri: str | Path) -> str:
    """An address as it may be printed and stored: user and password are left out.

    Example:
        >>> show_address("http://me:secret@host:19530/office"), show_address("office.memory")
        ('http://***@host:19530/office', 'office.memory')
    """
    return _SECRET.sub(r"\1***@", str(uri))


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a collection is served.

    Attributes:
        url: Of the server, without user and password.
        collection: Name of the collection.
        token: ``user:password`` or a key; empty for none. It is never shown.
    """

    url: str
    collection: str
    token: str

    def __repr__(self) -> str:
        return f"ServerAddress({self.url!r}, {self.collection!r})"

    @classmethod
    def of(cls, uri: str) -> ServerAddress:
        """Read ``http://[user:password@]host[:port]/collection``.

        A token is taken from the address, or from ``PLACEMEMORY_MILVUS_TOKEN``.

        Raises:
            SettingError: Host, port or collection cannot be used.

        Example:
            >>> ServerAddress.of("http://me:secret@host/office")
            ServerAddress('http://host:19530', 'office')
        """
        shown = show_address(uri)
        try:
            parts = urlsplit(uri)
            port = parts.port
        except ValueError:
            raise SettingError(
                f"{shown}: host or port cannot be used; {_FORM} (write special letters of a "
                "password as %40 for @, %2F for /, %3A for :)"
            ) from None
        if not parts.hostname:
            raise SettingError(f"{shown}: there is no host; {_FORM}")
        collection = parts.path.strip("/")
        if not collection.isidentifier() or not collection.isascii():
            raise SettingError(f"{shown}: there is no collection; {_FORM}")
        token = os.environ.get("PLACEMEMORY_MILVUS_TOKEN", "")
        if parts.username or parts.password:
            token = ":".join(unquote(p) for p in (parts.username, parts.password) if p is not None)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return cls(f"{parts.scheme}://{host}:{port or _PORT}", collection, token)
