"""Ten thousand frames: the state stays as small, and an update as fast, as at the start."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest

from placememory.fusion import Evidence, Odometry, PlaceTable, create, names

METHODS = [name for name in names() if "." not in name]


def a_world(count: int) -> tuple[PlaceTable, list[Evidence]]:
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    size = count / (2 * np.pi)
    table = PlaceTable.from_arrays(
        np.column_stack((size * np.cos(angle), size * np.sin(angle))), yaw=angle + np.pi / 2
    )
    frames = []
    for t in range(count):
        rows = (t + np.arange(-2, 3)) % count
        similarities = rng.normal((0.2, 0.3, 0.5, 0.3, 0.2), 0.02)
        frames.append(Evidence(rows, similarities, level=(0.0, 0.06)))
    return table, frames


@pytest.mark.parametrize("name", METHODS)
def test_ten_thousand_updates(name) -> None:
    table, frames = a_world(60)
    fusion = create(name, table)
    motions = (Odometry(1.0, 0.0, 2 * np.pi / 60), None)

    def drive(first: int, last: int) -> None:
        for t in range(first, last):
            odometry = motions[(t // 500) % 2]
            belief = fusion.update(frames[t % 60], odometry)
        assert belief.verdict == "located"

    drive(0, 1000)
    small = len(pickle.dumps(fusion.__dict__))
    tracemalloc.start()
    drive(1000, 1500)
    before = tracemalloc.get_traced_memory()[0]
    drive(1500, 2000)
    tracemalloc.stop()
    drive(2000, 9500)
    tracemalloc.start()
    drive(9500, 10_000)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after < before + 100_000
    assert len(pickle.dumps(fusion.__dict__)) < 1.05 * small + 1000


@pytest.mark.parametrize("odometry", [None, Odometry(1.0, 0.0, 0.0)])
def test_a_belief_over_ten_thousand_places_follows_the_run(odometry) -> None:
    rng = np.random.default_rng(0)
    count = 10_000
    place = np.column_stack((np.arange(count) % 2500, 20.0 * (np.arange(count) // 2500)))
    table = PlaceTable.from_arrays(
        place, yaw=np.zeros(count), session=np.arange(count) // 2500, order=np.arange(count)
    )
    noise = rng.normal(0, 0.05, (8, count))
    fusion = create("bayes", table)
    for t in range(300):
        column = noise[t % 8].copy()
        column[100 + t : 103 + t] += (0.3, 0.4, 0.3)
        belief = fusion.update(Evidence.from_column(column), odometry)
    assert belief.verdict == "located"
    assert belief.best is not None
    assert abs(belief.best.row - 400) <= 2
