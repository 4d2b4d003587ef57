"""What holds for every matcher: shapes, order, small maps, ties, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.errors import DescriptorError, InputError, SettingError
from placememory.matching import Matcher, SequenceMatch, create, names

ALL = (
    "adaptseq",
    "adaptseq-v2",
    "band-dp",
    "nearest",
    "seqmatch",
    "seqslam",
    "seqslam-classic",
    "sequence-only",
)
ADAPTIVE = ("adaptseq", "adaptseq-v2", "band-dp")
few = settings(deadline=None, max_examples=40)


def noise(rows: int, length: int, seed: int = 0) -> np.ndarray:
    """Distances of places that are all about as different."""
    return np.random.default_rng(seed).uniform(0.95, 1.0, (rows, length)).astype(np.float32)


def planted(path: np.ndarray, rows: int, seed: int = 0) -> np.ndarray:
    """Noise with small distances along a path."""
    matrix = noise(rows, len(path), seed)
    matrix[path, np.arange(len(path))] = 0.05
    return matrix


def test_every_matcher_is_found_by_its_name() -> None:
    assert set(ALL) <= set(names())
    for name in ALL:
        assert isinstance(create(name), Matcher)


@given(
    st.integers(1, 40), st.integers(1, 12), st.integers(1, 6), st.booleans(), st.integers(0, 1000)
)
@settings(deadline=None, max_examples=150)
def test_shapes_order_and_bounds_on_maps_of_any_size(rows, length, count, ties, seed) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.integers(0, 3, (rows, length)) if ties else rng.random((rows, length))
    before = matrix.copy()
    for name in ALL:
        for candidates in (None, rng.integers(0, rows, count), []):
            found = create(name, candidates=count).match(matrix, candidates)
            check_shape(found, matrix, count)
            if candidates is None and name not in ("sequence-only", "seqslam-classic"):
                assert len(found) >= 1
    np.testing.assert_array_equal(matrix, before)


def check_shape(found: SequenceMatch, matrix: np.ndarray, count: int) -> None:
    rows, length = matrix.shape
    assert found.paths.dtype == np.int64
    assert found.scores.dtype == found.means.dtype == np.float64
    assert found.paths.shape == (len(found.scores), length)
    assert len(found) <= count
    assert len(found.scores) == len(found.means) == len(found)
    assert not np.isnan(found.scores).any()
    assert (found.scores[1:] >= found.scores[:-1]).all()
    if len(found) == 0:
        assert found.distances.shape == (0,)
        return
    assert found.paths.min() >= 0
    assert found.paths.max() < rows
    values = matrix.astype(float)[found.paths, np.arange(length)]
    np.testing.assert_allclose(found.distances, values[0], rtol=1e-6)
    np.testing.assert_allclose(found.means, values.mean(axis=1), rtol=1e-6)


@given(st.lists(st.integers(0, 3), min_size=3, max_size=14), st.integers(0, 40), st.integers(0, 99))
@few
def test_paths_of_speeds_0_to_3_with_stops_are_found(steps, start, seed) -> None:
    path = start + np.concatenate([[0], np.cumsum(steps)])
    matrix = planted(path, 100, seed)
    for name in ADAPTIVE:
        np.testing.assert_array_equal(create(name).match(matrix).paths[0], path, err_msg=name)
        with_hint = create(name).match(matrix, [90, path[-1], 3])
        np.testing.assert_array_equal(with_hint.paths[0], path, err_msg=name)


@given(st.integers(1, 30), st.integers(0, 60), st.integers(0, 99))
@few
def test_lines_of_speed_1_are_found_by_all_that_use_the_sequence(length, start, seed) -> None:
    path = start + np.arange(length)
    matrix = planted(path, 100, seed)
    for name in ("nearest", "seqslam", "adaptseq", "adaptseq-v2", "band-dp", "seqmatch"):
        np.testing.assert_array_equal(create(name).match(matrix).paths[0], path, err_msg=name)
    hinted = create("seqmatch", sequence_length=length).match(matrix, [99, path[-1]])
    np.testing.assert_array_equal(hinted.paths[0], path)


@given(st.integers(0, 60), st.integers(1, 40), st.integers(1, 10), st.integers(0, 99))
@few
def test_more_map_before_shifts_the_answer(rows, shift, length, seed) -> None:
    matrix = np.random.default_rng(seed).random((rows + 20, length)).astype(np.float32)
    later = np.concatenate([np.full((shift, length), 2.0, np.float32), matrix])
    for name in ("nearest", "seqslam", "band-dp"):
        here, there = create(name).match(matrix), create(name).match(later)
        np.testing.assert_array_equal(there.paths[0], here.paths[0] + shift, err_msg=name)
        np.testing.assert_allclose(there.means[0], here.means[0])
    candidates = np.array([rows + 19, 12, 9])
    for name in ("seqmatch", "adaptseq-v2", "band-dp"):
        matcher = create(name, sequence_length=5)
        here, there = matcher.match(matrix, candidates), matcher.match(later, candidates + shift)
        if here.paths[0].min() >= 3 * length:  # else a path may have met the beginning of the map
            np.testing.assert_array_equal(there.paths[0], here.paths[0] + shift, err_msg=name)


@given(st.permutations(range(40)), st.integers(0, 99))
@few
def test_the_order_of_distractors_does_not_matter(order, seed) -> None:
    path = 50 + np.array([0, 1, 3, 3, 4, 6])
    matrix = planted(path, 100, seed)
    shuffled = matrix.copy()
    shuffled[:40] = matrix[list(order)]
    for name in ("nearest", "adaptseq-v2", "band-dp"):
        found, again = create(name).match(matrix), create(name).match(shuffled)
        np.testing.assert_array_equal(found.paths[0], again.paths[0])
        np.testing.assert_allclose(found.distances, again.distances)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rows", [1, 3, 30])
def test_of_equal_distances_the_first_wins(name, rows) -> None:
    found = create(name).match(np.ones((rows, 4), np.float32), [0, rows - 1])
    if len(found):
        assert found.paths[0, 0] == 0
        assert (np.diff(found.paths[0]) <= 1).all()


@pytest.mark.parametrize("name", ALL)
def test_one_place_and_one_frame(name) -> None:
    found = create(name).match([[0.25]], [0])
    assert found.paths.tolist() == [[0]]
    assert found.distances.tolist() == [0.25]
    assert found.scores.tolist() == ([0.25] if found.score_kind == "sum" else found.scores.tolist())
    assert (
        found.scores[0] == {"ratio": 1, "relative": 1, "constant": 0, "sum": 0.25}[found.score_kind]
    )


@pytest.mark.parametrize("name", ALL)
def test_zero_distances_and_rounding_below_zero_give_defined_scores(name) -> None:
    for value in (0.0, -1e-7):
        matrix = np.full((40, 3), value, np.float32)
        assert np.isfinite(create(name).match(matrix, [39, 5]).scores).all()
        matrix[20:] = 0.5
        assert not np.isnan(create(name).match(matrix, [39, 5]).scores).any()


@pytest.mark.parametrize("name", ALL)
def test_a_part_of_a_larger_matrix_gives_the_same(name) -> None:
    big = np.random.default_rng(3).random((80, 30)).astype(np.float32)
    part = big[10:70, 7:15]
    one = create(name).match(part, [50, 7])
    other = create(name).match(np.ascontiguousarray(part), np.array([50, 7], np.int32))
    np.testing.assert_array_equal(one.paths, other.paths)
    np.testing.assert_array_equal(one.scores, other.scores)
    turned = create(name).match(np.asfortranarray(part), [50, 7])
    np.testing.assert_array_equal(one.paths, turned.paths)


@pytest.mark.parametrize("name", ALL)
def test_whole_numbers_and_half_precision_are_taken(name) -> None:
    matrix = np.random.default_rng(1).integers(0, 100, (40, 5))
    for kind in (np.uint8, np.int64, np.float16, np.float64):
        found = create(name).match(matrix.astype(kind), [39, 7])
        exact = create(name).match(matrix.astype(np.float32), [39, 7])
        np.testing.assert_array_equal(found.paths, exact.paths)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_distances_that_are_no_numbers_are_refused(name, bad) -> None:
    matrix = noise(30, 4)
    matrix[17, 2] = bad
    with pytest.raises(DescriptorError, match="reference row 17 to window frame 2"):
        create(name).match(matrix)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "bad",
    [np.ones(4), np.ones((0, 4)), np.ones((4, 0)), np.ones((2, 2, 2)), [["a"]], [[True]], [[1j]]],
    ids=str,
)
def test_what_is_not_a_matrix_of_numbers_is_refused(name, bad) -> None:
    with pytest.raises(DescriptorError, match="distances"):
        create(name).match(bad)


@pytest.mark.parametrize("name", ["sequence-only", "seqmatch", "adaptseq-v2", "band-dp"])
@pytest.mark.parametrize("bad", [[30], [-1], [0.5], [[1]], [True]], ids=str)
def test_candidates_that_are_no_rows_are_refused(name, bad) -> None:
    with pytest.raises(InputError, match="candidates"):
        create(name).match(noise(30, 4), bad)


@pytest.mark.parametrize("bad", [0, -1, 2.5, True, "5", None])
@pytest.mark.parametrize("setting", ["candidates", "search_width", "block", "sequence_length"])
def test_settings_that_are_no_counts_are_refused(setting, bad) -> None:
    for name in ("adaptseq-v2", "band-dp"):
        with pytest.raises(SettingError, match=setting):
            create(name, **{setting: bad})


def test_unknown_names_and_settings_are_refused_with_a_hint() -> None:
    with pytest.raises(SettingError, match="did you mean 'band-dp'"):
        create("band-pd")
    with pytest.raises(SettingError, match="seqslam has no setting 'block'; it has: candidates"):
        create("seqslam", block=3)
    for name in ("seqslam", "seqslam-classic"):
        with pytest.raises(SettingError, match="slowest"):
            create(name, slowest=1.5)
