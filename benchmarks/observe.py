"""The online step of the localizer without encoder, and a soak of 10,000 frames.

Descriptors are random; the encoder only hands them out. The product of the memory's descriptors
with a vector, which every exact search needs, is measured beside it. Run:

    python benchmarks/observe.py
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _tables import machine, markdown

from placememory import Frame, Localizer, PlaceMemory, Pose
from placememory.encoders import Encoder, EncoderCard, Preprocess

SIZES = ((10_000, 512), (10_000, 3584))
FRAMES, SOAK = 300, 10_000
IMAGE = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)


class Handed(Encoder):
    """Hands out rows that were made before."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows, self.next = rows, 0
        preprocess = Preprocess(longest=8)
        self.card = EncoderCard(name="handed", dim=rows.shape[1], preprocess=preprocess)

    @property
    def module(self) -> Any:
        """There is none."""
        raise NotImplementedError

    def embed(self, x: Any) -> Any:
        """There is no network."""
        raise NotImplementedError

    def encode(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """The next row for each image."""
        self.next = (self.next + len(images)) % len(self.rows)
        return self.rows[self.next : self.next + len(images)]


def main() -> None:
    """Print the tables."""
    print(f"{machine()}\n")
    rows = []
    for places, dim in SIZES:
        for matcher in (None, "band-dp"):
            rows.append([f"{places:,} x {dim}", matcher or "-", *_step(places, dim, matcher)])
    columns = ("map", "matcher", "product ms", "step ms", "95 % ms", "fuse ms")
    print(markdown(columns, rows))
    print(f"\n{_soak()}")


def _made(places: int, dim: int, folder: str) -> tuple[PlaceMemory, Handed]:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(places, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    asked = rows + (0.8 / np.sqrt(dim)) * rng.normal(size=rows.shape).astype(np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    encoder = Handed(asked.astype(np.float32))
    memory = PlaceMemory.create(Path(folder) / "m.memory", encoder=encoder.card)
    frames = [Frame(f"{i}", "run", i, pose=Pose.from_yaw(0.5 * i, 0.0, 0.0)) for i in range(places)]
    memory.add(frames, rows)
    return memory, encoder


def _frame(i: int) -> Frame:
    return Frame(f"{i}", "query", i, stamp=i * 100_000_000, read=lambda: IMAGE)


def _step(places: int, dim: int, matcher: str | None) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        memory, encoder = _made(places, dim, folder)
        localizer = Localizer(memory, encoder, matcher=matcher)
        steps, products, fused = [], [], []
        for i in range(FRAMES):
            started = time.perf_counter()
            estimate = localizer.observe(_frame(i))
            steps.append(time.perf_counter() - started)
            fused.append(estimate.milliseconds["fuse"])
        matrix = np.ascontiguousarray(memory.descriptors)
        for row in encoder.rows[:FRAMES]:
            started = time.perf_counter()
            _ = matrix @ row
            products.append(time.perf_counter() - started)
        memory.close()
    late = sorted(steps)[int(0.95 * len(steps))]
    values = (statistics.median(products), statistics.median(steps), late)
    return [*(f"{1e3 * value:.2f}" for value in values), f"{statistics.median(fused):.2f}"]


def _soak() -> str:
    with tempfile.TemporaryDirectory() as folder:
        memory, encoder = _made(1000, 64, folder)
        localizer = Localizer(memory, encoder, matcher="band-dp")
        times, kept = np.zeros(SOAK), []
        tracemalloc.start()
        for i in range(SOAK):
            started = time.perf_counter()
            localizer.observe(_frame(i))
            times[i] = time.perf_counter() - started
            if i in (SOAK // 10, SOAK - 1):
                gc.collect()
                kept.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        memory.close()
    first, last = (1e3 * float(np.median(part)) for part in (times[:1000], times[-1000:]))
    return (
        f"{SOAK:,} frames on 1,000 places: {first:.2f} ms a frame in the first thousand, "
        f"{last:.2f} in the last; memory {kept[0] / 1e6:.2f} MB after a tenth, "
        f"{kept[1] / 1e6:.2f} MB at the end"
    )


if __name__ == "__main__":
    main()
