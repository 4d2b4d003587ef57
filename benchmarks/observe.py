"""The online step of the Localizer over ready descriptors, and a soak of 10,000 frames.

Descriptors are random. The product of the memory's descriptors with a vector, which every exact
search needs, is measured beside each step, in turn. Run:

    OMP_NUM_THREADS=1 python benchmarks/observe.py
"""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc

import numpy as np
from _tables import machine, markdown
from numpy.typing import NDArray

from placememory import Frame, Localizer, PlaceMemory, Pose
from placememory.encoders import EncoderCard

SIZES = ((1_000, 512), (10_000, 512), (10_000, 3584))
SYSTEMS = ((None, "bayes"), ("band-dp", "bayes"), ("seqslam", None), (None, None))
FRAMES, SOAK = 300, 10_000


def main() -> None:
    """Print the tables."""
    print(f"{machine()}\n")
    rows = []
    for places, dim in SIZES:
        memory, asked = made(places, dim)
        for matcher, fusion in SYSTEMS:
            cells = step(memory, asked, matcher, fusion)
            rows.append([f"{places:,} x {dim}", matcher or "-", fusion or "-", *cells])
    columns = ("map", "matcher", "fusion", "product ms", "step ms", "ratio", "frames a second")
    print(markdown(columns, rows))
    print(f"\n{soak()}")


def made(places: int, dim: int) -> tuple[PlaceMemory, NDArray[np.float32]]:
    """A memory of a straight run, and the descriptors of a run over it."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(places, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    asked = rows + (0.8 / np.sqrt(dim)) * rng.normal(size=rows.shape).astype(np.float32)
    memory = PlaceMemory.create(":memory:", encoder=EncoderCard(name="random", dim=dim))
    memory.add(
        [Frame(f"{i}", "run", i, pose=Pose.from_yaw(0.5 * i, 0.0, 0.0)) for i in range(places)],
        rows,
    )
    return memory, asked.astype(np.float32)


def step(
    memory: PlaceMemory, asked: NDArray[np.float32], matcher: str | None, fusion: str | None
) -> list[str]:
    """Medians of a product, a step, their ratio, and frames a second."""
    localizer = Localizer(memory, matcher=matcher, fusion=fusion)
    matrix, steps, products = memory.descriptors, [], []
    for i in range(FRAMES):
        products.append(seconds(lambda row=asked[i]: matrix @ row))
        steps.append(seconds(lambda i=i: localizer.observe(_frame(i), descriptor=asked[i])))
    ratio = statistics.median(b / a for a, b in zip(products, steps, strict=True))
    values = statistics.median(products), statistics.median(steps)
    return [
        *(f"{1e3 * value:.2f}" for value in values),
        f"{ratio:.1f}",
        f"{FRAMES / sum(steps):.0f}",
    ]


def soak() -> str:
    """Time and memory of the first and of the last of many frames."""
    memory, asked = made(1000, 64)
    localizer = Localizer(memory, matcher="band-dp")
    times, held = np.zeros(SOAK), []
    tracemalloc.start()
    for i in range(SOAK):
        times[i] = seconds(lambda i=i: localizer.observe(_frame(i), descriptor=asked[i % 1000]))
        if i in (SOAK // 10, SOAK - 1):
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    first, last = (1e3 * float(np.median(part)) for part in (times[:1000], times[-1000:]))
    return (
        f"{SOAK:,} frames on 1,000 places: {first:.2f} ms a frame in the first thousand, "
        f"{last:.2f} in the last; memory {held[0] / 1e6:.2f} MB after a tenth, "
        f"{held[1] / 1e6:.2f} MB at the end"
    )


def seconds(call: object) -> float:
    """Of one call."""
    begin = time.perf_counter()
    call()  # type: ignore[operator]
    return time.perf_counter() - begin


def _frame(i: int) -> Frame:
    return Frame(f"{i}", "query", i, stamp=i * 100_000_000)


if __name__ == "__main__":
    main()
