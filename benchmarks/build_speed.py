"""Images a second of building against the plain recipe, and milliseconds of a query by engine.

The plain recipe is what one writes first: Pillow, the whole EfficientNet-Lite0 of timm in float32,
one image at a time. Images: the rendered sample building, 320x240 PNG. Run:

    python benchmarks/build_speed.py [ROUNDS]

On a machine with other work, GOMP_SPINCOUNT=0 keeps torch's threads from waiting in a loop, which
costs torch most there.
"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from _tables import machine, markdown

from placememory import Frame, PlaceMemory, list_frames
from placememory.encoders import from_card
from placememory.samples import render_building

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
WAYS = {
    "ONNX Runtime (the default)": ("cpu", "float32"),
    "OpenVINO": ("openvino", "float32"),
    "OpenVINO, bfloat16": ("openvino", "bfloat16"),
    "torch": ("torch", "float32"),
    "torch, bfloat16": ("torch", "bfloat16"),
}
PLAIN = "plain recipe (decoding and encoding only)"


def main() -> None:
    """Print the tables."""
    print(f"{machine()}\n")
    ways = {
        name: way
        for name, way in WAYS.items()
        if way[0] != "openvino" or importlib.util.find_spec("openvino")
    }
    with tempfile.TemporaryDirectory() as folder:
        building = render_building(Path(folder) / "building")
        frames = list_frames(building.mapping)
        queries = [frame.image() for frame in list_frames(building.query)[:60]]
        plain = PlainRecipe()
        rates: dict[str, list[float]] = {name: [] for name in (*ways, PLAIN)}
        for round_ in range(ROUNDS):  # in turn, so that all see the same machine
            for number, (name, way) in enumerate(ways.items()):
                uri = Path(folder) / f"{number}-{round_}"
                rates[name].append(build_elsewhere(uri, building.mapping, *way))
            rates[PLAIN].append(plain.images_per_second(frames))
        rows = [
            [
                name,
                f"{statistics.median(r):.0f}",
                f"{min(r):.0f} to {max(r):.0f}",
                f"{statistics.median(np.divide(r, rates[PLAIN])):.1f}",
            ]
            for name, r in rates.items()
        ]
        print(markdown(("build", "images/s (median)", "range", "against the plain recipe"), rows))
        print(f"\n{len(frames)} images, decoding, fitting and writing included, {ROUNDS} rounds\n")
        print(query_table(Path(folder) / "0-0", ways, queries))
        image = list_frames(building.query)[0].name
        command = ("-m", "placememory", "query", f"{folder}/0-0", f"{building.query}/{image}")
        print(f"\n`placememory query` of one image: {seconds_of(*command):.2f} s")
    added = seconds_of("-c", "import placememory") - seconds_of("-c", "pass")
    print(f"import placememory: {1e3 * added:.0f} ms more than an empty Python")


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


def build_elsewhere(uri: Path, images: Path, device: str, precision: str) -> float:
    """Images a second of a build in a process of its own, imports not counted."""
    code = (
        "import sys, placememory as pm\n"
        "uri, images, device, precision = sys.argv[1:]\n"
        "encoder = pm.create_encoder('lite-vlad', device=device, precision=precision)\n"
        "with pm.build(uri, images, encoder=encoder) as memory:\n"
        "    print(memory.report.images_per_second)\n"
    )
    arguments = (str(uri), str(images), device, precision)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def query_table(
    uri: Path, ways: Mapping[str, tuple[str, str]], images: Sequence[np.ndarray]
) -> str:
    """Milliseconds of an image with everything loaded; image by image, all ways in turn."""
    with PlaceMemory.open(uri, readonly=True) as memory:
        encoders = {
            name: from_card(memory.card, device=device, precision=precision)
            for name, (device, precision) in ways.items()
        }
        taken: dict[str, list[float]] = {name: [] for name in encoders}
        found: dict[str, list[np.ndarray]] = {name: [] for name in encoders}
        for image in (*images[:3], *images):
            for name, encoder in encoders.items():
                begin = time.perf_counter()
                found[name].append(encoder.encode([image])[0])
                taken[name].append(1e3 * (time.perf_counter() - begin))
    first = np.stack(next(iter(found.values())))
    torch_ms = np.array(taken["torch"][3:])
    rows = [
        [
            name,
            f"{statistics.median(taken[name][3:]):.1f}",
            f"{np.quantile(taken[name][3:], 0.95):.1f}",
            f"{statistics.median(np.array(taken[name][3:]) / torch_ms):.2f}",
            f"{np.abs(np.stack(found[name]) - first).max():.0e}",
        ]
        for name in encoders
    ]
    heads = ("encode an image", "ms (median)", "ms, 95 %", "of torch's time", "largest difference")
    return markdown(heads, rows)


def seconds_of(*arguments: str) -> float:
    """Seconds of a Python program with these arguments, median of ten."""
    seconds = []
    for _ in range(10):
        begin = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
