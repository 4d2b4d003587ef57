"""Seeded k-means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.encoders.kmeans import assign, kmeans
from placememory.errors import EncoderError


@given(count=st.integers(8, 200), k=st.integers(1, 8), seed=st.integers(0, 50))
@settings(deadline=None, max_examples=40)
def test_each_word_is_the_mean_of_its_points_or_a_point(count, k, seed) -> None:
    points = np.random.default_rng(seed).normal(size=(count, 5)).astype(np.float32)
    words = kmeans(points, k, seed=seed)
    assert words.shape == (k, 5)
    assert np.isfinite(words).all()
    _, distances = assign(points, words)
    full = ((points[:, None] - words[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(distances, full.min(axis=1), atol=1e-4)
    spread_of_mean = ((points - points.mean(axis=0)) ** 2).sum()
    assert distances.sum() <= spread_of_mean * (1 + 1e-4)


def test_finds_planted_clusters() -> None:
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(16, 32)).astype(np.float32) * 10
    points = (centres[rng.integers(16, size=4000)] + rng.normal(size=(4000, 32))).astype(np.float32)
    found = kmeans(points, 16, seed=3)
    _, distances = assign(centres, found)
    assert distances.max() < 1.0


def test_is_the_same_on_every_run_and_differs_by_seed() -> None:
    points = np.random.default_rng(0).normal(size=(3000, 20)).astype(np.float32)
    np.testing.assert_array_equal(kmeans(points, 32, seed=5), kmeans(points, 32, seed=5))
    assert np.abs(kmeans(points, 32, seed=5) - kmeans(points, 32, seed=6)).max() > 0


def test_equal_points_do_not_divide_by_zero() -> None:
    words = kmeans(np.ones((40, 3), np.float32), 8)
    np.testing.assert_array_equal(words, np.ones((8, 3), np.float32))


def test_fewer_points_than_words_is_an_error() -> None:
    with pytest.raises(EncoderError, match="8 words cannot be fitted on 3"):
        kmeans(np.ones((3, 2), np.float32), 8)
