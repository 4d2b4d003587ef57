"""The online step of the sequence pipeline against one matrix-vector product, in one run.

python benchmarks/online_step.py

A step is everything after the encoder: the new column of distances, the nearest sequences pooled
from frames, and the match. The product is NumPy's ``A @ x`` in float32 over the same descriptors,
timed in turn with the steps, so that both see the same machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from _tables import machine, markdown
from numpy.typing import NDArray

from placememory.compat.casevpr.pipeline import SequencePipeline

Found = TypeVar("Found")
SIZES = ((10_000, 3584), (100_000, 512))
WINDOW, STEPS, WARM = 10, 150, 15
LONG, PART = 5000, 500
METHODS = (("adaptseq-v2", 5), ("band-dp", 5), ("band-dp", 0), ("seqslam", 5), ("seqslam", 0))


def main() -> None:
    """Print the tables."""
    print(f"{machine()}\n")
    print(f"Window of {WINDOW} frames; medians of {STEPS} steps, each beside a product:\n")
    columns = ("places", "dim", "matcher", "candidates", "product ms", "step ms", "ratio")
    rows = [row for count, dim in SIZES for row in measure(count, dim)]
    print(markdown(columns, rows))
    print(f"\n{LONG:,} frames through one pipeline, adaptseq-v2, 10,000 places x 512; the first")
    print(f"and the last {PART} steps, in ms and over a product with as many places:\n")
    columns = ("map", "first ms", "ratio", "last ms", "ratio", "MiB first", "MiB last")
    print(markdown(columns, [endurance(growing) for growing in (False, True)]))


def walk(count: int, dim: int, seed: int = 0) -> NDArray[np.float32]:
    """(count, dim) unit descriptors of a made-up route, neighbours alike."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, dim), dtype=np.float32)
    rows[1:] += 0.7 * rows[:-1]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def measure(count: int, dim: int) -> list[list[object]]:
    """A row of the table for each matcher, on a map of one size."""
    places, found = walk(count, dim), []
    noise = np.random.default_rng(1)
    for name, candidates in METHODS:
        pipeline = SequencePipeline(name, window=WINDOW, candidates=candidates)
        pipeline.add_reference(places)
        pipeline.freeze()
        start, pairs, right = count // 3, [], 0
        for i in range(WARM + STEPS):
            frame = places[start + i] + noise.normal(0, 0.5 / dim**0.5, dim).astype(np.float32)
            product, _ = timed(lambda x=frame: places @ x)
            step, result = timed(lambda x=frame, p=pipeline: p.query(x))
            pairs.append((product, step))
            right += result.matched == start + i
        if right < STEPS:
            raise SystemExit(f"{name} matched {right} of {STEPS}: the benchmark is wrong")
        products, steps = zip(*pairs[WARM:], strict=True)
        found.append(
            [
                f"{count:,}",
                dim,
                name,
                candidates,
                f"{1e3 * statistics.median(products):.2f}",
                f"{1e3 * statistics.median(steps):.2f}",
                f"{statistics.median(b / a for a, b in pairs[WARM:]):.2f}",
            ]
        )
    return found


def endurance(growing: bool) -> list[object]:
    """Time and memory of the first and of the last frames of a long run."""
    places, queries = walk(10_000, 512), walk(LONG, 512, seed=2)
    everything = np.concatenate([places, queries])
    pipeline = SequencePipeline("adaptseq-v2", window=WINDOW, growing=growing, exclusion=50)
    pipeline.add_reference(places)
    if not growing:
        pipeline.freeze()
    sizes, pairs = [], []
    for frame in queries:
        known = everything[: len(pipeline)]
        product, _ = timed(lambda x=frame, rows=known: rows @ x)
        pairs.append((product, timed(lambda x=frame: pipeline.query(x))[0]))
        sizes.append(pipeline.nbytes / 2**20)
    cells: list[object] = [f"grows to {len(pipeline):,}" if growing else "frozen"]
    for part in (pairs[WARM : WARM + PART], pairs[-PART:]):
        cells.append(f"{1e3 * statistics.median(step for _, step in part):.2f}")
        cells.append(f"{statistics.median(step / product for product, step in part):.2f}")
    return [*cells, f"{sizes[WARM]:.1f}", f"{sizes[-1]:.1f}"]


def timed(call: Callable[[], Found]) -> tuple[float, Found]:
    """Seconds of one call, and what it gave."""
    begin = time.perf_counter()
    found = call()
    return time.perf_counter() - begin, found


if __name__ == "__main__":
    main()
