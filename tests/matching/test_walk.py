"""Greedy matchers against plain loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.matching._walk import ratios, separated_minima, smallest
from placememory.matching.adaptseq import AdaptSeq
from placememory.matching.adaptseq_v2 import AdaptSeqV2
from tests.matching._plain import block_minimum, greedy_walk

some = settings(deadline=None, max_examples=80)
small_maps = st.builds(
    lambda rows, length, kinds, seed: (
        np.random.default_rng(seed).integers(0, kinds, (rows, length)).astype(np.float32)
    ),
    st.integers(1, 30),
    st.integers(1, 9),
    st.sampled_from([2, 5, 1000]),
    st.integers(0, 10_000),
)


@given(small_maps, st.integers(1, 5), st.integers(1, 6), st.integers(0, 10_000))
@some
def test_adaptseq_v2_is_the_plain_loop(matrix, width, size, seed) -> None:
    rows, length = matrix.shape
    ends = np.random.default_rng(seed).integers(0, rows, 4)
    found = AdaptSeqV2(search_width=width, sequence_length=size).match(matrix, ends)
    plain = []
    for end in ends:
        block = range(end - size + 1, end + 1), range(max(0, length - size), length)
        plain.append(greedy_walk(matrix, *block_minimum(matrix, *block), width))
    plain.sort(key=lambda path: sum(matrix[r, c] for c, r in enumerate(path)))
    assert found.paths.tolist() == plain


@given(small_maps, st.integers(1, 5), st.integers(1, 8), st.integers(1, 6))
@some
def test_adaptseq_is_the_plain_loop(matrix, width, block, count) -> None:
    rows, length = matrix.shape
    found = AdaptSeq(candidates=count, search_width=width, block=block).match(matrix)
    height = min(block, rows)
    tops = range(0, rows - height + 1, height)
    tops = sorted(tops, key=lambda top: matrix[top : top + height].sum())[:count]
    plain = [
        greedy_walk(matrix, *block_minimum(matrix, range(t, t + height), range(length)), width)
        for t in tops
    ]
    plain.sort(key=lambda path: sum(matrix[r, c] for c, r in enumerate(path)))
    assert found.paths.tolist() == plain


@given(st.lists(st.integers(0, 5), min_size=1, max_size=200), st.integers(1, 120))
@some
def test_smallest_is_a_stable_sort(values, count) -> None:
    values = np.array(values, np.float32)
    expected = np.argsort(values, kind="stable")[:count]
    np.testing.assert_array_equal(smallest(values, count), expected)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 6), st.integers(1, 9))
@some
def test_separated_minima_take_the_best_that_is_far_enough(values, count, gap) -> None:
    costs = np.array(values, np.float64)
    chosen: list[int] = []
    for row in np.argsort(costs, kind="stable").tolist():
        if len(chosen) < count and all(abs(row - other) >= gap for other in chosen):
            chosen.append(row)
    assert separated_minima(costs, count, gap - 1, gap).tolist() == chosen
    np.testing.assert_array_equal(costs, values)


def test_ratios_without_a_second_and_with_zeros() -> None:
    assert ratios(np.array([])).tolist() == []
    assert ratios(np.array([3.0])).tolist() == [1.0]
    assert ratios(np.array([0.0, 0.0])).tolist() == [1.0, 1.0]
    assert ratios(np.array([0.0, 2.0])).tolist() == [0.0, np.inf]
    assert ratios(np.array([-1e-7, 2.0])).tolist() == [0.0, np.inf]
