"""The original SeqSLAM against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.matching.seqslam_classic import SeqSlamClassic, enhance_contrast
from tests.matching._plain import contrast, line_costs

some = settings(deadline=None, max_examples=30)


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
