"""Laws of exact search."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.memory.search import similarity_of, top_k
from tests.conftest import make_descriptors


@given(
    count=st.integers(1, 60),
    dim=st.integers(1, 40),
    k=st.integers(1, 80),
    seed=st.integers(0, 1000),
    copies=st.integers(1, 10),
)
@settings(deadline=None, max_examples=60)
def test_equals_brute_force_in_float64(count, dim, k, seed, copies) -> None:
    matrix = make_descriptors(count, dim, seed)
    matrix[-min(copies, count) :] = matrix[0]  # ties
    queries = make_descriptors(5, dim, seed + 1)
    exact = (queries.astype(np.float64) @ matrix.T.astype(np.float64)).astype(np.float32)
    for row, (found, similarity) in zip(exact, top_k(matrix, queries, k), strict=True):
        assert len(found) == min(k, count)
        assert (np.diff(similarity) <= 0).all()
        np.testing.assert_allclose(similarity, row[found], atol=2e-7)
        left_out = np.setdiff1d(np.arange(count), found)
        if len(left_out):
            assert row[left_out].max() <= similarity[-1] + 2e-7
        equal = np.flatnonzero(np.diff(similarity) == 0)
        assert (found[equal] < found[equal + 1]).all()


@given(seed=st.integers(0, 1000), dim=st.sampled_from([1, 7, 64, 3584]))
@settings(deadline=None, max_examples=20)
def test_a_query_gets_the_same_answer_alone_and_in_a_batch(seed, dim) -> None:
    matrix, queries = make_descriptors(37, dim, seed), make_descriptors(9, dim, seed + 1)
    together = top_k(matrix, queries, 10)
    for query, (found, similarity) in zip(queries, together, strict=True):
        [(alone, alone_similarity)] = top_k(matrix, query[None], 10)
        np.testing.assert_array_equal(found, alone)
        np.testing.assert_array_equal(similarity, alone_similarity)


def test_many_queries_are_answered_in_blocks(monkeypatch) -> None:
    matrix, queries = make_descriptors(50), make_descriptors(23, seed=1)
    whole = top_k(matrix, queries, 4)
    monkeypatch.setattr("placememory.memory.search._BLOCK", 100)
    for (a, _), (b, _) in zip(whole, top_k(matrix, queries, 4), strict=True):
        np.testing.assert_array_equal(a, b)


def test_only_allowed_rows_answer() -> None:
    matrix = make_descriptors(20)
    rows = np.array([3, 5, 19])
    [(found, _)] = top_k(matrix, matrix[:1], 10, rows)
    assert set(found.tolist()) == {3, 5, 19}
    assert [len(f) for f, _ in top_k(matrix, matrix[:2], 10, rows[:0])] == [0, 0]


def test_equal_rows_have_equal_similarity_wherever_they_stand() -> None:
    row, query = make_descriptors(1, 3584)[0], make_descriptors(1, 3584, seed=2)[0]
    for count in (1, 7, 33):
        assert len(set(similarity_of(np.tile(row, (count, 1)), query).tolist())) == 1
