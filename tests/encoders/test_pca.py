"""Principal components."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.encoders.pca import principal_components
from placememory.errors import EncoderError


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 30), st.integers(2, 30))
def test_directions_are_orthonormal_and_variances_true(seed: int, count: int, width: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    dim = min(3, count - 1, width)
    mean, directions, variances = principal_components(rows, dim)
    np.testing.assert_allclose(directions @ directions.T, np.eye(dim), atol=1e-4)
    projected = (rows - mean) @ directions.T
    np.testing.assert_allclose(projected.var(axis=0, ddof=1), variances, rtol=1e-3, atol=1e-5)
    assert (np.diff(variances) <= 1e-5).all()
    largest = np.abs(directions).argmax(axis=1)
    assert (directions[np.arange(dim), largest] > 0).all()


def test_the_small_and_the_large_way_agree() -> None:
    rows = np.random.default_rng(0).normal(size=(12, 12)).astype(np.float32)
    low = principal_components(rows, 5)
    high = principal_components(np.concatenate([rows, rows]), 5)
    np.testing.assert_allclose(low[1], high[1], atol=1e-3)


@pytest.mark.parametrize(("count", "dim"), [(3, 3), (1, 1), (5, 0), (9, 5)])
def test_too_many_components_are_refused(count: int, dim: int) -> None:
    with pytest.raises(EncoderError, match="principal components"):
        principal_components(np.zeros((count, 4), np.float32), dim)
