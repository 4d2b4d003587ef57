"""Recall@1 and @5 of the default encoder on the real sequences, three seeds, with intervals.

Each set goes through the same memory and the same search as in use. Run:

    python benchmarks/recall.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from _real import DATA, Sequence, corridor, loop, tower
from _tables import machine, markdown

from placememory import PlaceMemory, create_encoder
from placememory.encoders import from_card
from placememory.localization.run import localize
from placememory.memory.build import build
from placememory.metrics.bootstrap import Interval, block_bootstrap

SEEDS = (0, 1, 2)


def main() -> None:
    """Print the table."""
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: the real sequences stand beside the checkout")
    print(f"{machine()}\n")
    rows = []
    for sequence in (corridor(), loop(), tower(every=1)):
        for precision in ("float32", "bfloat16"):
            for seed in SEEDS:
                first, fifth = recalls(sequence, precision, seed)
                rows.append(
                    [
                        sequence.name,
                        len(sequence.reference),
                        len(sequence.query),
                        sequence.rule,
                        precision,
                        seed,
                        shown(first),
                        shown(fifth),
                    ]
                )
    columns = ("set", "places", "queries", "right", "precision", "seed", "R@1 %", "R@5 %")
    print(markdown(columns, rows))


def recalls(sequence: Sequence, precision: str, seed: int) -> tuple[Interval, Interval]:
    """Recall@1 and @5 of one set."""
    with tempfile.TemporaryDirectory() as folder:
        uri = Path(folder) / "memory"
        build(uri, sequence.reference, create_encoder("lite-vlad", precision=precision, seed=seed))
        with PlaceMemory.open(uri, readonly=True) as memory:
            encoder = from_card(memory.card, precision=precision)
            estimates = localize(memory, sequence.query, encoder, k=5).estimates
    hits = np.array(
        [[sequence.right(e.frame.name, c.place.name) for c in e.candidates] for e in estimates],
        dtype=np.float64,
    )
    return block_bootstrap(hits[:, 0]), block_bootstrap(hits.max(axis=1))


def shown(interval: Interval) -> str:
    """Percent with the 95 % interval."""
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


if __name__ == "__main__":
    main()
