"""Centred similarities, and the law of look-alikes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placememory.likeness import Background, Centring
from placememory.memory import copy, list_background
from placememory.samples import render_building


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@given(st.integers(0, 10_000), st.integers(3, 40), st.integers(2, 30))
def test_centring_by_similarities_is_centring_the_descriptors(seed: int, n: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    rows, views = _unit(rng.normal(size=(n, dim)) + 0.5), _unit(rng.normal(size=(7, dim)) + 0.3)
    centring = Centring(rows)
    mean = (5.0 * rows.mean(axis=0) + views.sum(axis=0)) / 12.0
    places = rows - rows.mean(axis=0)
    lengths = np.sqrt(np.maximum((places**2).sum(axis=1), 1e-6))
    expected = (views - mean) @ (places / lengths[:, None]).T
    assert centring.apply_to_run(views) == pytest.approx(expected, abs=2e-4 / float(lengths.min()))


def test_what_a_whole_run_shares_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    rows = _unit(rng.normal(size=(60, 64)))
    night = rng.normal(size=64)  # the same in all views of the run
    views = _unit(rows[10:50] + 0.6 * rng.normal(size=(40, 64)) + 2.0 * night)
    plain = (views @ rows.T).argmax(axis=1) == np.arange(10, 50)
    centred = Centring(rows).apply_to_run(views).argmax(axis=1) == np.arange(10, 50)
    assert centred.mean() > plain.mean() + 0.1


def test_the_law_grows_with_the_map_as_the_best_of_more_does() -> None:
    rng = np.random.default_rng(0)
    rows, views = _unit(rng.normal(size=(3000, 64))), _unit(rng.normal(size=(400, 64)))
    small, large = Background.measure(rows[:300], views), Background.measure(rows, views)
    assert small is not None
    assert large is not None
    assert small.grow_to(3000).location == pytest.approx(large.location, abs=0.03)
    assert Background.measure(rows[:5], views) is None
    assert small.grow_to(300) == small


def test_the_shipped_views_are_of_one_size_and_differ() -> None:
    images = [frame.image() for frame in list_background()]
    assert {image.shape for image in images} == {(192, 256, 3)}
    assert len({image.tobytes() for image in images}) == len(images) >= 40


@pytest.mark.slow
def test_a_built_memory_knows_how_alike_other_places_are(tmp_path: Path) -> None:
    pytest.importorskip("vizdoom", reason="the extra 'demo' is not installed")
    import placememory as pm

    made = render_building(tmp_path / "b", frames=24)
    with pm.build(tmp_path / "m", made.mapping) as memory:
        stored = memory.manifest.background
        assert stored is not None
        law = Background.from_dict(stored)
        assert (law.places, law.views) == (24, len(list_background()))
        views = [frame.image() for frame in list_background()]
        again = Background.measure(memory.descriptors, memory.encoder().encode(views))
        assert again == law
    with copy(tmp_path / "m", tmp_path / "copy") as copied:
        assert copied.manifest.background == stored
