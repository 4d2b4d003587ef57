"""Stores: where a memory is kept durably. The address decides which one.

- a path: one SQLite file, the embedded default;
- ``milvus-lite:PATH``: Milvus Lite, a folder of its own;
- ``http://host:port/collection`` (or ``https``): a Milvus server or cluster; a token is taken from
  ``user:password@`` in the address or from ``PLACEMEMORY_MILVUS_TOKEN``.
"""

from placememory.memory.stores.address import show_address
from placememory.memory.stores.open import create_store, is_outdated, open_store, store_exists
from placememory.memory.stores.port import Manifest, Store, StoreIndex

__all__ = [
    "Manifest",
    "Store",
    "StoreIndex",
    "create_store",
    "is_outdated",
    "open_store",
    "show_address",
    "store_exists",
]
