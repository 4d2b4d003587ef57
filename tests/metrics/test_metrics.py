"""Recall, error and intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.metrics.alignment import check_frames, rigid_fit
from placememory.metrics.bootstrap import block_bootstrap


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 20))
@settings(deadline=None, max_examples=30)
def test_an_interval_holds_its_value_and_stays_in_range(hits: list[bool], block: int) -> None:
    found = block_bootstrap(np.array(hits, dtype=float), draws=200, block=block)
    assert 0.0 <= found.low <= found.high <= 1.0
    assert found.value == pytest.approx(np.mean(hits))
    if len(set(hits)) == 1:
        assert found.low == found.high == found.value


def test_blocks_widen_the_interval_of_frames_that_fail_together() -> None:
    together = np.repeat([1.0, 0.0, 1.0, 1.0, 0.0, 1.0], 20)
    alone = block_bootstrap(together, block=1)
    blocks = block_bootstrap(together, block=20)
    assert blocks.high - blocks.low > 2 * (alone.high - alone.low)


@given(
    yaw=st.floats(-3.1, 3.1),
    shift=st.tuples(st.floats(-100, 100), st.floats(-100, 100)),
    seed=st.integers(0, 20),
)
@settings(deadline=None, max_examples=30)
def test_a_rigid_transform_is_found_again(yaw, shift, seed) -> None:
    points = np.random.default_rng(seed).normal(size=(30, 2)) * 10
    turn = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
    moved = points @ turn.T + shift
    found, offset = rigid_fit(points, moved)
    assert math.cos(found - yaw) == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(offset, shift, atol=1e-6)


def test_frames_that_differ_are_noticed_among_wrong_matches() -> None:
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(size=(100, 2)), axis=0)
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    matched = walk @ turn.T + [40.0, -12.0] + rng.normal(size=walk.shape) * 0.3
    matched[::3] = rng.normal(size=matched[::3].shape) * 50
    check = check_frames(walk, matched, radius=2.0)
    assert check is not None
    assert check.differs
    assert math.degrees(check.yaw) == pytest.approx(90.0, abs=3.0)
    assert "seem to differ" in str(check)
    same = check_frames(walk, walk + 0.2, radius=2.0)
    assert same is not None
    assert not same.differs


def test_wrong_matches_alone_are_no_other_frame_and_few_say_nothing() -> None:
    rng = np.random.default_rng(1)
    walk = rng.uniform(0, 100, (60, 2))
    check = check_frames(walk, rng.uniform(0, 100, (60, 2)), radius=2.0)
    assert check is not None
    assert not check.differs
    assert check_frames(walk[:5], walk[:5], radius=2.0) is None
    assert check_frames(np.ones((50, 2)), np.ones((50, 2)), radius=2.0) is None
