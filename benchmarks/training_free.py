"""What descriptors gain without training: windows, query expansion, sessions of one place fused.

    python benchmarks/prepare.py
    python benchmarks/training_free.py

Recall@1 of the default encoder on single frames, and the difference of each method on the same
frames with its 95 % interval (circular block bootstrap):

- *window mean*: the mean of the last five frames against that of the five places up to each place;
- *window expansion*: the mean of the query and the four frames before it, against single places;
- *place expansion*: the query and, weighed by similarity, its three nearest places;
- *sessions fused* (HOPS): a day's and another session's descriptors of one place, added up, against
  the places of both sessions side by side; only where a set has two sessions of one map.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _tables import machine, markdown
from numpy.typing import NDArray

import placememory as pm
from placememory.frames import read_image
from placememory.metrics.bootstrap import block_bootstrap

Rows = NDArray[np.float32]
SETS = Path(__file__).parent / "sets"
SINGLE = ("corridor", "rtabmap-loop", "ie-tower", "building-0", "building-0-night", "building-1")
FUSED = (("building-0", "night", "moved"), ("building-0", "moved", "night"),
         ("building-1", "night", "moved"), ("building-1", "moved", "night"))  # fmt: skip
WINDOW, NEIGHBOURS, POWER, RADIUS = 5, 3, 3.0, 2.0


def main() -> None:
    """Print the tables."""
    print(f"{machine()}\n")
    methods: dict[str, Callable[[Rows, Rows], NDArray[np.int64]]] = {
        "window mean": window_mean,
        "window expansion": window_expansion,
        "place expansion": place_expansion,
    }
    rows = []
    for name in SINGLE:
        known = Known(name)
        places, queries = known.describe()
        alone = known.correct(nearest(queries, places))
        cells = [name, str(len(alone)), f"{100 * alone.mean():.1f}"]
        for method in methods.values():
            cells.append(difference(known.correct(method(queries, places)), alone))
        rows.append(cells)
    print(markdown(("set", "queries", "alone", *methods), rows))
    print()
    rows = [fused(*three) for three in FUSED]
    print(markdown(("map, other session, query", "queries", "side by side", "fused"), rows))


class Known:
    """A set: images of map and run, and which places are right for each frame."""

    def __init__(self, name: str) -> None:
        folder = SETS / name
        with (folder / "manifest.csv").open(newline="") as file:
            lines = list(csv.DictReader(file))
        self.map = [line for line in lines if line["traverse"] == "map"]
        self.run = [line for line in lines if line["traverse"] == "run"]
        if not (folder / "positives.csv").exists():
            self.right = [self._near(line) for line in self.run]
        else:
            rows = {line["image"]: i for i, line in enumerate(self.map)}
            with (folder / "positives.csv").open(newline="") as file:
                listed = {
                    one["query"]: {rows[p] for p in one["places"].split() if p in rows}
                    for one in csv.DictReader(file)
                }
            self.right = [listed.get(line["image"], set()) for line in self.run]
        self.counted = [bool(places) for places in self.right]

    def _near(self, line: dict[str, str]) -> set[int]:
        at = np.array([line["x"], line["y"]], np.float64)
        places = np.array([[one["x"], one["y"]] for one in self.map], np.float64)
        return set(np.flatnonzero(np.linalg.norm(places - at, axis=1) <= RADIUS).tolist())

    def describe(self) -> tuple[Rows, Rows]:
        """Descriptors of the map and of the run."""
        with tempfile.TemporaryDirectory() as folder:
            images = [Path(line["image"]) for line in self.map]
            frames = [
                pm.Frame(path.name, "map", i, read=lambda path=path: read_image(path))
                for i, path in enumerate(images)
            ]
            with pm.build(Path(folder) / "m", frames) as memory:
                encoder = memory.encoder()
                queries = [
                    encoder.encode([read_image(Path(line["image"]))])[0] for line in self.run
                ]
                return np.array(memory.descriptors), np.array(queries)

    def correct(self, answers: NDArray[np.int64]) -> NDArray[np.float64]:
        """1 where an answer is right, of the frames that have a right place."""
        found = zip(answers.tolist(), self.right, self.counted, strict=True)
        return np.array([float(answer in right) for answer, right, counts in found if counts])


def nearest(queries: Rows, places: Rows) -> NDArray[np.int64]:
    """The most similar place of each query."""
    return np.argmax(queries @ places.T, axis=1)


def unit(rows: Rows) -> Rows:
    """Rows of length 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def trailing_mean(rows: Rows) -> Rows:
    """The mean of each row and the four before it."""
    return unit(
        np.stack([rows[max(0, i - WINDOW + 1) : i + 1].mean(axis=0) for i in range(len(rows))])
    )


def window_mean(queries: Rows, places: Rows) -> NDArray[np.int64]:
    """Windows against windows."""
    return nearest(trailing_mean(queries), trailing_mean(places))


def window_expansion(queries: Rows, places: Rows) -> NDArray[np.int64]:
    """Windows of queries against places."""
    return nearest(trailing_mean(queries), places)


def place_expansion(queries: Rows, places: Rows) -> NDArray[np.int64]:
    """Each query with its nearest places."""
    similar = queries @ places.T
    best = np.argsort(-similar, axis=1, kind="stable")[:, :NEIGHBOURS]
    weights = np.take_along_axis(similar, best, axis=1).clip(0.0) ** POWER
    return nearest(unit(queries + np.einsum("qk,qkd->qd", weights, places[best])), places)


def difference(found: NDArray[np.float64], alone: NDArray[np.float64]) -> str:
    """Points of recall@1 more, with the interval of the difference on the same frames."""
    interval = block_bootstrap(100.0 * (found - alone))
    return f"{interval.value:+.1f} [{interval.low:+.1f}, {interval.high:+.1f}]"


def fused(name: str, other: str, query: str) -> list[str]:
    """Two sessions of one map: places of both side by side, and added up."""
    day, second, asked = Known(name), Known(f"{name}-{other}"), Known(f"{name}-{query}")
    day_run, second_run = day.map, second.run
    places = np.array([[one["x"], one["y"]] for one in day_run], np.float64)
    there = np.array([[one["x"], one["y"]] for one in second_run], np.float64)
    with tempfile.TemporaryDirectory() as folder:
        frames = [
            pm.Frame(Path(line["image"]).name, "map", i,
                     read=lambda path=Path(line["image"]): read_image(path))
            for i, line in enumerate(day_run)
        ]  # fmt: skip
        with pm.build(Path(folder) / "m", frames) as memory:
            encoder, first = memory.encoder(), np.array(memory.descriptors)
            rows, queries = (
                np.array([encoder.encode([read_image(Path(line["image"]))])[0] for line in run])
                for run in (second_run, asked.run)
            )
    owner = np.argmin(np.linalg.norm(there[:, None] - places, axis=2), axis=1)
    near = np.linalg.norm(there - places[owner], axis=1) <= RADIUS
    beside = np.concatenate([first, rows[near]])
    of_place = np.concatenate([np.arange(len(first)), owner[near]])
    added = first.copy()
    np.add.at(added, owner[near], rows[near])
    side_by_side = asked.correct(of_place[nearest(queries, beside)])
    together = asked.correct(nearest(queries, unit(added)))
    return [
        f"{name}, {other}, {query}",
        str(len(side_by_side)),
        f"{100 * side_by_side.mean():.1f}",
        difference(together, side_by_side),
    ]


if __name__ == "__main__":
    main()
