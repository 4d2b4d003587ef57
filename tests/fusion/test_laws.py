"""Laws that hold for every method."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.fusion import Belief, Evidence, Odometry, PlaceTable, create, names

METHODS = [name for name in names() if "." not in name]
COUNT = 24


def a_map(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Positions, yaw, session, order of two short runs, some without pose."""
    steps = rng.normal((1.0, 0.0), 0.3, (COUNT, 2))
    positions = np.cumsum(steps, axis=0)
    yaw = rng.normal(0, 0.3, COUNT)
    positions[rng.random(COUNT) < 0.1] = np.nan
    half = COUNT // 2
    return positions, yaw, np.repeat([0, 1], half), np.tile(np.arange(half), 2)


def some_frames(rng: np.random.Generator, count: int = 5) -> list[tuple[np.ndarray, Odometry]]:
    columns = rng.normal(0.0, 0.05, (count, COUNT))
    start = rng.integers(0, COUNT - count)
    for t in range(count):
        columns[t, start + t] += rng.uniform(0.0, 0.6)
    return [(c, Odometry(1.0, rng.normal(0, 0.05), rng.normal(0, 0.05))) for c in columns]


def last(fusion, frames, odometry=True, order=None) -> Belief:
    for column, motion in frames:
        evidence = Evidence.from_column(column, k=6)
        if order is not None:
            at = order.permutation(len(evidence.rows))
            evidence = Evidence(
                evidence.rows[at], evidence.similarities[at], column=evidence.column
            )
        belief = fusion.update(evidence, motion if odometry else None)
    return belief


def same(one: Belief, two: Belief, rows=None) -> None:
    """Equal but for rounding; ``rows`` gives the row in ``two`` of each row in ``one``."""
    assert one.verdict == two.verdict
    assert one.probability == pytest.approx(two.probability, abs=1e-9)
    assert one.ambiguity == pytest.approx(two.ambiguity, abs=1e-9)
    for a, b in zip(one.hypotheses, two.hypotheses, strict=True):
        assert b.row == (a.row if rows is None else rows[a.row])
        assert a.weight == pytest.approx(b.weight, abs=1e-9)
        assert (a.position is None) == (b.position is None)
        if a.position is not None:
            assert a.position == pytest.approx(b.position, abs=1e-6)


@pytest.mark.parametrize("name", METHODS)
@given(seed=st.integers(0, 10**6), odometry=st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_order_of_candidates_changes_nothing(name, seed, odometry) -> None:
    rng = np.random.default_rng(seed)
    positions, yaw, session, order = a_map(rng)
    table = PlaceTable.from_arrays(positions, yaw=yaw, session=session, order=order)
    frames = some_frames(rng)
    plain = last(create(name, table), frames, odometry)
    same(plain, last(create(name, table), frames, odometry, order=rng))


@pytest.mark.parametrize("name", METHODS)
@given(seed=st.integers(0, 10**6), odometry=st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_order_of_places_changes_nothing(name, seed, odometry) -> None:
    rng = np.random.default_rng(seed)
    positions, yaw, session, order = a_map(rng)
    frames = some_frames(rng)
    table = PlaceTable.from_arrays(positions, yaw=yaw, session=session, order=order)
    at = rng.permutation(COUNT)
    mixed = PlaceTable.from_arrays(positions[at], yaw=yaw[at], session=session[at], order=order[at])
    plain = last(create(name, table), frames, odometry)
    other = last(create(name, mixed), [(column[at], o) for column, o in frames], odometry)
    same(plain, other, np.argsort(at))


@pytest.mark.parametrize("name", METHODS)
@given(seed=st.integers(0, 10**6), turn=st.floats(-3.1, 3.1), odometry=st.booleans())
@settings(max_examples=25, deadline=None)
def test_moving_the_map_moves_the_answer(name, seed, turn, odometry) -> None:
    rng = np.random.default_rng(seed)
    positions, yaw, session, order = a_map(rng)
    frames = some_frames(rng)
    shift = rng.uniform(-100, 100, 2)
    cosine, sine = math.cos(turn), math.sin(turn)
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    table = PlaceTable.from_arrays(positions, yaw=yaw, session=session, order=order)
    carried = PlaceTable.from_arrays(
        positions @ rotation.T + shift, yaw=yaw + turn, session=session, order=order
    )
    one = last(create(name, table), frames, odometry)
    two = last(create(name, carried), frames, odometry)
    assert one.probability == pytest.approx(two.probability, abs=1e-6)
    if one.best is None or one.ambiguity > 0.999:
        return
    assert one.best.row == two.best.row
    if one.position is None:
        assert two.position is None
        return
    assert rotation @ one.position + shift == pytest.approx(two.position, abs=1e-5)
    if one.yaw is not None:
        assert math.cos(one.yaw + turn - two.yaw) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", METHODS)
@given(seed=st.integers(0, 10**6), odometry=st.booleans())
@settings(max_examples=25, deadline=None)
def test_probabilities_are_probabilities(name, seed, odometry) -> None:
    rng = np.random.default_rng(seed)
    positions, yaw, session, order = a_map(rng)
    table = PlaceTable.from_arrays(positions, yaw=yaw, session=session, order=order)
    fusion = create(name, table)
    for column, motion in some_frames(rng, 8):
        belief = fusion.update(Evidence.from_column(column), motion if odometry else None)
        weights = [hypothesis.weight for hypothesis in belief.hypotheses]
        assert weights == sorted(weights, reverse=True) or name == "frequency"
        assert (belief.probability is None) == (name != "bayes")
        values = [belief.probability or 0.0, belief.ambiguity, *weights]
        assert all(0.0 <= value <= 1.0 for value in values)
        if belief.covariance is not None:
            known = np.isfinite(belief.covariance[:, 0])
            assert np.linalg.eigvalsh(belief.covariance[np.ix_(known, known)]).min() > 0
        if name == "bayes":
            assert fusion.probabilities.sum() == pytest.approx(1.0, abs=1e-12)
            assert fusion.probabilities.min() >= 0.0
            assert belief.off_map == pytest.approx(fusion.probabilities[-1])


@given(seed=st.integers(0, 10**6), odometry=st.booleans())
@settings(max_examples=15, deadline=None)
def test_more_of_the_same_evidence_never_lowers_the_probability(seed, odometry) -> None:
    """In a clean world: only the true place stands out, and the robot drives along the places."""
    rng = np.random.default_rng(seed)
    table = PlaceTable.from_arrays([[float(i), 0.0] for i in range(60)], yaw=np.zeros(60))
    strength = rng.uniform(3.5, 8.0)
    before = []
    fusion = create("bayes", table, radius=2.0)
    for t in range(12):
        evidence = Evidence([10 + t], [strength], level=(0.0, 1.0))
        belief = fusion.update(evidence, Odometry(1.0, 0.0, 0.0) if odometry else None)
        before.append(belief.probability)
    assert np.diff(before).min() >= -1e-3
    stronger = create("bayes", table, radius=2.0)
    for t in range(12):
        evidence = Evidence([10 + t], [strength + 1.0], level=(0.0, 1.0))
        belief = stronger.update(evidence, Odometry(1.0, 0.0, 0.0) if odometry else None)
        assert belief.probability >= before[t] - 1e-9


@pytest.mark.parametrize("name", METHODS)
def test_reset_forgets_everything(name) -> None:
    rng = np.random.default_rng(0)
    positions, yaw, session, order = a_map(rng)
    table = PlaceTable.from_arrays(positions, yaw=yaw, session=session, order=order)
    frames = some_frames(rng)
    fusion = create(name, table)
    first = last(fusion, frames)
    last(fusion, some_frames(rng), odometry=False)
    fusion.reset()
    same(first, last(fusion, frames))
