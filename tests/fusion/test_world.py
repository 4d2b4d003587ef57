"""The methods in a made-up world with look-alikes, a detour off the map, and odd motion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from placememory.fusion import Evidence, ObservationModel, Odometry, PlaceTable, create
from tests.fusion._world import RADIUS, Run, World, beliefs, score

STOP = np.concatenate((np.arange(5.0, 15.0, 0.5), np.full(15, 15.0), np.arange(15.0, 25.0, 0.5)))


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=0)


@pytest.fixture(scope="module")
def tour(world: World) -> Run:
    s = np.arange(3.0, 1.6 * world.length, 0.8)
    return world.run(s, detour=(len(s) // 2, len(s) // 2 + 25))


@pytest.mark.parametrize("odometry", [True, False])
def test_bayes_locates_most_frames_and_is_right(world, tour, odometry) -> None:
    result = score(lambda places: create("bayes", places, world.profile), world, tour, odometry)
    assert result.located >= 0.85
    assert result.precision >= (0.98 if odometry else 0.96)
    assert result.error < 0.08
    assert result.metres < 0.5


@pytest.mark.parametrize("odometry", [True, False])
def test_bayes_is_at_least_as_good_as_the_window_methods(world, tour, odometry) -> None:
    bayes = score(lambda places: create("bayes", places, world.profile), world, tour, odometry)
    for name in ("frequency", "spatial", "heatmap"):
        other = score(lambda places, name=name: create(name, places), world, tour, odometry)
        assert bayes.right >= other.right, name
        assert other.precision >= 0.85, name


def test_all_methods_beat_the_single_frame(world, tour) -> None:
    best = world.table.positions[tour.columns.argmax(axis=1)]
    right = np.linalg.norm(best - tour.poses[:, :2], axis=1) <= RADIUS
    single = right[tour.on_map].mean()
    for name in ("bayes", "frequency", "heatmap", "spatial"):
        fused = score(lambda places, name=name: create(name, places), world, tour, odometry=True)
        assert fused.right > single + 0.05, name


def test_off_the_map_is_unknown(world, tour) -> None:
    away = np.flatnonzero(~tour.on_map)
    said = list(beliefs(create("bayes", world.table, world.profile), tour, odometry=True))
    assert all(said[t].verdict != "located" for t in away)
    assert sum(said[t].verdict == "unknown" for t in away) >= 0.8 * len(away)
    assert said[int(away[-3])].off_map > 0.8
    assert said[int(away[0]) - 5].off_map < 0.1


@pytest.mark.parametrize("odometry", [True, False])
def test_a_kidnapped_robot_is_found_again(world, odometry) -> None:
    s = np.concatenate((np.arange(5.0, 20.0, 0.6), np.arange(55.0, 70.0, 0.6)))
    run = world.run(s)
    run.odometry[25] = run.odometry[24]  # it does not notice that it is carried
    said = list(beliefs(create("bayes", world.table, world.profile), run, odometry))
    right = [far(b, pose) <= RADIUS for b, pose in zip(said, run.poses, strict=True)]
    located = [b.verdict == "located" for b in said]
    assert all(right[5:25])
    assert np.mean(located[5:25]) >= 0.9
    assert any(located[25:36])
    assert all(good for good, yes in zip(right[25:], located[25:], strict=True) if yes)
    assert np.mean(located[36:]) >= 0.9


@pytest.mark.parametrize(
    "s",
    [
        pytest.param(np.arange(30.0, 10.0, -0.5), id="backwards"),
        pytest.param(np.arange(3.0, 60.0, 1.5), id="three times the speed"),
        pytest.param(
            STOP,
            id="a stop",
        ),
    ],
)
def test_any_speed_without_odometry(world, s) -> None:
    result = score(
        lambda places: create("bayes", places, world.profile),
        world,
        world.run(s, 0.8),
        odometry=False,
    )
    assert result.right >= 0.9
    assert result.precision >= 0.95


def test_the_speed_is_learned(world) -> None:
    fusion = create("bayes", world.table, world.profile)
    list(beliefs(fusion, world.run(np.arange(3.0, 60.0, 1.5), 0.5), odometry=False))
    steps = fusion._order.steps
    mean = steps @ (np.arange(len(steps)) - len(steps) // 2)
    assert 2.2 <= mean <= 3.5


def test_poor_descriptors_are_enough_and_a_fit_of_the_observation_does_no_harm(world) -> None:
    s = np.arange(3.0, 1.3 * world.length, 0.8)
    before, after = world.run(s, 1.8), world.run(s + 0.3, 1.8, (60, 85))
    apart = np.linalg.norm(world.table.positions[None] - before.poses[:, None, :2], axis=2)
    frames = [Evidence.from_column(column) for column in before.columns]
    z = np.array([frame.normalise(frame.column) for frame in frames])
    fitted = ObservationModel().fit(np.where(apart <= RADIUS, z, -9).max(axis=1), z[apart > RADIUS])
    plain = score(
        lambda places: create("bayes", places, world.profile), world, after, odometry=True
    )
    good = score(
        lambda places: create("bayes", places, world.profile, observation=fitted),
        world,
        after,
        odometry=True,
    )
    assert good.located >= plain.located - 0.02
    assert min(plain.precision, good.precision) >= 0.98


def test_places_without_pose_in_two_sessions(world) -> None:
    half = len(world.table) // 2
    table = PlaceTable.from_arrays(
        np.full((len(world.table), 2), np.nan),
        session=[0] * half + [1] * (len(world.table) - half),
    )
    for name in ("bayes", "frequency"):
        fusion = create(name, table, reach=4)
        said = list(beliefs(fusion, world.run(np.arange(5.0, 30.0, 0.5)), odometry=False))
        rows = [(b.best.row, 10 + t) for t, b in enumerate(said) if b.verdict == "located"]
        good = [abs(row - true) <= 4 for row, true in rows]
        assert len(good) >= 0.6 * len(said), name
        assert np.mean(good) >= 0.95, name
        assert said[-1].position is None
        assert said[-1].covariance is None


def test_a_revisit_is_one_hypothesis() -> None:
    """Two runs past the same spots: their mass is one mode."""
    line = np.column_stack((np.arange(40.0) * 0.5, np.zeros(40)))
    table = PlaceTable.from_arrays(
        np.concatenate((line, line + 0.05)),
        yaw=np.zeros(80),
        session=[0] * 40 + [1] * 40,
        order=[*range(40), *range(40)],
    )
    fusion = create("bayes", table)
    rng = np.random.default_rng(0)
    for t in range(8):
        column = rng.normal(0, 0.03, 80)
        column[[10 + t, 50 + t]] += 0.3
        belief = fusion.update(Evidence.from_column(column))
    assert belief.verdict == "located"
    assert belief.probability > 0.95
    assert len(belief.hypotheses) == 1


def test_noise_alone_locates_nothing_on_a_large_map() -> None:
    rng = np.random.default_rng(1)
    table = PlaceTable.from_arrays(np.column_stack((np.arange(10_000.0), np.zeros(10_000))))
    fusion = create("bayes", table)
    said = [fusion.update(Evidence.from_column(rng.normal(size=10_000))) for _ in range(60)]
    assert not any(belief.verdict == "located" for belief in said)
    assert said[-1].off_map > 0.9


def test_floors_above_each_other_are_different_places() -> None:
    line = np.column_stack((np.arange(20.0), np.zeros(20), np.zeros(20)))
    table = PlaceTable.from_arrays(
        np.concatenate((line, line + np.array([0.0, 0.0, 5.0]))),
        yaw=np.zeros(40),
        session=[0] * 20 + [1] * 20,
        order=[*range(20), *range(20)],
    )
    for name in ("bayes", "spatial", "frequency"):
        fusion = create(name, table)
        for t in range(5):
            evidence = Evidence([5 + t, 25 + t], [4.0, 5.0], level=(0.0, 1.0))
            belief = fusion.update(evidence, Odometry(1.0, 0.0, 0.0))
        assert len(belief.hypotheses) == 2 or name == "bayes"
        assert belief.position == pytest.approx((9.0, 0.0, 5.0), abs=0.1), name


def far(belief, pose) -> float:
    return float(np.linalg.norm(np.array(belief.position[:2]) - pose[:2]))


def test_moving_heavy_places_alone_says_the_same(world: World, tour: Run, monkeypatch) -> None:
    """As on maps of over 20,000 places, here made to count as large."""

    def run() -> tuple[np.ndarray, list[str]]:
        fusion = create("bayes", world.table, world.profile)
        states, verdicts = [], []
        for column, view in zip(tour.columns, tour.views, strict=True):
            evidence = replace(Evidence.from_column(column), descriptor=view)
            verdicts.append(fusion.update(evidence).verdict)
            states.append(fusion.probabilities)
        return np.array(states), verdicts

    dense, verdicts = run()
    monkeypatch.setattr("placememory.fusion._motion._LARGE", 10)
    sparse, others = run()
    assert 0 < np.abs(sparse - dense).max() < 1e-3
    assert verdicts == others
