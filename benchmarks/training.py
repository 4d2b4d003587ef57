"""What training gains: rendered buildings to train and judge on, the real sets beside them.

Renders buildings in several lights, trains the head of ``lite-net`` on some of them (its trunk is
frozen and runs once an image), and compares on buildings that were never seen and on the real
sequences: ``lite-vlad``, ``lite-net`` at its start and trained, ``lite-vlad-learned`` with the
trained features; and windows of five frames by ``lite-seq``, at the start and trained. Run:

    python benchmarks/training.py [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from _real import corridor, loop, tower
from _tables import machine, markdown

from placememory import create_encoder
from placememory.datasets import open_dataset
from placememory.encoders import Encoder, FittableEncoder
from placememory.frames import Frame, FrameImages
from placememory.metrics.paired import PairedDifference
from placememory.samples import render_traverses
from placememory.training import TrainingResult, read_training, train

TRAIN, VALIDATION, TEST = tuple(range(8)), (100, 101), (200, 201, 202)
FRAMES, TRAVERSES = 150, 4
RADIUS, TURN = 1.5, np.radians(40.0)
Hits = np.ndarray[Any, np.dtype[np.float64]]


def main() -> None:
    """Print the tables."""
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    print(f"{machine()}\n", flush=True)
    started = time.perf_counter()
    buildings = {
        part: [str(path) for path in rendered(given / part, seeds)]
        for part, seeds in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST))
    }
    print(f"rendered in {time.perf_counter() - started:.0f} s", flush=True)
    frames = trained(given, buildings, "lite-net", 1)
    windows = trained(given, buildings, "lite-seq", 5)
    print(f"\n{frames}\n\n{windows}\n\nall but the comparison: "
          f"{(time.perf_counter() - started) / 60:.1f} minutes\n", flush=True)  # fmt: skip
    compared(frames, buildings["test"])


def rendered(folder: Path, seeds: tuple[int, ...]) -> list[Path]:
    """Buildings, those that are there already taken as they are."""
    return render_traverses(folder, seeds=seeds, traverses=TRAVERSES, frames=FRAMES)


def trained(
    folder: Path, buildings: dict[str, list[str]], name: str, length: int
) -> TrainingResult:
    """Train a head on rendered buildings; the best epoch is chosen on others."""
    values = {
        "name": "rendered",
        "output": str(folder / "runs"),
        "encoder": {"name": name, "initialise": True},
        "data": {
            "train": [{"root": root} for root in buildings["train"]],
            "validation": [{"root": root} for root in buildings["validation"]],
            "test": [{"root": root} for root in buildings["test"]],
            "length": length,
            "positive_radius": 1.0,
            "negative_radius": 5.0,
            "heading": 30.0,
            "strategy": "last-frame",
            "validation_radius": RADIUS,
            "validation_strategy": "last-frame",
        },
        "mining": {"places": 16, "views": 4},
        "loss": {"kind": "multi-similarity", "alpha": 2.0, "beta": 50.0, "base": 0.5},
        "optimization": {
            "lr": 1e-3, "weight_decay": 0.0, "warmup": 0.2, "epochs": 5, "steps_per_epoch": 20,
        },
        "running": {"cache_trunk": True, "tensorboard": False},
    }  # fmt: skip
    config = folder / f"{name}.yaml"
    config.write_text(yaml.safe_dump(values))
    return train(read_training(config))


def compared(result: TrainingResult, test: list[str]) -> None:
    """R@1 of single frames, with the paired difference to ``lite-vlad``."""
    names = ("lite-vlad", "lite-net, shipped", "lite-net, trained now",
             "lite-vlad-learned, shipped", "lite-vlad-learned, trained now")  # fmt: skip
    rows: list[list[str]] = []
    for what, sets in (("rendered test", list(buildings_of(test))), *real()):
        hits = [np.concatenate([hits_of(e, *s) for s in sets]) for e in encoders(result.weights)]
        for name, own in zip(names, hits, strict=True):
            metric = PairedDifference(name, names[0])
            metric.update(own, hits[0])
            found = metric.compute().difference
            difference = (
                f"{100 * found.value:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
            )
            rows.append([what, str(len(own)), name, f"{100 * own.mean():.1f}", difference])
        print(f"{what} done", file=sys.stderr, flush=True)
    print(markdown(("set", "queries", "encoder", "R@1 %", "minus lite-vlad"), rows))


def encoders(weights: Path) -> Iterator[Encoder]:
    """Those that are compared, in the order of their names."""
    yield create_encoder("lite-vlad")
    for name in ("lite-net", "lite-vlad-learned"):
        yield create_encoder(name)
        yield create_encoder(name, weights)


def hits_of(
    encoder: Encoder, reference: list[Frame], query: list[Frame], right: np.ndarray[Any, Any]
) -> Hits:
    """Whether each query's most similar reference frame is right; a vocabulary is the map's."""
    if isinstance(encoder, FittableEncoder):
        encoder, known = encoder.fit_encode(FrameImages(reference))
    else:
        known = encoder.encode(FrameImages(reference))
    first = (encoder.encode(FrameImages(query)) @ known.T).argmax(axis=1)
    return right[np.arange(len(query)), first].astype(np.float64)


def buildings_of(roots: list[str]) -> Iterator[tuple[list[Frame], list[Frame], Any]]:
    """First traverse and the others of each building; right is near and in the same direction."""
    for root in roots:
        dataset = open_dataset(None, root)
        runs = [dataset.traverse(split) for split in dataset.splits()]
        reference = list(runs[0].frames)
        query = [frame for run in runs[1:] for frame in run.frames]
        here, there = (np.array([(f.pose.x, f.pose.y, f.pose.yaw) for f in part if f.pose])
                       for part in (query, reference))  # fmt: skip
        apart = np.hypot(*(here[:, None, :2] - there[None, :, :2]).transpose(2, 0, 1))
        turned = np.abs(np.angle(np.exp(1j * (here[:, None, 2] - there[None, :, 2]))))
        right = (apart <= RADIUS) & (turned <= TURN)
        kept = np.flatnonzero(right.any(axis=1))
        yield reference, [query[i] for i in kept], right[kept]


def real() -> Iterator[tuple[str, list[tuple[list[Frame], list[Frame], Any]]]]:
    """The real sequences beside the checkout."""
    for sequence in (corridor(), loop(), tower(1)):
        right = np.array(
            [[sequence.right(q.name, r.name) for r in sequence.reference] for q in sequence.query]
        )
        kept = np.flatnonzero(right.any(axis=1))
        query = [sequence.query[i] for i in kept]
        yield sequence.name, [(sequence.reference, query, right[kept])]


if __name__ == "__main__":
    main()
