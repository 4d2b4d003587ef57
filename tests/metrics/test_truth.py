"""GroundTruth answers by metres, degrees, frames and lists, and agrees with plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placememory.errors import InputError, SettingError
from placememory.frames import Pose
from placememory.metrics import GroundTruth, Outcome

COORDINATE = st.one_of(st.integers(-5, 5).map(float), st.just(math.nan))
POINTS = st.lists(st.tuples(COORDINATE, COORDINATE), max_size=12)


@given(POINTS, POINTS, st.sampled_from([0.5, 1.0, 2.0, 5.0]))
def test_positions_agree_with_a_plain_loop(
    queries: list[tuple[float, float]], places: list[tuple[float, float]], radius: float
) -> None:
    truth = GroundTruth.from_positions(
        np.reshape(queries, (-1, 2)), np.reshape(places, (-1, 2)), radius
    )
    for i, query in enumerate(queries):
        plain = [j for j, place in enumerate(places) if math.dist(query, place) <= radius]
        assert truth.positives[i].tolist() == plain
        assert truth.on_map()[i] == bool(plain)
        assert truth.on_map(np.full(len(queries), 3))[i] == any(row < 3 for row in plain)
        apart = [math.dist(query, place) for place in places]
        rows = np.arange(len(places))
        np.testing.assert_allclose(truth.distance(rows[None], [i])[0], apart)
        assert truth.correct(rows[None], [i])[0].tolist() == [row in plain for row in rows]


def test_the_border_is_inclusive_and_no_answer_is_never_correct() -> None:
    truth = GroundTruth.from_positions([[0.0, 0.0]], [[0.1, 0.2], [3.0, 4.0]], radius=5.0)
    assert truth.correct([[0, 1, -1]]).tolist() == [[True, True, False]]
    assert np.isnan(truth.distance([[-1]])[0, 0])


def test_frames_and_angles_have_units() -> None:
    frames = GroundTruth.from_positions([3, 9], [0, 1, 2, 3], radius=1, unit="frames")
    assert [rows.tolist() for rows in frames.positives] == [[2, 3], []]
    angles = GroundTruth.from_positions([350], [5, 30], radius=20, unit="deg")
    assert angles.positives[0].tolist() == [0]
    assert angles.distance([[0, 1]]).tolist() == [[15.0, 40.0]]


def test_poses_ask_for_the_heading_where_it_is_known() -> None:
    query = Pose.from_yaw(0, 0, 0.0)
    places = [Pose.from_yaw(1, 0, 0.1), Pose.from_yaw(1, 0, 3.0), Pose(1, 0), None]
    truth = GroundTruth.from_poses([query, None], places, 2.0, heading=30.0)
    assert truth.positives[0].tolist() == [0, 2]
    assert truth.known.tolist() == [True, False]
    assert truth.is_pose_correct(0, Pose.from_yaw(1, 0, 3.0)) is False
    assert truth.is_pose_correct(0, Pose(1, 0)) is True
    assert truth.is_pose_correct(1, Pose(1, 0)) is None
    assert truth.error(0, Pose(3, 4)) == 5.0


def test_lists_are_taken_as_they_are() -> None:
    truth = GroundTruth.from_positives([[2, 1], []], 3)
    assert truth.correct([[1, 0], [1, 2]]).tolist() == [[True, False], [False, False]]
    assert truth.on_map().tolist() == [True, False]
    with pytest.raises(InputError, match="query 0"):
        GroundTruth.from_positives([[3]], 3)


def test_hidden_places_leave_their_edge_uncounted() -> None:
    line = np.arange(10.0)
    truth, counted = GroundTruth.from_positions(line, line, radius=2.0, unit="frames").without(
        [4, 5, 6, 7]
    )
    assert truth.places == 6
    assert truth.nearest().tolist() == [0, 0, 0, 0, 1, 2, 2, 1, 0, 0]
    assert counted.tolist() == [True] * 5 + [False] * 2 + [True] * 3
    listed, whole = GroundTruth.from_positives([[0], [0, 1], [1]], 2).without([1])
    assert [rows.tolist() for rows in listed.positives] == [[0], [0], []]
    assert whole.tolist() == [True, False, True]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(SettingError, match="radius"):
        GroundTruth.from_positions([[0, 0]], [[0, 0]], radius=0.0)
    with pytest.raises(SettingError, match="unit"):
        GroundTruth.from_positions([[0, 0]], [[0, 0]], radius=1.0, unit="mm")  # type: ignore[arg-type]
    truth = GroundTruth.from_positions([[0, 0]], [[0, 0]], radius=1.0)
    with pytest.raises(InputError, match="rows run"):
        truth.correct([[1]])
    with pytest.raises(InputError, match="2 answers"):
        truth.correct([[0], [0]])


def test_outcomes_cover_every_case() -> None:
    of = Outcome.of
    assert of(answered=True, correct=True, on_map=True) is Outcome.CORRECT
    assert of(answered=True, correct=False, on_map=True) is Outcome.WRONG
    assert of(answered=True, correct=False, on_map=False) is Outcome.OFF_MAP
    assert of(answered=True, correct=None, on_map=None) is Outcome.NOT_JUDGED
    assert of(answered=False, correct=None, on_map=True) is Outcome.MISSED
    assert of(answered=False, correct=None, on_map=False) is Outcome.REJECTED
    assert len({outcome.mark for outcome in Outcome}) == len({o.kind for o in Outcome}) == 6
