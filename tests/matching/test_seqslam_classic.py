"""SeqSLAM against plain loops, and its preprocessing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.errors import InputError, SettingError
from placememory.matching._seqslam_images import difference_matrix, patch_normalise
from placememory.matching.seqslam_classic import SeqSlamClassic, enhance_contrast
from tests.matching._plain import contrast, line_costs

some = settings(deadline=None, max_examples=30)


@given(st.integers(2, 30), st.integers(1, 18), st.integers(1, 9), st.integers(0, 1000))
@some
def test_a_whole_traverse_is_the_plain_triple_loop(rows, frames, length, seed) -> None:
    matrix = np.random.default_rng(seed).random((rows, frames))
    found = SeqSlamClassic(length=length, exclusion=4, contrast=6).match_all(matrix)
    length += length % 2
    enhanced = contrast(matrix, 6)
    expected_rows, expected_scores = np.full(frames, -1), np.full(frames, np.nan)
    for first in range(frames - length):
        costs = line_costs(enhanced, first, length, 0.8, 1.2)
        valid = {row: value for row, value in enumerate(costs) if value is not None}
        if not valid:
            continue
        best = min(valid, key=valid.__getitem__)
        others = [v for row, v in valid.items() if not best - 2 <= row < best + 2]
        expected_rows[first + length // 2] = best + length // 2
        expected_scores[first + length // 2] = valid[best] / min(others) if others else 1.0
    np.testing.assert_array_equal(found.rows, expected_rows)
    np.testing.assert_allclose(found.scores, expected_scores, rtol=1e-6)


@given(st.integers(12, 60), st.integers(0, 1000))
@some
def test_a_window_gives_what_the_traverse_gives_in_its_middle(rows, seed) -> None:
    enhanced = enhance_contrast(np.random.default_rng(seed).random((rows, 15)))
    enhanced -= enhanced.min()
    matcher = SeqSlamClassic(contrast=0)
    whole = matcher.match_all(enhanced)
    for first in range(5):
        found = matcher.match(enhanced[:, first : first + 11])
        if len(found):
            assert found.paths[0, 0] == whole.rows[first + 5] - 5
            assert found.scores[0] == pytest.approx(whole.scores[first + 5])


@given(st.integers(2, 25), st.integers(1, 12), st.integers(0, 1000))
@some
def test_one_window_is_the_plain_loop(rows, frames, seed) -> None:
    matrix = np.random.default_rng(seed).random((rows, frames))
    found = SeqSlamClassic(contrast=6, exclusion=4).match(matrix)
    enhanced = contrast(matrix, 6)
    costs = line_costs(enhanced, 0, frames - 1, 0.8, 1.2)
    valid = {row: value for row, value in enumerate(costs) if value is not None}
    assert (len(found) == 0) == (not valid)
    for path in found.paths:
        along = enhanced[path, np.arange(frames)].sum()
        assert along == pytest.approx(valid[path[0]], abs=1e-6)
    if valid:
        best = min(valid, key=valid.__getitem__)
        others = [v for row, v in valid.items() if not best - 2 <= row < best + 2]
        assert found.paths[0, 0] == best
        ratio = valid[best] / min(others) if others and min(others) > 0 else 1.0
        assert found.scores[0] == pytest.approx(ratio, abs=1e-6)


def test_alternatives_lie_outside_of_each_others_surroundings() -> None:
    matrix = np.random.default_rng(0).random((300, 11)) + 1
    for start, value in ((100, 0.1), (30, 0.4), (33, 0.45), (200, 0.7)):
        matrix[start + np.arange(11), np.arange(11)] = value
    found = SeqSlamClassic(candidates=3, contrast=0).match(matrix)
    assert found.paths[:, 0].tolist() == [100, 30, 200]
    assert found.scores[0] == pytest.approx(0.25)
    one = SeqSlamClassic(candidates=1, contrast=0).match(matrix)
    assert one.scores.tolist() == found.scores[:1].tolist()


def test_a_map_shorter_than_the_slowest_line_has_no_answer() -> None:
    assert len(SeqSlamClassic().match(np.ones((7, 11)))) == 0
    found = SeqSlamClassic().match_all(np.ones((8, 30)))
    assert (found.rows == -1).all()
    assert np.isnan(found.scores).all()
    assert (SeqSlamClassic().match_all(np.ones((30, 10))).rows == -1).all()


@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 13), st.integers(0, 1000))
@some
def test_contrast_enhancement_is_the_plain_loop(rows, frames, half, seed) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.random((rows, frames)) + 1000
    matrix[rng.integers(0, rows, 2)] = 1000.5
    found = enhance_contrast(matrix, 2 * half)
    if half == 0 or rows == 1:
        np.testing.assert_array_equal(found, matrix)
    else:
        expected = contrast(matrix, 2 * half)
        np.testing.assert_allclose(found - found.min(), expected, atol=1e-6)


def test_contrast_of_equal_neighbours_is_zero() -> None:
    matrix = np.full((50, 3), 0.3)
    assert (enhance_contrast(matrix) == 0).all()
    matrix[40:, 1] = np.linspace(0, 1, 10)
    assert (enhance_contrast(matrix)[:30] == 0).all()
    far = np.concatenate([np.random.default_rng(0).random((2000, 3)) * 100, matrix[:30] / 3])
    assert (enhance_contrast(far)[-20:] == 0).all()


@given(st.integers(1, 3), st.integers(1, 3), st.integers(2, 8), st.integers(0, 100))
@some
def test_patches_have_mean_0_and_deviation_1(down, across, patch, seed) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (2, down * patch, across * patch))
    image[0, :patch, :patch] = 77
    found = patch_normalise(image, patch)
    assert found.shape == image.shape
    assert found.dtype == np.float32
    assert (found[0, :patch, :patch] == 0).all()
    assert found[1, :patch, :patch].mean() == pytest.approx(0, abs=1e-5)
    assert found[1, :patch, :patch].std(ddof=1) == pytest.approx(1, rel=1e-4)
    brighter = patch_normalise(image * 2 + 5, patch)
    np.testing.assert_allclose(brighter, found, atol=1e-4)


@given(st.integers(1, 90), st.integers(1, 9), st.integers(1, 3000))
@some
def test_differences_do_not_wrap(count, others, pixels) -> None:
    rng = np.random.default_rng(pixels)
    first = rng.integers(0, 256, (count, pixels), np.uint8)
    second = rng.integers(0, 256, (others, pixels), np.uint8)
    expected = np.abs(first[:, None].astype(float) - second).mean(axis=2)
    np.testing.assert_allclose(difference_matrix(first, second), expected, rtol=1e-5)


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="patches of 8"):
        patch_normalise(np.ones((32, 60)))
    with pytest.raises(SettingError, match="patch"):
        patch_normalise(np.ones((32, 64)), patch=1)
    with pytest.raises(InputError, match="compared"):
        difference_matrix(np.ones((3, 4)), np.ones((3, 5)))
