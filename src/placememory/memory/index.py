"""Indexes of Milvus stores: built, and their recall measured against exact search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from placememory._types import Rows, Vectors
from placememory.errors import SettingError
from placememory.frames import sample_evenly
from placememory.memory.place_memory import PlaceMemory
from placememory.memory.rows import PlaceRows
from placememory.memory.search import top_k
from placememory.memory.stores import StoreIndex

_PART = 4096


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
    rows = memory.rows
    queries = rows.gather(sample_evenly(len(memory), sample))
    found = memory.search(queries, k, using="store")
    columns, same = rows.columns, 0
    for exact, candidates in zip(_exact(rows, queries, k), found, strict=True):
        sessions = [columns.sessions[i] for i in columns.session[exact].tolist()]
        ids = set(zip(sessions, columns.index[exact].tolist(), strict=True))
        same += len(ids & {candidate.place.id for candidate in candidates})
    total = min(k, len(memory)) * len(queries)
    return IndexRecall(
        memory.manifest.index or "flat",
        k,
        same / total if total else 1.0,
        len(queries),
        len(memory),
    )


def _exact(rows: PlaceRows, queries: Vectors, k: int) -> list[Rows]:
    """The k most similar rows of each query, of which never all are in this process."""
    best = [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries]
    for start in range(0, len(rows), _PART):
        part = rows.gather(np.arange(start, min(start + _PART, len(rows))))
        for i, (at, similarity) in enumerate(top_k(part, queries, k)):
            both = np.concatenate([best[i][0], at + start])
            scores = np.concatenate([best[i][1], similarity])
            order = np.lexsort((both, -scores))[:k]
            best[i] = both[order], scores[order]
    return [at for at, _ in best]


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
