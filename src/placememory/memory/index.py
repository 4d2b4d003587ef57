"""Indexes of Milvus stores: built, and their recall measured against exact search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from placememory.errors import SettingError
from placememory.frames import sample_evenly
from placememory.memory.place_memory import PlaceMemory
from placememory.memory.stores import StoreIndex


@dataclass(frozen=True, slots=True)
class IndexRecall:
    """How much of the exact answer an index finds.

    Attributes:
        index: Kind of the index.
        k: Candidates compared.
        recall: Share of the exact candidates that it found, 0 to 1.
        queries: Places asked for, evenly spaced.
        places: Places in the memory.
    """

    index: str
    k: int
    recall: float
    queries: int
    places: int

    def __str__(self) -> str:
        """One line."""
        return (
            f"index {self.index}: recall@{self.k} {100 * self.recall:.1f} % against exact search "
            f"({self.queries} of {self.places} places as queries)"
        )


def index_recall(memory: PlaceMemory, *, k: int = 10, sample: int = 200) -> IndexRecall:
    """Measure a Milvus store's own index against exact search.

    Args:
        memory: Open memory in a Milvus store.
        k: Candidates compared.
        sample: Places to ask for, at most.

    Raises:
        SettingError: The store has no index of its own.
    """
    queries = memory.descriptors[sample_evenly(len(memory), sample)]
    exact = memory.search(queries, k)
    found = memory.search(queries, k, using="store")
    same = sum(
        len({c.place.id for c in a} & {c.place.id for c in b})
        for a, b in zip(exact, found, strict=True)
    )
    total = sum(len(candidates) for candidates in exact)
    return IndexRecall(
        memory.manifest.index or "flat",
        k,
        same / total if total else 1.0,
        len(queries),
        len(memory),
    )


def use_index(uri: str | Path, kind: str) -> IndexRecall:
    """Build an index of a Milvus store unless it has it, and measure its recall.

    Args:
        uri: Address of the memory.
        kind: ``flat``, ``ivf`` or ``hnsw``.

    Raises:
        SettingError: The kind is unknown, or the store has no index of its own.
    """
    for known in get_args(StoreIndex):
        if kind == known:
            with PlaceMemory.open(uri) as memory:
                if not memory.has_index or (memory.manifest.index or "flat") != known:
                    memory.make_index(known)
                return index_recall(memory)
    raise SettingError(f"the index is {', '.join(get_args(StoreIndex))}, not {kind!r}")
