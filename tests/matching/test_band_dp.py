"""The dynamic programme is exact: against every path there is, and against greedy walks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.matching.adaptseq import AdaptSeq
from placememory.matching.adaptseq_v2 import AdaptSeqV2
from placememory.matching.band_dp import BandDp, usual_level
from tests.matching._plain import all_paths, cost

some = settings(deadline=None, max_examples=60)


def random_matrix(rows: int, length: int, seed: int, *, ties: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    matrix = rng.integers(0, 3, (rows, length)) if ties else rng.random((rows, length))
    return matrix.astype(np.float32)


def is_path(path: np.ndarray, width: int) -> bool:
    return bool((np.diff(path) >= 0).all() and (np.diff(path) < width).all())


@given(
    st.integers(1, 7), st.integers(1, 5), st.integers(1, 4), st.booleans(), st.integers(0, 10_000)
)
@some
def test_no_path_of_the_band_is_cheaper(rows, length, width, ties, seed) -> None:
    matrix = random_matrix(rows, length, seed, ties=ties)
    paths = all_paths(rows, length, width)
    ascending = min(cost(matrix, path) for path in paths)
    descending = min(cost(matrix[::-1], path) for path in paths)
    for reverse, least in ((False, ascending), (True, min(ascending, descending))):
        found = BandDp(search_width=width, reverse=reverse).match(matrix)
        assert found.means[0] * length == pytest.approx(least, abs=1e-5)
        best = found.paths[0]
        assert is_path(best, width) or (reverse and is_path(best[::-1], width))


@given(
    st.integers(1, 7), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(0, 9999)
)
@some
def test_no_path_through_the_blocks_is_cheaper(rows, length, width, size, seed) -> None:
    matrix = random_matrix(rows, length, seed)
    ends = np.random.default_rng(seed).integers(0, rows, 2)

    def through(path: tuple[int, ...], end: int) -> bool:
        newest = path[max(0, length - size) :]
        return any(end - size + 1 <= row <= end for row in newest)

    for reverse in (False, True):
        costs = []
        for flat in all_paths(rows, length, width):
            for path in (flat, tuple(rows - 1 - r for r in flat))[: 1 + reverse]:
                if any(through(path, int(end)) for end in ends):
                    costs.append(cost(matrix, path))
        matcher = BandDp(search_width=width, sequence_length=size, reverse=reverse)
        found = matcher.match(matrix, ends)
        assert found.means[0] * length == pytest.approx(min(costs), abs=1e-5)
        assert any(through(tuple(found.paths[0]), int(end)) for end in ends)


@given(st.integers(15, 90), st.integers(1, 14), st.integers(1, 5), st.integers(0, 10_000))
@some
def test_greedy_walks_are_never_cheaper(rows, length, width, seed) -> None:
    matrix = random_matrix(rows, length, seed)
    ends = np.random.default_rng(seed).integers(0, rows, 3)
    exact = BandDp(search_width=width)
    greedy = AdaptSeqV2(search_width=width).match(matrix, ends)
    assert exact.match(matrix, ends).means[0] <= greedy.means[0] + 1e-6
    anywhere = AdaptSeq(search_width=width).match(matrix)
    assert exact.match(matrix).means[0] <= anywhere.means[0] + 1e-6


@given(st.integers(1, 120), st.integers(1, 8), st.integers(1, 20), st.booleans(), st.booleans())
@some
def test_alternatives_are_distinct_places_of_increasing_cost(
    rows, length, block, reverse, hinted
) -> None:
    matrix = random_matrix(rows, length, rows * length)
    candidates = np.linspace(0, rows - 1, 6).astype(int) if hinted else None
    found = BandDp(candidates=6, block=block, reverse=reverse).match(matrix, candidates)
    ends = found.paths[:, -1]
    assert (np.abs(ends[:, None] - ends) + block * np.eye(len(ends)) >= block).all()
    assert (np.diff(found.means) >= 0).all()
    if not hinted:  # each is the cheapest path to its last row
        costs = dict.fromkeys(ends.tolist(), np.inf)
        for view, turn in ((matrix, False), (matrix[::-1], True))[: 1 + reverse]:
            for end in costs:
                last = rows - 1 - end if turn else end
                costs[end] = min(costs[end], cheapest_to(view, last))
        np.testing.assert_allclose(found.means * length, list(costs.values()), rtol=1e-5)


def cheapest_to(matrix: np.ndarray, end: int, width: int = 4) -> float:
    """By recursion over columns, from the end."""
    sums = {end: float(matrix[end, -1])}
    for column in range(matrix.shape[1] - 2, -1, -1):
        before: dict[int, float] = {}
        for row, value in sums.items():
            for earlier in range(max(0, row - width + 1), row + 1):
                total = value + float(matrix[earlier, column])
                before[earlier] = min(before.get(earlier, np.inf), total)
        sums = before
    return min(sums.values())


def test_a_route_driven_backwards_needs_reverse() -> None:
    path = 60 - np.arange(10) * 2
    matrix = np.random.default_rng(0).uniform(0.9, 1, (100, 10))
    matrix[path, np.arange(10)] = 0.1
    assert BandDp(reverse=True).match(matrix).paths[0].tolist() == path.tolist()
    assert BandDp(reverse=True).match(matrix, [80, 43]).paths[0].tolist() == path.tolist()
    assert BandDp().match(matrix).means[0] > 0.7


def test_a_wrong_low_distance_does_not_lead_astray_as_it_does_the_greedy_walk() -> None:
    path = np.array([30, 31, 32, 33, 34, 35])
    matrix = np.random.default_rng(0).uniform(0.9, 1, (100, 6))
    matrix[path, np.arange(6)] = 0.2
    matrix[35, 2] = 0.1  # a jump ahead that there is no way back from
    hint = [35]
    assert BandDp().match(matrix, hint).paths[0].tolist() == path.tolist()
    assert AdaptSeqV2().match(matrix, hint).paths[0].tolist() != path.tolist()


@given(st.integers(1, 40), st.floats(0.01, 100))
@some
def test_the_score_has_no_unit(length, scale) -> None:
    matrix = random_matrix(60, length, length) + 0.1
    found, scaled = BandDp().match(matrix), BandDp().match(matrix * np.float32(scale))
    np.testing.assert_allclose(found.scores, scaled.scores, rtol=1e-4)


@pytest.mark.parametrize("length", [3, 5, 10, 20, 40])
def test_the_score_can_be_compared_between_lengths_and_map_sizes(length) -> None:
    """The same planted quality gives the same score; an unknown place is near 1."""
    rng = np.random.default_rng(length)
    for rows in (100, 400, 1600):
        matrix = rng.normal(0.8, 0.02, (rows, length))
        unknown = BandDp().match(matrix).scores[0]
        matrix[20 + np.arange(length), np.arange(length)] = 0.4
        found = BandDp().match(matrix)
        assert found.scores[0] == pytest.approx(0.4 / 0.786, abs=0.01)
        assert 0.93 < unknown < 1.0


def test_the_usual_level_of_a_large_map_is_that_of_a_sample() -> None:
    matrix = np.random.default_rng(0).random((20_000, 4))
    assert usual_level(matrix) == pytest.approx(0.25, abs=0.02)
