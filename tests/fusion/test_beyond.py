"""The end of what is mapped: the robot goes on, and the last place is still what it sees."""

from __future__ import annotations

import numpy as np
import pytest

from placememory.fusion import Evidence, MapProfile, Odometry, PlaceTable, create
from placememory.fusion._places import Runs

COUNT = 30


def unposed(order: np.ndarray) -> PlaceTable:
    return PlaceTable.from_arrays(np.full((len(order), 2), np.nan), order=order)


def walked(order: np.ndarray, path: list[int], odometry: Odometry | None = None) -> list:
    """Beliefs along a path of orders; past the end, the last place looks nearest, ever less."""
    rng = np.random.default_rng(0)
    looks = rng.normal(size=(int(max(*order, *path)) + 1, 64))
    for i in range(1, len(looks)):
        looks[i] = 0.6 * looks[i - 1] + 0.8 * looks[i]  # places fade into each other
    rows = _unit(looks[order] + 0.2 * rng.normal(size=(len(order), 64))).astype(np.float32)
    table = unposed(order)
    robot = create("bayes", table, MapProfile(rows, table))
    beliefs = []
    for at in path:
        view = _unit(looks[at] + 0.2 * rng.normal(size=64))
        beliefs.append(robot.update(Evidence(column=rows @ view, descriptor=view), odometry))
    return beliefs


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.mark.parametrize("odometry", [None, Odometry(1.0, 0.0, 0.0)])
def test_a_robot_that_goes_on_past_the_end_is_not_located_there(odometry) -> None:
    order = np.arange(COUNT)
    beliefs = walked(order, list(range(15, COUNT + 8)), odometry)
    on_map, past = beliefs[6:15], beliefs[15 + 3 :]
    assert all(belief.verdict == "located" for belief in on_map)
    assert [belief.best.row for belief in on_map] == pytest.approx(range(21, COUNT), abs=1)
    assert not any(belief.verdict == "located" for belief in past)


def test_a_robot_that_stops_at_the_end_is_still_most_likely_there() -> None:
    beliefs = walked(np.arange(COUNT), [*range(15, COUNT), *[COUNT - 1] * 12])
    for belief in beliefs[-6:]:
        assert abs(belief.best.row - (COUNT - 1)) <= 1
        assert belief.probability > 0.6
        assert belief.verdict != "unknown"


def test_a_gap_has_two_ends_and_short_runs_have_none() -> None:
    order = np.r_[0:10, 40:52]
    runs = Runs(unposed(order))
    assert np.unique(runs.end).tolist() == [0, 9, 10, 21]
    assert runs.depth.max() == 5
    short = Runs(unposed(np.arange(5)))
    assert len(short.end) == 0
    mass, beyond = np.arange(22.0), np.arange(float(len(runs.end)))
    again = runs.split(runs.join(mass, beyond))
    assert again[0].tolist() == mass.tolist()
    assert again[1].tolist() == beyond.tolist()
    assert len(runs.find_leaving(0)) == 0
    assert len(runs.find_leaving(2)) == len(runs.find_leaving(-2)) == 4


def test_beyond_an_end_a_frame_counts_between_the_end_and_off_the_map() -> None:
    runs = Runs(unposed(np.arange(12)))
    nats = runs.nats(np.r_[4.0, np.full(10, -2.0), -2.0][runs.end], 0.5)
    first = nats[runs.end == 0]
    assert (np.diff(first) < 0).all()
    assert ((first > 0.5) & (first < 4.0)).all()
    assert (nats[runs.end == 11] == 0.5).all()


def test_without_positions_the_best_row_is_the_middle_of_its_mass() -> None:
    robot = create("bayes", unposed(np.arange(20)))
    column = np.zeros(20)
    column[:4], column[[9, 10, 11]] = (0.01, 0.02, 0.0, 0.01), (0.5, 0.49, 0.49)
    for _ in range(3):
        belief = robot.update(Evidence.from_column(column))
    assert belief.best.row == 10
    assert robot.probabilities.sum() == pytest.approx(1.0)


def test_a_given_level_holds_where_the_column_was_changed() -> None:
    column = np.r_[np.random.default_rng(0).normal(0.1, 0.02, 30), 0.4]
    plain = Evidence.from_column(column)
    weighed = Evidence(
        [30], [0.3], column=column - 0.1 * (column > 0.3), level=plain.centre_and_spread()
    )
    assert weighed.centre_and_spread() == plain.centre_and_spread()
    assert weighed.normalise(np.array([0.3]))[0] < plain.normalise(np.array([0.4]))[0]
