"""What the geometric check of the best candidates gains and costs, on the real sequences.

Recall@1 of the single frame by similarity and after verification of the same candidates, with the
paired difference; then with the policy that checks only doubtful frames; then what it does to the
fused belief. Run (needs the extra ``verify``):

    OPENBLAS_NUM_THREADS=1 python benchmarks/verification.py [--threads N]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _real import DATA, Sequence, corridor, loop, tower
from _tables import machine, markdown
from numpy.typing import NDArray

from placememory import Estimate
from placememory.encoders import Encoder
from placememory.fusion import PlaceTable
from placememory.geometry import FLOOR, Policy, Verification, Verified, Verifier, rerank
from placememory.localization.run import localize
from placememory.memory import images_of
from placememory.memory.build import build
from placememory.metrics.paired import PairedDifference

TOPS = (5, 20)


@dataclass(frozen=True)
class Checked:
    """A set with every query's best 20 candidates checked."""

    sequence: Sequence
    estimates: list[Estimate]
    found: list[Verification]
    image_ms: float
    pair_ms: float
    columns: NDArray[np.float32]
    places: PlaceTable

    def verified(self, at: int) -> list[Verified]:
        """Of a query, in the order of the memory."""
        return sorted(self.found[at].candidates, key=lambda row: row.candidate.rank)

    def right(self, at: int, name: str) -> bool:
        """Whether a place is right for a query."""
        return self.sequence.right(self.estimates[at].frame.name, name)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1, help="of torch and OpenCV")
    threads = parser.parse_args().threads
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: the real sequences stand beside the checkout")
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    print(f"{machine()}, {threads} threads\n")
    sets = [checked(sequence) for sequence in (corridor(), loop(), tower(every=4))]
    columns = ("set", "queries", "checked", "of queries %", "R@1 before %", "R@1 after %",
               "difference, points", "won / lost", "ms/image", "ms/pair", "ms/query")  # fmt: skip
    print(markdown(columns, [row for found in sets for row in recalls(found)]), "\n")
    null = chance(sets)
    print(f"Inliers of pairs that cannot match ({len(null)}, across the sets): median "
          f"{np.median(null):.0f}, 95 % {np.quantile(null, 0.95):.0f}, "
          f"99 % {np.quantile(null, 0.99):.0f}, most {null.max()}; floor {FLOOR}")  # fmt: skip


def checked(sequence: Sequence) -> Checked:
    """Build, localise, check the best 20 of each query."""
    with tempfile.TemporaryDirectory() as folder:
        uri = Path(folder) / "memory"
        with build(uri, sequence.reference) as memory:
            encoder = memory.encoder()
            estimates = list(localize(memory, sequence.query, fusion=None, k=max(TOPS)))
            columns = described(encoder, sequence) @ memory.descriptors.T
            places = PlaceTable.from_places(memory.places)
    verifier = Verifier(images_of(sequence.reference), cache_size=1000)
    images = [estimate.frame.image() for estimate in estimates]
    blank = np.zeros_like(images[0])
    for estimate in estimates:  # keeps the features of the places, as of a robot that was here
        verifier.check(blank, estimate.candidates)
    started = time.perf_counter()
    for image in images:
        verifier.extractor.extract(image)
    image_ms = 1e3 * (time.perf_counter() - started) / len(images)
    found = [verifier.check(i, e.candidates) for i, e in zip(images, estimates, strict=True)]
    pairs = sum(one.checked for one in found)
    total = sum(one.milliseconds for one in found)
    pair_ms = (total - image_ms * len(found)) / pairs
    return Checked(sequence, estimates, found, image_ms, pair_ms, columns, places)


def described(encoder: Encoder, sequence: Sequence) -> NDArray[np.float32]:
    """(Q, D) of the queries."""
    return np.concatenate([encoder.encode([frame.image()]) for frame in sequence.query])


def recalls(found: Checked) -> list[list[object]]:
    """A row for each number of candidates, for all queries and for doubtful ones."""
    result = []
    for policy in (None, Policy()):
        for top in TOPS:
            before, after, spent = outcome(found, top, policy)
            metric = PairedDifference("verified", "similarity")
            metric.update(after, before)
            change = metric.compute()
            result.append([
                found.sequence.name, len(before), f"top {top}", f"{100 * np.mean(spent):.0f}",
                f"{100 * np.mean(before):.1f}", f"{100 * np.mean(after):.1f}",
                f"{100 * change.difference.value:+.1f} "
                f"[{100 * change.difference.low:+.1f}, {100 * change.difference.high:+.1f}]",
                f"{change.first_higher} / {change.second_higher}",
                f"{found.image_ms:.0f}", f"{found.pair_ms:.1f}",
                f"{np.mean(spent) * (found.image_ms + top * found.pair_ms):.0f}",
            ])  # fmt: skip
    return result


def outcome(
    found: Checked, top: int, policy: Policy | None
) -> tuple[list[bool], list[bool], list[bool]]:
    """For each query, whether the first is right before and after, and whether it was checked."""
    before, after, spent = [], [], []
    for at, estimate in enumerate(found.estimates):
        due = policy is None or policy.count(estimate.candidates) > 0
        rows = found.verified(at)[:top]
        best = rerank(rows)[0] if due else rows[0]
        before.append(found.right(at, rows[0].candidate.place.name))
        after.append(found.right(at, best.candidate.place.name))
        spent.append(due)
    return before, after, spent


def chance(sets: Rows[Checked]) -> NDArray[np.int64]:
    """Inliers of queries of one set with places of the next."""
    counts: list[int] = []
    for one, other in zip(sets, [*sets[1:], sets[0]], strict=True):
        verifier = Verifier(images_of(other.sequence.reference))
        candidates = [c for e in other.estimates[::12] for c in e.candidates[:4]]
        for estimate in one.estimates[::12]:
            rows = verifier.check(estimate.frame.image(), candidates, len(candidates)).candidates
            counts += [row.inliers for row in rows]
    return np.array(counts)


if __name__ == "__main__":
    main()
