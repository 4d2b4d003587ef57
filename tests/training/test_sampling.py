"""Which windows a step sees: places far apart, the hardest negatives, the same for one seed."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.errors import SettingError
from placememory.training import Training
from placememory.training.config import EncoderChoice, Mining, Optimization
from placememory.training.data import TrainingSet
from placememory.training.sampling import Batch, Sampler, mine_triplets, place_batches
from tests.training.made import data, line_set

RADII = data(positive_radius=2.0, negative_radius=6.0)


def lines(count: int = 40, traverses: int = 3, length: int = 1) -> TrainingSet:
    """Traverses along one line, two metres a frame."""
    return line_set(
        [[(2.0 * i, 0.1 * t, 0.0) for i in range(count)] for t in range(traverses)], length=length
    )


def describe(windows: np.ndarray) -> np.ndarray:
    """A made-up descriptor of each window, other for each."""
    rows = [np.random.default_rng(w.tolist()).normal(size=4) for w in windows]
    return np.asarray(rows, np.float32)


def sampler(found: TrainingSet, **changes: object) -> Sampler:
    settings_ = Training(name="t", encoder=EncoderChoice(name="cosplace"), data=RADII)
    return Sampler(found, settings_.model_copy(update=changes), describe)


def distances(found: TrainingSet, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.linalg.norm(
        found.positions[one.ravel()][:, None] - found.positions[other.ravel()][None], axis=2
    )


@given(st.integers(0, 1000), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_places_of_a_batch_are_far_apart_and_views_of_one_near(seed: int, length: int) -> None:
    found = lines(length=length)
    mining = Mining(places=3, views=3)
    batches = list(place_batches(found, RADII, mining, np.random.default_rng(seed)))
    assert batches
    for batch in batches:
        assert batch.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        for one in range(3):
            mine = batch.windows[batch.labels == one]
            assert all(distances(found, mine[0], view).min() <= 2.0 for view in mine[1:])
            others = batch.windows[batch.labels != one]
            assert distances(found, mine, others).min() > 6.0


def test_a_query_comes_once_in_a_pass() -> None:
    found = lines()
    batches = place_batches(found, RADII, Mining(places=3, views=2), np.random.default_rng(0))
    queries = [int(row[0]) for batch in batches for row in batch.windows[::2]]
    assert len(set(queries)) == len(queries) > 100


def test_too_few_places_are_refused() -> None:
    with pytest.raises(SettingError, match="no 30 places"):
        next(place_batches(lines(), RADII, Mining(places=30), np.random.default_rng(0)))


def test_triplets_are_the_hardest_by_brute_force() -> None:
    found = lines(length=2)
    mining = Mining(kind="cached", queries=20, negatives=30, per_query=3)
    rows = mine_triplets(found, RADII, mining, np.random.default_rng(3), describe)
    assert rows.shape == (20, 5, 2)
    sampled = np.sort(  # what the function drew: first the order of the queries
        _after(np.random.default_rng(3), len(found.queries)).choice(
            len(found.database), 30, replace=False
        )
    )
    for query, positive, *negatives in rows:
        mine = describe(query[None])[0]
        near = [found.database[r] for r in found.positives(query[None], RADII)[0]]
        costs = [float(np.linalg.norm(describe(w[None])[0] - mine)) for w in near]
        assert positive.tolist() == near[int(np.argmin(costs))].tolist()
        far = [w for w in found.database[sampled] if distances(found, query, w).min() > 6.0]
        ranked = sorted(far, key=lambda w: float(np.linalg.norm(describe(w[None])[0] - mine)))
        assert [n.tolist() for n in negatives] == [w.tolist() for w in ranked[:3]]


def _after(draw: np.random.Generator, queries: int) -> np.random.Generator:
    draw.permutation(queries)
    return draw


def test_queries_without_enough_negatives_are_refused() -> None:
    with pytest.raises(SettingError, match="negatives beyond"):
        mine_triplets(
            lines(count=3), RADII, Mining(kind="cached"), np.random.default_rng(0), describe
        )


CACHED = {
    "mining": Mining(kind="cached", queries=8, negatives=40, per_query=2, refresh=6, shuffled=0.5),
    "optimization": Optimization(batch=2, steps_per_epoch=8),
}
PLACES = {
    "mining": Mining(places=3, views=2),
    "optimization": Optimization(steps_per_epoch=60),
}


@pytest.mark.parametrize("changes", [CACHED, PLACES], ids=["cached", "places"])
def test_an_epoch_can_be_taken_up_in_its_middle(changes: dict[str, object]) -> None:
    found = lines(length=3)
    steps = changes["optimization"].steps_per_epoch  # type: ignore[attr-defined]
    whole = list(sampler(found, **changes).epoch(1))
    assert len(whole) == steps
    for stop in (1, 3, steps - 1):
        first = sampler(found, **changes)
        begun = list(islice(first.epoch(1), stop))
        rest = list(sampler(found, **changes).epoch(1, first.position))
        assert _same(whole, begun + rest)


def test_seeds_and_epochs_draw_differently() -> None:
    found = lines(length=3)
    one = sampler(found, **CACHED)
    assert _same(list(one.epoch(0)), list(sampler(found, **CACHED).epoch(0)))
    assert not _same(list(one.epoch(0)), list(one.epoch(1)))
    assert not _same(list(one.epoch(0)), list(sampler(found, **CACHED, seed=1).epoch(0)))


def test_a_refresh_uses_its_triplets_once() -> None:
    drawn = sampler(lines(length=3), **CACHED)
    refreshes = [drawn.position.refresh for _ in drawn.epoch(0)]
    assert refreshes == [0, 0, 0, 1, 1, 1, 2, 2]


def test_one_negative_may_be_the_shuffled_positive() -> None:
    mining = CACHED["mining"].model_copy(update={"shuffled": 1.0})
    for batch in sampler(lines(length=3), **{**CACHED, "mining": mining}).epoch(0):
        for triplet in batch.windows.reshape(-1, 4, 3):
            assert sorted(triplet[3]) == sorted(triplet[1])
            assert triplet[3].tolist() != triplet[1].tolist()
            assert (np.diff(triplet[:3], axis=1) == 1).all()


def _same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a.windows, b.windows) and np.array_equal(a.labels, b.labels)
        for a, b in zip(one, other, strict=True)
    )
