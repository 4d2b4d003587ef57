"""The sliding matrix is what a full recomputation gives, and it is a view."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.errors import SettingError
from placememory.matching._windows import DistanceWindow

DIM = 6
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 5)),
        st.tuples(st.just("push"), st.booleans()),
        st.tuples(st.just("clear"), st.just(0)),
        st.tuples(st.just("trim"), st.just(0)),
    ),
    max_size=60,
)


def recomputed(rows: np.ndarray, frames: np.ndarray, similarity: str) -> np.ndarray:
    if similarity == "l2":
        return np.linalg.norm(rows[:, None] - frames[None], axis=2) / 2
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (rows, frames)]
    return 1 - unit[0] @ unit[1].T


@settings(max_examples=150, deadline=None)
@given(
    length=st.integers(1, 4),
    similarity=st.sampled_from(["cosine", "l2"]),
    steps=STEPS,
    seed=st.integers(0, 99),
)
def test_equal_to_a_full_recomputation(length, similarity, steps, seed) -> None:
    rng = np.random.default_rng(seed)
    window = DistanceWindow(length, DIM, similarity)
    rows, frames = np.empty((0, DIM)), np.empty((0, DIM))
    for what, value in steps:
        if what == "append":
            new = 3 * rng.normal(size=(value, DIM)).astype(np.float32)
            window.append(new)
            rows = np.concatenate([rows, new])
        elif what == "push":
            new = 3 * rng.normal(size=DIM).astype(np.float32)
            if len(rows) and rng.random() < 0.3:
                new = rows[0].astype(np.float32)  # seen before
            window.push(new, replace=value)
            frames = np.concatenate([frames[: len(frames) - value], new[None]])[-length:]
        elif what == "clear":
            window.clear()
            frames = frames[:0]
        else:
            window.trim()
        assert len(window) == len(frames)
        expected = recomputed(rows, frames, similarity)
        np.testing.assert_allclose(window.matrix(), expected, atol=2e-6)
        limit = len(rows) // 2
        np.testing.assert_allclose(window.matrix(limit), expected[:limit], atol=2e-6)
        scaled = [window.rows[:limit], window.frames]
        products = scaled[0].astype(np.float64) @ scaled[1].astype(np.float64).sum(axis=0)
        np.testing.assert_allclose(window.products(limit), products, atol=2e-4)


def test_the_window_is_a_view_with_contiguous_columns() -> None:
    window = DistanceWindow(3, DIM)
    rng = np.random.default_rng(0)
    window.append(rng.normal(size=(50, DIM)).astype(np.float32))
    buffer = window._strip
    for frame in rng.normal(size=(20, DIM)).astype(np.float32):
        window.push(frame)
        matrix = window.matrix(40)
        assert np.shares_memory(matrix, buffer)
        assert matrix.strides[0] == matrix.itemsize
    assert window._strip is buffer


def test_near_equal_raw_descriptors_keep_their_distance() -> None:
    window = DistanceWindow(1, 512, "l2")
    row = np.random.default_rng(0).normal(0, 100, 512).astype(np.float32)
    rows = np.tile(row, (1500, 1))
    rows[1] += 1e-3
    window.append(rows)
    window.push(row)
    found = window.matrix()[:, 0]
    np.testing.assert_allclose(found[1], np.linalg.norm(rows[1].astype(float) - row) / 2, rtol=1e-5)
    assert (np.delete(found, 1) == 0).all()


def test_impossible_settings() -> None:
    with pytest.raises(SettingError, match="window"):
        DistanceWindow(0, DIM)
    with pytest.raises(SettingError, match="similarity"):
        DistanceWindow(2, DIM, "cos")
