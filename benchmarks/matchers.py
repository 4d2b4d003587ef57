"""Matchers against plain loops in one run, and on real images how often they are right.

python benchmarks/matchers.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from _plain_matchers import PLAIN, classic_plain
from _real import DATA, Sequence, corridor, loop
from _tables import machine, markdown
from numpy.typing import NDArray
from PIL import Image

from placememory import encoders
from placememory.matching import create
from placememory.matching._walk import separated_minima
from placememory.matching.band_dp import ways_in
from placememory.matching.seqslam_classic import SeqSlamClassic

ROWS, LENGTH, ROUNDS = 10_000, 10, 200
CANDIDATES = [4711, 1200, 9000, 350, 8123]
CLASSIC, CLASSIC_FRAMES = 1000, 50
LENGTHS = (1, 3, 5, 10, 20)
MATCHERS = ("nearest", "seqslam", "seqslam-classic", "sequence-only", "seqmatch")
MATCHERS += ("adaptseq", "adaptseq-v2", "band-dp")


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    print(f"{machine()}, one thread\n")
    print(f"One window of {LENGTH} frames on a map of {ROWS:,} rows, {len(CANDIDATES)} candidates")
    print("for those that take them; medians:\n")
    columns = ("matcher", "plain loop ms", "ours ms", "ratio")
    print(markdown(columns, [speed(name) for name in PLAIN]))
    print(
        f"\nseqslam-classic, {CLASSIC} x {CLASSIC}; the plain loop ran on {CLASSIC_FRAMES} frames"
    )
    print("and is scaled by their number; ours with contrast enhancement:\n")
    print(markdown(columns, [classic_speed()]))
    if not DATA.is_dir():
        print(f"\n{DATA} is not there: nothing measured on real images")
        return
    described = [(s, *pair) for s in (corridor(), loop()) for pair in describe(s)]
    print(
        "\nRight place of the newest frame, percent; windows of 5 frames; candidates from the mean"
    )
    print("of 5 frame descriptors:\n")
    header = ("matcher", *(f"{sequence.name} {name}" for sequence, name, _, _ in described))
    print(markdown(header, [recall(name, described) for name in MATCHERS]))
    print(
        "\nHow well a score of band-dp tells right places from wrong ones and from places that are"
    )
    print("not on the map (area under the ROC curve), over both sets, both descriptors, whole maps")
    print("and halves:\n")
    print(markdown(("frames", *SCORES), separation(described)))


def speed(name: str) -> list[object]:
    """Time both in turn on the same matrix."""
    matrix = np.random.default_rng(0).random((ROWS, LENGTH), dtype=np.float32)
    tensor, matcher = torch.from_numpy(matrix), create(name)
    plain = partial(PLAIN[name], tensor, CANDIDATES)
    ours = partial(matcher.match, matrix, CANDIDATES)
    first = timed(plain)
    pairs = [(timed(plain), timed(ours)) for _ in range(ROUNDS if first < 0.1 else 3)]
    return row(name, *(statistics.median(times) for times in zip(*pairs, strict=True)))


def classic_speed() -> list[object]:
    """Time the search of a traverse, window by window."""
    matrix, matcher = (
        np.random.default_rng(0).random((CLASSIC, CLASSIC_FRAMES + 10)),
        SeqSlamClassic(),
    )

    def ours() -> None:
        for first in range(CLASSIC_FRAMES):
            matcher.match(matrix[:, first : first + 11])

    plain = timed(partial(classic_plain, matrix))
    return row("seqslam-classic", plain, statistics.median(timed(ours) for _ in range(9)))


def row(name: str, plain: float, ours: float) -> list[object]:
    """A row of the table."""
    return [name, f"{1e3 * plain:.3f}", f"{1e3 * ours:.3f}", f"{plain / ours:.1f}"]


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


Described = tuple[Sequence, str, NDArray[np.float32], NDArray[np.bool_]]


def describe(sequence: Sequence) -> list[tuple[str, NDArray[np.float32], NDArray[np.bool_]]]:
    """Distances (n, m) by a good and by a poor descriptor, and which places are right."""
    reference = [frame.image() for frame in sequence.reference]
    query = [frame.image() for frame in sequence.query]
    right = np.array(
        [[sequence.right(q.name, r.name) for q in sequence.query] for r in sequence.reference]
    )
    encoder, known = encoders.create("lite-vlad").fit_encode(reference)
    found = encoder.encode(query)
    small = [thumbnails(images) for images in (reference, query)]
    return [
        ("lite-vlad", 1 - known @ found.T, right),
        ("thumbnail", 1 - small[0] @ small[1].T, right),
    ]


def thumbnails(images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """SeqSLAM's images, 64 x 32 grey and patch-normalised, as unit vectors."""
    grey = [np.asarray(Image.fromarray(image).convert("L").resize((64, 32))) for image in images]
    patches = np.stack(grey).reshape(len(grey), 4, 8, 8, 8).astype(np.float32)
    centred = patches - patches.mean(axis=(2, 4), keepdims=True)
    spread = patches.std(axis=(2, 4), ddof=1, keepdims=True)
    vectors = (centred / np.where(spread > 0, spread, np.inf)).reshape(len(grey), -1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def recall(name: str, described: list[Described], length: int = 5) -> list[object]:
    """Percent of windows whose newest frame is put at the right place, for each set."""
    cells: list[object] = [name]
    for _, _, distances, right in described:
        hits = []
        for newest in range(length - 1, distances.shape[1]):
            window = distances[:, newest - length + 1 : newest + 1]
            # Mean of unit vectors: similarity of means is the mean of similarities, up to norms.
            level = np.lib.stride_tricks.sliding_window_view(window, length, axis=0).mean(
                axis=(1, 2)
            )
            candidates = np.argsort(level, kind="stable")[:5] + length - 1
            found = create(name).match(window, candidates)
            hits.append(len(found) > 0 and bool(right[found.paths[0, -1], newest]))
        cells.append(f"{100 * np.mean(hits):.1f}")
    return cells


SCORES = ("windows", "raw mean", "ratio to 2nd", "z-score of costs", "over median", "ours")


def separation(described: list[Described]) -> list[list[object]]:
    """For each length of the window, and all together, the area under the curve of each score."""
    rows, pooled = [], []
    for length in LENGTHS:
        known = [values for case in described for values in scores(*case[2:], length)]
        pooled += known
        rows.append([length, len(known), *areas(known)])
    return [*rows, ["all", len(pooled), *areas(pooled)]]


def scores(
    distances: NDArray[np.float32], right: NDArray[np.bool_], length: int
) -> list[tuple[float, ...]]:
    """Whether right, and each score, for every window on the map and on its halves."""
    matcher, found = create("band-dp"), []
    middle = len(distances) // 2
    for part in (slice(None), slice(middle), slice(middle, None)):
        for newest in range(length - 1, distances.shape[1]):
            window = distances[part, newest - length + 1 : newest + 1]
            match = matcher.match(window)
            costs = ways_in(window.T[:, None], 4)[-1, 0] / length
            best, *others = costs[separated_minima(costs, 2, 13, 14)]
            typical = np.median(costs)
            spread = np.median(np.abs(costs - typical)) + 1e-9
            over_median = best / np.median(window, axis=0).mean()
            second = others[0] if others else typical
            good = right[part][match.paths[0, -1], newest]
            z = (best - typical) / spread
            found.append((good, best, best / second, z, over_median, match.scores[0]))
    return found


def areas(known: list[tuple[float, ...]]) -> list[str]:
    """Chance that a right place scores lower than a wrong one."""
    right, *columns = np.array(known, dtype=np.float64).T
    cells = []
    for values in columns:
        good, bad = values[right == 1], np.sort(values[right == 0])
        above = len(bad) - np.searchsorted(bad, good, side="right")
        equal = np.searchsorted(bad, good, side="right") - np.searchsorted(bad, good, side="left")
        cells.append(f"{(above + equal / 2).mean() / len(bad):.3f}")
    return cells


if __name__ == "__main__":
    main()
