"""Bits at the end of descriptors: a prefilter of the search, as SelaVPR++ has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from placememory.encoders import attach_bits, compress_card, count_bits, fit_components, read_bits
from placememory.errors import DescriptorError
from placememory.memory import PlaceMemory, Where, copy
from tests.conftest import make_card, make_frames

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

DIM, BITS, COUNT = 32, 64, 400
CARD = make_card(DIM + BITS, options={"prefilter_bits": BITS})
RNG = np.random.default_rng(4)


def _rows(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit descriptors, their bits that tell something of them, and both in one."""
    descriptors = RNG.normal(size=(count, DIM)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    hashes = descriptors @ MIXED + 0.1 * RNG.normal(size=(count, BITS)).astype(np.float32)
    rows = attach_bits(torch.from_numpy(descriptors), torch.from_numpy(hashes)).numpy()
    return descriptors, hashes >= 0, rows


MIXED = RNG.normal(size=(DIM, BITS)).astype(np.float32)
DESCRIPTORS, SET, ROWS = _rows(COUNT)
QUERIES, QUERIES_SET, QUERY_ROWS = _rows(20)


@pytest.fixture(params=["float32", "float16"])
def memory(request, tmp_path: Path):
    """Two sessions of 200 places."""
    path = tmp_path / "x.memory"
    with PlaceMemory.create(path, encoder=CARD, dtype=request.param) as made:
        made.add(make_frames(200, "run1"), ROWS[:200])
        made.add(make_frames(200, "run2"), ROWS[200:])
        yield made


def _as_published(query: int, k: int, allowed: np.ndarray) -> list[int]:
    """Hamming distances, the first 100 of them, then the distances of the descriptors."""
    apart = (SET[allowed] != QUERIES_SET[query]).sum(axis=1)
    near = allowed[np.argsort(apart, kind="stable")[:100]]
    similar = DESCRIPTORS[near].astype(np.float64) @ QUERIES[query]
    return near[np.argsort(-similar, kind="stable")[:k]].tolist()


def _numbers(memory: PlaceMemory, found) -> list[int]:
    number = {place.id: row for row, place in enumerate(memory.places)}
    return [number[candidate.place.id] for candidate in found]


def test_the_best_of_the_nearest_bits_are_found(memory: PlaceMemory) -> None:
    found = memory.search(QUERY_ROWS, k=5)
    half = memory.search(QUERY_ROWS, k=5, where=Where(session="run2"))
    exact = memory.search(QUERY_ROWS, k=5, using="exact")
    for query in range(len(QUERIES)):
        assert _numbers(memory, found[query]) == _as_published(query, 5, np.arange(COUNT))
        assert _numbers(memory, half[query]) == _as_published(query, 5, np.arange(200, COUNT))
        similar = DESCRIPTORS.astype(np.float64) @ QUERIES[query]
        assert _numbers(memory, exact[query]) == np.argsort(-similar)[:5].tolist()
        expected = similar[_numbers(memory, found[query])]
        scores = [candidate.similarity for candidate in found[query]]
        np.testing.assert_allclose(scores, expected, atol=1e-3)


def test_more_than_a_hundred_may_be_asked_for(memory: PlaceMemory) -> None:
    [found] = memory.search(QUERY_ROWS[:1], k=150)
    assert len(found) == 150
    apart = (QUERIES_SET[0] != SET).sum(axis=1)
    assert set(_numbers(memory, found)) == set(np.argsort(apart, kind="stable")[:150].tolist())


def test_a_row_of_other_bits_is_missed_and_exact_search_finds_it(memory: PlaceMemory) -> None:
    twisted = ROWS[:1].copy()
    twisted[:, -BITS:] *= -1  # the same descriptor with all bits the other way round
    memory.add(make_frames(1, "run3"), twisted)
    [near], [best] = memory.search(ROWS[:1], k=2), memory.search(ROWS[:1], k=2, using="exact")
    assert [c.place.session for c in best] == ["run1", "run3"]
    assert near[0].place == best[0].place
    assert near[1].place.session != "run3"


def test_writes_are_seen(memory: PlaceMemory) -> None:
    memory.search(QUERY_ROWS, k=1)
    memory.add(make_frames(20, "run4"), QUERY_ROWS)
    found = memory.search(QUERY_ROWS, k=1)
    assert {best.place.session for [best] in found} == {"run4"}


def test_copies_carry_the_bits(memory: PlaceMemory, tmp_path: Path) -> None:
    before = memory.search(QUERY_ROWS, k=5)
    copy(memory.uri, tmp_path / "copy.memory")
    with PlaceMemory.open(tmp_path / "copy.memory") as again:
        after = again.search(QUERY_ROWS, k=5)
    assert [[c.place.id for c in one] for one in after] == [[c.place.id for c in o] for o in before]


def test_bits_in_rows() -> None:
    assert count_bits(CARD) == BITS
    assert count_bits(make_card()) == 0
    np.testing.assert_array_equal(read_bits(ROWS, BITS), np.packbits(SET, axis=1))
    np.testing.assert_allclose(np.linalg.norm(ROWS, axis=1), 1.0, atol=1e-6)
    products = ROWS @ ROWS.T
    np.testing.assert_allclose(products, DESCRIPTORS @ DESCRIPTORS.T, atol=3e-6)
    zero = attach_bits(torch.eye(2), torch.tensor([[0.0, -0.0], [-1.0, 1.0]])).numpy()
    assert read_bits(zero, 2).tolist() == [[0b11000000], [0b01000000]]
    with pytest.raises(DescriptorError, match="96 numbers cannot end with 96 bits"):
        read_bits(ROWS, DIM + BITS)


def test_principal_components_have_no_bits() -> None:
    short = compress_card(CARD, *fit_components(ROWS, 8))
    assert short.options["prefilter_bits"] == BITS
    assert count_bits(short) == 0
    with PlaceMemory.create(":memory:", encoder=short) as memory:
        memory.add(make_frames(3), np.eye(8, dtype=np.float32)[:3])
        [[best]] = memory.search(np.eye(8, dtype=np.float32)[1], k=1)
        assert best.place.index == 1
