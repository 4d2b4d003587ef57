"""The order of views: the best path through a map, found without walking all of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.fusion._views import Paths


def _plain(z: np.ndarray, runs: np.ndarray) -> float:
    """Every path, by the recursion alone."""
    best = z[0].astype(np.float64)
    for row in z[1:]:
        before = best.copy()
        for k in range(len(best)):
            sources = [before[k - s] for s in range(4) if k >= s and runs[k - s] == runs[k]]
            best[k] = row[k] + max(sources)
    return float(best.max()) / len(z)


@settings(max_examples=30)
@given(
    st.integers(1, 1500),
    st.integers(5, 12),
    st.integers(1, 400),
    st.sampled_from([0.0, 2.0]),
    st.integers(0, 2**32 - 1),
)
def test_it_is_the_best_of_all_paths(
    keys: int, views: int, run: int, walk: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(views, keys)).astype(np.float32)
    start = int(rng.integers(keys))
    at = np.minimum(start + 2 * np.arange(views), keys - 1)
    z[np.arange(views), at] += walk
    runs = np.arange(keys) // run
    forward, backward = Paths(runs).best(z)
    assert forward == pytest.approx(_plain(z, runs), abs=1e-5)
    assert backward == pytest.approx(_plain(z[::-1], runs), abs=1e-5)
