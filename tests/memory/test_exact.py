"""Laws of exact search."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from placememory.errors import DescriptorError
from placememory.memory.codes import Codes, load_kernel
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


class Source:
    """Rows behind the door that a file has; counts what is read."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix, self.read, self.most = matrix, 0, 0

    def __len__(self) -> int:
        return len(self.matrix)

    def gather(self, rows: np.ndarray) -> np.ndarray:
        assert rows.dtype == np.int64
        self.read += len(rows)
        self.most = max(self.most, len(rows))
        return self.matrix[rows]


def brute_force(matrix, query, k, rows=None) -> tuple[np.ndarray, np.ndarray]:
    """The k best of all products in float64."""
    rows = np.arange(len(matrix)) if rows is None else rows
    exact = (matrix[rows].astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    similarity = exact.clip(-1, 1).astype(np.float32)
    order = np.lexsort((rows, -similarity))[:k]
    return rows[order], similarity[order]


def walk(count: int, dim: int, seed: int, hard: bool) -> np.ndarray:
    """Unit rows that change slowly, with copies, opposites and rows off by one bit among them."""
    rng = np.random.default_rng(seed)
    rows = np.cumsum(rng.normal(size=(count, dim)), axis=0) + rng.normal(size=dim)
    if hard:
        rows[rng.integers(count, size=count // 3)] = rows[0]
        rows[rng.integers(count, size=count // 9)] = -rows[0]
        rows[rng.integers(count)] = np.eye(dim)[0]
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    if hard:
        unit[count // 2] = np.nextafter(unit[0], np.float32(2))
    return unit


@pytest.fixture(params=["numkong", "numpy"])
def kernel(request, monkeypatch):
    """Scans with the kernel of that name."""
    if request.param == "numkong":
        pytest.importorskip("numkong")
    else:
        monkeypatch.setitem(sys.modules, "numkong", None)
    load_kernel.cache_clear()
    yield request.param
    load_kernel.cache_clear()


@given(
    count=st.integers(1, 700),
    dim=st.sampled_from([1, 2, 7, 512]),
    k=st.sampled_from([1, 2, 10, 65, 1000]),
    seed=st.integers(0, 10_000),
    hard=st.booleans(),
    share=st.sampled_from([None, 0.0, 0.1, 0.6, 1.0]),
)
@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_codes_give_the_answer_of_all_products_to_the_bit(
    kernel, count, dim, k, seed, hard, share
) -> None:
    matrix = walk(count, dim, seed, hard)
    queries = np.concatenate([matrix[:1], walk(3, dim, seed + 1, hard=False)])
    rng = np.random.default_rng(seed)
    rows = None if share is None else np.flatnonzero(rng.random(count) < share)
    codes = Codes.of(matrix)
    together = top_k(Source(matrix), queries, k, rows, codes)
    plain = top_k(matrix, queries, k, rows)
    for i, query in enumerate(queries):
        expected = brute_force(matrix, query, k, rows)
        [alone] = top_k(Source(matrix), query[None], k, rows, codes)
        for answer in (together[i], alone, plain[i]):
            np.testing.assert_array_equal(answer[0], expected[0])
            np.testing.assert_array_equal(answer[1], expected[1])


@pytest.mark.parametrize("dim", [512, 3584])
def test_few_rows_of_a_large_map_are_read(kernel, dim) -> None:
    matrix = walk(3000, dim, 0, hard=False)
    source, query = Source(matrix), matrix[700:701] + 0.01 / dim**0.5
    query /= np.linalg.norm(query)
    for rows in (None, np.arange(500, 1500), np.flatnonzero(np.arange(3000) % 9 == 7)):
        [answer] = top_k(source, query, 5, rows, Codes.of(matrix))
        for found, expected in zip(answer, brute_force(matrix, query[0], 5, rows), strict=True):
            np.testing.assert_array_equal(found, expected)
    assert source.read < 300


def test_places_that_look_all_the_same_are_read_in_parts(kernel) -> None:
    matrix = np.tile(make_descriptors(1, 64), (5000, 1))
    matrix[4321] = matrix[0] * np.float32(1 + 2**-22)
    source = Source(matrix)
    [(found, similarity)] = top_k(source, matrix[:1], 3, codes=Codes.of(matrix))
    np.testing.assert_array_equal(found, brute_force(matrix, matrix[0], 3)[0])
    assert source.most <= 1024
    assert similarity.min() > 0.9999


def test_rows_beyond_the_ends_of_similarity_are_ties() -> None:
    query = make_descriptors(1, 8)
    matrix = np.concatenate([query * s for s in (1.000004, 0.999999, 1.000009, 1.000001)])
    matrix = matrix.astype(np.float32)
    for sign in (1, -1):
        for k in range(1, 4):
            rows = np.tile(sign * matrix, (300, 1))
            [answer] = top_k(Source(rows), query, k, codes=Codes.of(rows))
            for found, expected in zip(answer, brute_force(rows, query[0], k), strict=True):
                np.testing.assert_array_equal(found, expected)


def test_rows_at_hand_are_answered_alike_with_codes_of_a_large_map() -> None:
    matrix = walk(9000, 512, 3, hard=True)
    queries, codes = matrix[[5, 0, 8999]], Codes.of(matrix)
    for rows in (None, np.arange(10), np.arange(100, 8900), np.flatnonzero(np.arange(9000) % 99)):
        plain, coded = top_k(matrix, queries, 12, rows), top_k(matrix, queries, 12, rows, codes)
        for one, other, query in zip(plain, coded, queries, strict=True):
            expected = brute_force(matrix, query, 12, rows)
            for a, b, c in zip(one, other, expected, strict=True):
                np.testing.assert_array_equal(a, c)
                np.testing.assert_array_equal(b, c)


def test_a_source_without_codes_is_read_whole() -> None:
    matrix = make_descriptors(50)
    source = Source(matrix)
    for rows in (None, np.array([4, 9, 30])):
        [answer] = top_k(source, matrix[4:5], 2, rows)
        np.testing.assert_array_equal(answer[0], brute_force(matrix, matrix[4], 2, rows)[0])
    assert source.read == 53


def test_codes_of_other_rows_are_refused() -> None:
    matrix = make_descriptors(9)
    with pytest.raises(DescriptorError, match="code the rows again"):
        top_k(matrix, matrix[:1], 1, codes=Codes.of(matrix[:8]))


def test_nothing_asked_is_nothing_answered() -> None:
    matrix = make_descriptors(9)
    codes = Codes.of(matrix)
    assert top_k(Source(matrix), matrix[:0], 3, codes=codes) == []
    [(found, similarity)] = top_k(Source(matrix), matrix[:1], 3, np.empty(0, np.int64), codes)
    assert found.shape == similarity.shape == (0,)
