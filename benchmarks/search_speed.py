"""Search over a memory against one matrix-vector product of the same size, in one run.

python benchmarks/search_speed.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _tables import machine, markdown

from placememory import Frame, PlaceMemory
from placememory.encoders import EncoderCard

SIZES = ((1_000, 3584), (10_000, 3584), (100_000, 512))
ROUNDS = 60


def main() -> None:
    """Print the table."""
    print(f"{machine()}\n")
    rows = [measure(count, dim) for count, dim in SIZES]
    columns = ("places", "dim", "product ms", "search ms", "ratio (median of pairs)", "open s")
    print(markdown(columns, rows))


def measure(count: int, dim: int) -> list[object]:
    """Time both in turn, pair by pair, on a memory of one size."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(count, dim)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    queries = matrix[rng.integers(count, size=ROUNDS)] + 0.01
    with tempfile.TemporaryDirectory() as folder:
        uri = Path(folder) / "memory"
        with PlaceMemory.create(uri, encoder=EncoderCard(name="random", dim=dim)) as memory:
            for start in range(0, count, 2000):
                frames = [Frame(f"{i}.png", "s", i) for i in range(start, min(start + 2000, count))]
                memory.add(frames, matrix[start : start + 2000])
        begin = time.perf_counter()
        with PlaceMemory.open(uri, readonly=True) as memory:
            opened = time.perf_counter() - begin
            rows = memory.descriptors
            pairs = [
                (timed(lambda q=q: rows @ q), timed(lambda q=q: memory.search(q, k=10)))
                for q in queries
            ]
    pairs = pairs[5:]
    return [
        f"{count:,}",
        dim,
        f"{1e3 * statistics.median(a for a, _ in pairs):.2f}",
        f"{1e3 * statistics.median(b for _, b in pairs):.2f}",
        f"{statistics.median(b / a for a, b in pairs):.2f}",
        f"{opened:.2f}",
    ]


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
