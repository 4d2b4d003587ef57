"""The tutorial's comparison: ranks by exact search beside those of a Milvus index."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from placememory.cli._common import print_table, say
from placememory.memory import Candidate, PlaceMemory, copy


def compare_with_milvus(
    memory: PlaceMemory,
    images: Sequence[Path],
    descriptors: Sequence[Any],
    k: int,
    *,
    as_json: bool,
) -> list[dict[str, Any]]:
    """Print rank by rank: exact vertex and score, whether Milvus agrees, Milvus vertex and score.

    A memory in another store is copied into a temporary Milvus Lite with an IVF index, as in the
    tutorial. With ``as_json`` nothing is printed and both answers are returned.
    """
    queries = np.stack(descriptors)
    with _in_milvus(memory) as milvus:
        kind = milvus.manifest.index or "flat"
        exact = memory.search(queries, k)
        theirs = milvus.search(queries, k, using="store")
    if as_json:
        return [
            {
                "image": str(image),
                "index": kind,
                "exact": [candidate.to_dict() for candidate in ours],
                "milvus": [candidate.to_dict() for candidate in others],
            }
            for image, ours, others in zip(images, exact, theirs, strict=True)
        ]
    columns = ("rank", "exact vertex", "exact score", "same", "Milvus vertex", "Milvus score")
    agreed = total = 0
    for image, ours, others in zip(images, exact, theirs, strict=True):
        rows = []
        for i, candidate in enumerate(ours):
            other = others[i] if i < len(others) else None
            same = other is not None and other.place.id == candidate.place.id
            agreed, total = agreed + same, total + 1
            rows.append([candidate.rank, *_shown(candidate), "✓" if same else "✗", *_shown(other)])
        print_table(columns, rows, title=f"{image}: exact against Milvus ({kind})")
    say(f"{agreed} of {total} ranks are the same")
    return []


def _shown(candidate: Candidate | None) -> list[Any]:
    if candidate is None:
        return [None, None]
    vertex = candidate.place.vertex_id
    return [vertex if vertex is not None else candidate.place.name, candidate.similarity]


@contextmanager
def _in_milvus(memory: PlaceMemory) -> Iterator[PlaceMemory]:
    """The memory in a Milvus store: itself, or a temporary copy with an IVF index."""
    if memory.has_index:
        yield memory
        return
    with tempfile.TemporaryDirectory() as folder:
        say("copying into a temporary Milvus Lite …")
        with copy(memory.uri, f"milvus-lite:{folder}/compare") as copied:
            copied.make_index("ivf")
            yield copied
