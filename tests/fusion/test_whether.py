"""Whether the robot is on the map: new views, their order, their likeness, and geometry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from placememory.fusion import Belief, Evidence, MapProfile, Odometry, create
from tests.fusion._world import Floats, World

STILL = Odometry(0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=0)


def see(world: World, view: Floats) -> Evidence:
    column = world.descriptors @ view
    return replace(Evidence.from_column(column), descriptor=view)


def follow(
    world: World, views: Iterable[Floats], profile: MapProfile | None, odometry: object = None
) -> list[Belief]:
    robot = create("bayes", world.table, profile)
    return [robot.update(see(world, view), odometry) for view in views]


def located(beliefs: list[Belief]) -> float:
    return float(np.mean([belief.verdict == "located" for belief in beliefs]))


def test_a_repeated_view_says_what_it_said_once(world: World) -> None:
    views = world.look(np.arange(5.0, 40.0, 0.8), 0.5)
    once = follow(world, views, world.profile)
    thrice = follow(world, np.repeat(views, 3, axis=0), world.profile)[2::3]
    for one, three in zip(once, thrice, strict=True):
        assert three.probability == pytest.approx(one.probability, abs=1e-9)
        assert three.verdict == one.verdict


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.025])
@pytest.mark.parametrize("odometry", [None, STILL])
def test_a_robot_that_stands_off_the_map_is_never_located(
    world: World, noise: float, odometry: Odometry | None
) -> None:
    rng = np.random.default_rng(0)
    for view in world._unit(rng.normal(size=(20, world.descriptors.shape[1]))):
        seen = world._unit(view + noise * rng.normal(size=(40, len(view))))
        assert located(follow(world, seen, world.profile, odometry)) == 0.0


def test_a_walk_through_another_world_is_not_located(world: World) -> None:
    for seed in range(3):
        other = World(seed=10 + seed)
        views = other.look(np.arange(0.0, 100.0, 0.8), 0.3)
        assert located(follow(world, views, world.profile)) <= 0.05


@pytest.mark.parametrize("back", [False, True])
def test_a_run_by_night_is_located(world: World, back: bool) -> None:
    """All views share a light that the map has not; the order of views says that it is the map."""
    s = np.arange(5.0, 60.0, 0.8)
    light = 0.12 * np.random.default_rng(3).normal(size=world.descriptors.shape[1])
    views = world._unit(world.look(s[::-1] if back else s, 0.6) + light)
    assert located(follow(world, views, world.profile)[8:]) >= 0.8


def test_images_are_compared_only_of_new_views_in_doubt(world: World) -> None:
    robot = create("bayes", world.table, world.profile)
    views = world.look(np.arange(5.0, 30.0, 0.8), 0.3)
    proposed = []
    for view in views:
        frame = see(world, view)
        rows = robot.propose(frame, 8)
        proposed.append(len(rows))
        assert len(np.unique(rows)) == len(rows) <= 8
        robot.update(frame)
        assert not len(robot.propose(frame, 8, always=True))  # the same view again
    assert proposed[0] > 0
    assert sum(map(bool, proposed[10:])) <= 2
    assert len(robot.propose(see(world, views[3]), 8, always=True)) > 0


def test_geometry_alone_locates_a_robot_that_has_not_moved(world: World) -> None:
    [view] = world.look(np.array([20.0]), 0.2)
    plain = create("bayes", world.table, world.profile).update(see(world, view))
    assert plain.verdict == "warming-up"
    assert plain.reason == "one view only: move on"
    best = int(np.argmax(world.descriptors @ view))
    rows = np.array([best, (best + 60) % 200, (best + 120) % 200])
    checked = replace(see(world, view), checked_rows=rows, inliers=np.array([300.0, 12.0, 9.0]))
    sure = create("bayes", world.table, world.profile).update(checked)
    assert sure.verdict == "located"
    assert abs(sure.best.row - best) <= 2


def test_a_dense_map_is_no_stronger_evidence(world: World) -> None:
    dense = World(seed=0, spacing=0.125)
    assert len(dense.profile.key_rows) < 0.6 * len(dense.table)
    assert dense.profile.step == pytest.approx(world.profile.step, abs=0.1)
