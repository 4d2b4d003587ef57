"""Recall@k over a ground truth of any kind."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.errors import InputError, SettingError
from placememory.frames import Pose
from placememory.metrics import GroundTruth, Recall


def test_queries_without_a_correct_place_are_counted_beside() -> None:
    true, places = [[0, 1], [4, 0], [500, 0]], [[0, 0], [9, 0]]
    counts = {}
    for radius in (2, 10):
        metric = Recall([1, 2])
        metric.update([[1, 0], [0, 1], [0, 1]], GroundTruth.from_positions(true, places, radius))
        result = metric.compute()
        counts[radius] = (result.counted, result.without_match)
        values = [result.recalls[k].value for k in (1, 2)]
        assert values == ([0.0, 1.0] if radius == 2 else [1.0, 1.0])
    assert counts == {2: (1, 2), 10: (2, 1)}
    assert "2 of 3 queries count; 1 have no correct place in the map and are left out" in str(
        result
    )
    assert "recall@1: 100.0 %" in str(result)
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert (plain["without_match"], plain["recall@2"]["count"]) == (1, 2)


def test_queries_without_a_correct_place_may_count_as_misses_but_unknown_ones_never() -> None:
    true = [[0, 0], [50, 0], [math.nan, math.nan]]
    metric = Recall([1], unmatched="count-as-miss")
    metric.update([[0], [0], [0]], GroundTruth.from_positions(true, [[0, 0]], 2))
    found = metric.compute()
    assert (found.recalls[1].value, found.queries, found.counted) == (0.5, 2, 2)
    assert "count as misses" in found.protocol


def test_poses_with_a_heading_and_the_error_of_the_first_answer() -> None:
    def turned(x: float, degrees: float) -> Pose:
        return Pose.from_yaw(x, 0.0, math.radians(degrees))

    places = [turned(1, 20), turned(1, 60), Pose(1, 0), None]
    truth = GroundTruth.from_poses([turned(0, 0)] * 4, places, 2.0, heading=45.0)
    metric = Recall([1])
    metric.update([[0], [1], [2], [3]], truth)
    found = metric.compute()
    assert found.recalls[1].value == 0.5
    assert found.median_error.value == found.median_error_all == 1.0
    assert "within 2 m and 45 degrees of the true pose" in found.protocol


def test_missing_candidates_are_misses_and_nothing_is_nothing() -> None:
    metric = Recall([1, 2])
    assert math.isnan(metric.compute().recalls[1].value)
    assert metric.compute().to_dict()["recall@1"]["value"] is None
    truth = GroundTruth.from_positions([[0, 0], [0, 0]], [[0, 0], [9, 9]], 1)
    metric.update([[-1, -1], [-1, 0]], truth)
    assert [r.value for r in metric.compute().recalls.values()] == [0.0, 0.5]
    metric.reset()
    assert metric.compute().queries == 0


@given(seed=st.integers(0, 10_000), rule=st.sampled_from(["drop", "count-as-miss"]))
@settings(deadline=None, max_examples=12)
def test_recall_grows_with_k_and_radius_and_lies_in_its_interval(seed: int, rule: str) -> None:
    rng = np.random.default_rng(seed)
    places, true = rng.uniform(0, 20, (15, 2)), rng.uniform(0, 20, (12, 2))
    ranked = np.array([rng.permutation(15) for _ in range(12)])
    table = []
    for radius in (1, 3, 9, 40):
        metric = Recall([1, 2, 5, 15], unmatched=rule)
        metric.update(ranked, GroundTruth.from_positions(true, places, radius))
        found = metric.compute()
        table.append([recall.value for recall in found.recalls.values()])
        assert found.counted == (12 if rule != "drop" else 12 - found.without_match)
        for recall in found.recalls.values():
            assert np.isnan(recall.value) or recall.low - 1e-9 <= recall.high <= 1.0
    values = np.array(table)
    known = values[~np.isnan(values).any(axis=1)]
    assert (np.diff(known, axis=1) >= 0).all()
    if rule == "count-as-miss":  # with dropped queries the denominator moves
        assert (np.diff(values, axis=0) >= 0).all()
    assert (values[-1] == 1.0).all()  # everything is right within 40 m


def test_what_cannot_be_is_refused() -> None:
    truth = GroundTruth.from_positions([[0, 0]], [[0, 0], [1, 1]], 1)
    for ranked, message in (
        ([[0], [0]], "recall@10 needs 2 candidates"),
        ([[0, 1], [0, 1]], "2 answers for 1 queries"),
        ([[0.5, 1]], "whole numbers"),
        ([[0, 2]], "rows run from 0 to 2"),
    ):
        with pytest.raises(InputError, match=message):
            Recall().update(ranked, truth)
    with pytest.raises(SettingError, match="whole numbers from 1"):
        Recall([0])
    with pytest.raises(SettingError, match="whole numbers from 1"):
        Recall([])
    with pytest.raises(SettingError, match="unmatched"):
        Recall(unmatched="ignore")
