"""Images a second of building, and milliseconds of a query, against the plain recipe, in one run.

The plain recipe is what one writes first: Pillow, the whole EfficientNet-Lite0 of timm in float32,
one image at a time. Images: the rendered sample building, 320x240 PNG. Run:

    python benchmarks/build_speed.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from _tables import machine, markdown

from placememory import Frame, PlaceMemory, create_encoder, list_frames
from placememory.encoders import from_card
from placememory.memory.build import build
from placememory.samples import render_building

ROUNDS = 5


def main() -> None:
    """Print the tables."""
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        building = render_building(Path(folder) / "building")
        frames = list_frames(building.mapping)
        queries = [frame.image() for frame in list_frames(building.query)[:60]]
        plain = PlainRecipe()
        rates: dict[str, list[float]] = {"float32": [], "bfloat16": [], "plain recipe": []}
        for round_ in range(ROUNDS):  # in turn, so that all see the same machine
            for precision in ("float32", "bfloat16"):
                uri = Path(folder) / f"{precision}-{round_}"
                encoder = create_encoder("lite-vlad", precision=precision)
                with build(uri, frames, encoder=encoder) as memory:
                    assert memory.report is not None
                    rates[precision].append(memory.report.images_per_second)
            rates["plain recipe"].append(plain.images_per_second(frames))
        rows = [
            [
                f"build, {name}" if name in ("float32", "bfloat16") else f"{name} (encoding only)",
                f"{statistics.median(r):.0f}",
                f"{min(r):.0f} to {max(r):.0f}",
                f"{statistics.median(np.divide(r, rates['plain recipe'])):.1f}",
            ]
            for name, r in rates.items()
        ]
        print(markdown(("what", "images/s (median)", "range", "against the plain recipe"), rows))
        print(f"\n{len(frames)} images, decoding, fitting and writing included, {ROUNDS} rounds\n")
        print(query_table(Path(folder), queries))
    print(f"\nimport placememory: {import_milliseconds():.0f} ms more than an empty Python")


class PlainRecipe:
    """The whole network in float32, one image at a time."""

    def __init__(self) -> None:
        self.network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()

    def images_per_second(self, frames: Sequence[Frame]) -> float:
        """Decode and run every frame."""
        begin = time.perf_counter()
        with torch.no_grad():
            for frame in frames:
                x = torch.from_numpy(frame.image()).permute(2, 0, 1)[None].float() / 128.0 - 1.0
                self.network.forward_features(x)
        return len(frames) / (time.perf_counter() - begin)


def query_table(folder: Path, images: Sequence[np.ndarray]) -> str:
    """Milliseconds of a query with everything loaded."""
    rows = []
    for precision in ("float32", "bfloat16"):
        with PlaceMemory.open(folder / f"{precision}-0", readonly=True) as memory:
            encoder = from_card(memory.card, precision=precision)
            encoder.encode(images[:3])
            encoding, searching = [], []
            for image in images:
                begin = time.perf_counter()
                descriptor = encoder.encode([image])
                middle = time.perf_counter()
                memory.search(descriptor, k=5)
                encoding.append(1e3 * (middle - begin))
                searching.append(1e3 * (time.perf_counter() - middle))
        rows.append(
            [
                precision,
                f"{statistics.median(encoding):.1f}",
                f"{np.quantile(encoding, 0.95):.1f}",
                f"{statistics.median(searching):.2f}",
            ]
        )
    return markdown(("query", "encode ms", "encode ms, 95 %", "search ms (120 places)"), rows)


def import_milliseconds() -> float:
    """What ``import placememory`` adds to the start of Python, median of ten."""
    added = []
    for _ in range(10):
        seconds = []
        for code in ("pass", "import placememory"):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            seconds.append(time.perf_counter() - begin)
        added.append(1e3 * (seconds[1] - seconds[0]))
    return statistics.median(added)


if __name__ == "__main__":
    main()
