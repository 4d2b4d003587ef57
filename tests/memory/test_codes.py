"""Laws of 8-bit codes: the bound holds for every row, and kernels are exact."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.errors import DescriptorError
from placememory.memory import codes as module
from placememory.memory.codes import (
    Codes,
    is_exact,
    is_fast,
    load_kernel,
    margin,
    multiply_numpy,
)
from tests.conftest import make_descriptors

DIMS = (1, 2, 7, 64, 512, 3584)


def hard_rows(dim: int, seed: int) -> np.ndarray:
    """Rows whose codes are at their best and their worst."""
    rng = np.random.default_rng(seed)
    one_hot = np.eye(dim, dtype=np.float32)[rng.integers(dim, size=3)]
    spike = np.full((1, dim), 0.49 / 127, np.float32)  # all but one number are rounded away
    spike[0, -1] = 1.0
    half = rng.choice(np.float32([0.5, -0.5, 1.5]), (3, dim)) / 127
    half[:, 0] = 1.0
    rows = np.concatenate(
        [
            one_hot,
            -one_hot,
            np.ones((1, dim), np.float32),
            spike,
            half,
            make_descriptors(9, dim, seed),
        ]
    )
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    small = rows[-3:] * np.float32([[1e-3], [1e-20], [1e-42]])
    rounded = rows[-3:].astype(np.float16).astype(np.float32)
    return np.concatenate([rows, small, rounded, np.zeros((1, dim), np.float32), rows[:2]])


@given(dim=st.sampled_from(DIMS), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_the_error_of_a_row_is_below_its_bound(dim, seed) -> None:
    rows = hard_rows(dim, seed)
    codes = Codes.of(rows)
    wide = codes.scales.astype(np.longdouble)[:, None] * codes.values
    apart = np.sqrt(np.square(rows.astype(np.longdouble) - wide).sum(axis=1))
    assert (apart <= codes.errors).all()
    assert (codes.errors <= 1.000001 * apart + 1e-29).all()
    assert np.abs(codes.values.astype(int)).max() <= 127


@given(dim=st.sampled_from(DIMS), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_a_product_is_within_the_margin_of_its_estimate(dim, seed) -> None:
    rows, queries = hard_rows(dim, seed), hard_rows(dim, seed + 1)
    codes, coded = Codes.of(rows), Codes.of(queries)
    exact = queries.astype(np.longdouble) @ rows.T.astype(np.longdouble)
    together = codes.estimate(coded)
    for i, (estimate, products) in enumerate(zip(together, exact, strict=True)):
        assert (np.abs(products - estimate) <= margin(codes.errors, coded.errors[i])).all()
        alone = codes.estimate(coded.take(np.array([i])))
        np.testing.assert_array_equal(alone[0], estimate)


def test_the_margin_is_reached_so_it_cannot_be_smaller_by_half() -> None:
    row = np.ones((1, 512), np.float32) * 0.49 / 127  # rounded to zero, all in one direction
    row[0, 0] = 1.0
    row /= np.linalg.norm(row)
    query = np.ones((1, 512), np.float32)
    query[0, 0] = 0
    query /= np.linalg.norm(query)
    codes, coded = Codes.of(row), Codes.of(query)
    wrong = abs(float(query[0].astype(float) @ row[0]) - codes.estimate(coded)[0, 0])
    assert wrong > 0.9 * margin(codes.errors, coded.errors[0])[0]


@given(
    count=st.integers(1, 300),
    share=st.floats(0.0, 1.0),
    queries=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=40)
def test_some_rows_are_estimated_as_among_all(count, share, queries, seed) -> None:
    codes = Codes.of(make_descriptors(count, 24, seed))
    coded = Codes.of(make_descriptors(queries, 24, seed + 1))
    rows = np.flatnonzero(np.random.default_rng(seed).random(count) < share)
    np.testing.assert_array_equal(codes.estimate(coded, rows), codes.estimate(coded)[:, rows])


def test_a_long_scan_is_made_in_parts(monkeypatch) -> None:
    codes, coded = Codes.of(make_descriptors(500)), Codes.of(make_descriptors(3, seed=1))
    rows = np.flatnonzero(np.arange(500) % 7 < 2)
    whole = codes.estimate(coded), codes.estimate(coded, rows)
    monkeypatch.setattr(module, "_SUMS", 100)
    monkeypatch.setattr(module, "_COPIED", 100)
    np.testing.assert_array_equal(codes.estimate(coded), whole[0])
    np.testing.assert_array_equal(codes.estimate(coded, rows), whole[1])


def test_codes_are_taken_and_joined() -> None:
    rows = make_descriptors(20)
    codes = Codes.of(rows)
    taken = codes.take(np.array([3, 17]))
    np.testing.assert_array_equal(taken.values, Codes.of(rows[[3, 17]]).values)
    joined = Codes.concatenate([Codes.of(rows[:5]), Codes.of(rows[5:5]), Codes.of(rows[5:])])
    for name in ("values", "scales", "errors"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(codes, name))
    assert joined.worst == codes.errors.max()
    assert Codes.of(rows[:0]).worst == 0.0


def test_long_descriptors_have_fewer_levels() -> None:
    rows = np.full((2, 200_000), 1.0, np.float32)
    rows[1] *= -1
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    codes = Codes.of(rows)
    assert int(np.abs(codes.values.astype(int)).max()) ** 2 * 200_000 < 2**31
    exact = rows.astype(float) @ rows.T.astype(float)
    for i, estimate in enumerate(codes.estimate(codes)):
        assert (np.abs(estimate - exact[i]) <= margin(codes.errors, codes.errors[i])).all()


@pytest.mark.parametrize("bad", [2.0, np.nan, np.inf])
def test_rows_that_are_no_unit_rows_are_refused(bad) -> None:
    rows = make_descriptors(5)
    rows[3, 0] = bad
    with pytest.raises(DescriptorError, match="row 3 is no unit row"):
        Codes.of(rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.zeros((2, 8), np.uint8)}, "int8"),
        ({"values": np.zeros((8, 2), np.int8).T}, "C-contiguous"),
        ({"scales": np.ones(3, np.float32)}, "scales of 2 codes"),
        ({"errors": np.zeros(2)}, "errors of 2 codes"),
        ({"errors": np.float32([0, np.nan])}, "NaN"),
        ({"scales": np.float32([-1, 1])}, "negative"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(change, message) -> None:
    arrays = {
        "values": np.zeros((2, 8), np.int8),
        "scales": np.ones(2, np.float32),
        "errors": np.zeros(2, np.float32),
    }
    with pytest.raises(DescriptorError, match=message):
        Codes(**{**arrays, **change})


@pytest.fixture
def fresh_kernel():
    """Chooses the kernel anew, before and after."""
    load_kernel.cache_clear()
    yield
    load_kernel.cache_clear()


def test_the_installed_kernel_is_exact_at_every_length() -> None:
    rng = np.random.default_rng(0)
    for dim in (*DIMS, 15, 1023, 1025, 4096):
        rows = rng.integers(-127, 128, (40, dim), dtype=np.int8)
        rows[:4] = 127
        for queries in (rows[:1], rows[:5], rows[3:20]):
            exact = (rows[4:].astype(int) @ queries.T.astype(int)).astype(np.float32)
            for kernel in (load_kernel(), multiply_numpy):
                np.testing.assert_array_equal(kernel(queries)(rows[4:]), exact)
                np.testing.assert_array_equal(kernel(queries)(rows[5:6]), exact[1:2])


def test_numpy_serves_where_numkong_is_absent(monkeypatch, fresh_kernel) -> None:
    monkeypatch.setitem(sys.modules, "numkong", None)
    assert load_kernel() is multiply_numpy
    assert not is_fast()


def test_a_kernel_that_errs_is_not_used(monkeypatch, fresh_kernel, caplog) -> None:
    class Saturating:
        @staticmethod
        def cdist(queries, rows, metric, out_dtype):
            return (queries.astype(np.float32) @ rows.T.astype(np.float32)).clip(-32768, 32767)

        dots_pack = staticmethod(lambda queries: queries)
        dots_packed = staticmethod(lambda rows, packed: rows.astype(int) @ packed.T.astype(int))

    monkeypatch.setitem(sys.modules, "numkong", Saturating)
    with caplog.at_level(logging.WARNING):
        assert load_kernel() is multiply_numpy
    assert "errs on this processor" in caplog.text
    assert is_exact(multiply_numpy)
