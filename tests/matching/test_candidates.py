"""Nearest sequences are exact."""

from __future__ import annotations

import numpy as np
import pytest

from placememory.compat.casevpr.pipeline import SequenceIndex
from placememory.matching import DistanceWindow, PooledSequences


@pytest.mark.parametrize("scale", [1.0, 40.0])
@pytest.mark.parametrize("count", [1, 5, 60, 500])
def test_nearest_is_exact_on_raw_descriptors(scale: float, count: int) -> None:
    rng = np.random.default_rng(0)
    vectors = (scale * (rng.normal(size=(300, 32)) + 3)).astype(np.float32)
    vectors *= rng.uniform(0.5, 2, (300, 1)).astype(np.float32)
    vectors[200:210] = vectors[100]  # ties: the earlier one first
    index = SequenceIndex(32)
    for part in np.split(np.arange(300), [1, 50, 51]):
        index.append(vectors[part], part + 4)
    index.trim()
    for query in (vectors[100], vectors[7] + 0.1, vectors[0] * 0):
        for limit in (304, 250, 5, 0):
            known = max(0, limit - 4)
            away = np.square(vectors[:known].astype(float) - query).sum(axis=1)
            expected = np.argsort(away, kind="stable")[:count] + 4
            found = index.nearest(query.astype(np.float32), count, limit)
            assert found.tolist() == expected.tolist()


def test_all_alike() -> None:
    index = SequenceIndex(8)
    index.append(np.ones((5000, 8), np.float32), np.arange(5000))
    assert index.nearest(np.ones(8, np.float32), 3, 5000).tolist() == [0, 1, 2]


@pytest.mark.parametrize("similarity", ["cosine", "l2"])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_pooled_means_are_never_made_but_compared(similarity: str, size: int) -> None:
    rng = np.random.default_rng(1)
    rows = (rng.normal(size=(80, 16)) * rng.uniform(1, 5, (80, 1))).astype(np.float32)
    window = DistanceWindow(size, 16, similarity)
    pooled = PooledSequences(window)
    for part in np.split(rows, [1, 3, 40]):
        window.append(part)
        pooled.extend()
    assert pooled.nearest(3, 80).tolist() == []
    for frame in rng.normal(size=(12, 16)).astype(np.float32):
        window.push(frame)
    means = np.stack([window.rows[e - size + 1 : e + 1].mean(axis=0) for e in range(size - 1, 80)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    query = window.frames.mean(axis=0)
    query /= np.linalg.norm(query)
    for limit in (80, 30, size, size - 1, 0):
        known = max(0, limit - size + 1)
        away = np.linalg.norm(means[:known] - query, axis=1)
        expected = np.argsort(away, kind="stable")[:7] + size - 1
        assert pooled.nearest(7, limit).tolist() == expected.tolist()


def test_frames_that_cancel_out_are_no_candidates() -> None:
    window = DistanceWindow(2, 3)
    rows = np.array([[1, 0.3, 0.1], [-1, -0.3, -0.1], [0, 1, 0], [0, 1, 0.1]], np.float32)
    window.append(rows)
    window.push(rows[2])
    window.push(rows[3])
    assert PooledSequences(window).nearest(1, 4).tolist() == [3]
