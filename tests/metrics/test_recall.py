"""Recall at several thresholds in one run."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placememory.metrics.place_recall import PlaceRecall

from placememory.errors import InputError, SettingError
from placememory.frames import Pose
from placememory.metrics.recall import RetrievalRecall


def test_each_threshold_has_its_own_queries() -> None:
    metric = RetrievalRecall([2, 10], ks=[1, 2])
    metric.update([[1, 0], [0, 1], [0, 1]], [[0, 1], [4, 0], [500, 0]], [[0, 0], [9, 0]])
    result = metric.compute()
    assert [result.at[2].recalls[k].value for k in (1, 2)] == [0.0, 1.0]
    assert [result.at[10].recalls[k].value for k in (1, 2)] == [1.0, 1.0]
    assert [(result.at[t].counted, result.at[t].without_match) for t in (2, 10)] == [(1, 2), (2, 1)]
    assert "2 m: 1 of 3 queries count; 2 have no true match and are left out" in result.protocol
    assert "recall@1 within 2 m: 0.0 %" in str(result)
    assert json.loads(json.dumps(result.to_dict()))["thresholds"]["10 m"]["without_match"] == 1


def test_queries_without_a_match_may_count_as_misses() -> None:
    metric = RetrievalRecall([2], ks=[1], unmatched="count-as-miss")
    metric.update([[0], [0]], [[0, 0], [np.nan, np.nan]], [[0, 0]])
    found = metric.compute().at[2]
    assert (found.recalls[1].value, found.counted, found.without_match) == (0.5, 2, 1)
    assert "1 have no true match and count as misses" in found.rule


def test_metres_and_degrees_together() -> None:
    metric = RetrievalRecall([5, (5, 30)], ks=[1])
    places, true = [[0, 0], [1, 0]], [[0, 0], [0, 0], [0, 0]]
    metric.update(
        [[0], [1], [0]],
        true,
        places,
        query_headings=[355, 355, np.nan],
        database_headings=[10, 170],
    )
    result = metric.compute()
    assert result.at[5].recalls[1].value == 1.0
    assert result.at[5, 30].recalls[1].value == pytest.approx(2 / 3)
    assert "5 m and 30 deg" in result.protocol
    with pytest.raises(InputError, match="needs headings"):
        metric.update([[0]], [[0, 0]], places)
    with pytest.raises(InputError, match=r"headings are \(1,\) and \(2,\)"):
        metric.update([[0]], [[0, 0]], places, query_headings=[1, 2], database_headings=[1, 2])


def test_degrees_wrap_and_frames_are_numbers() -> None:
    turned = RetrievalRecall([10], unit="deg", ks=[1])
    turned.update([[0], [1]], [359.0, 180.0], [2.0, 0.0])
    assert [turned.compute().at[10].recalls[1].value, turned.compute().at[10].without_match] == [
        1,
        1,
    ]
    frames = RetrievalRecall([1], unit="frames", ks=[1])
    frames.update([[1], [1]], [0, 3], [0, 1, 2])
    assert frames.compute().at[1].recalls[1].value == 0.5


def test_missing_candidates_are_misses() -> None:
    metric = RetrievalRecall([1], ks=[1, 2])
    metric.update([[-1, -1], [-1, 0]], [[0, 0], [0, 0]], [[0, 0], [9, 9]])
    assert [r.value for r in metric.compute().at[1].recalls.values()] == [0.0, 0.5]


@given(seed=st.integers(0, 10_000), rule=st.sampled_from(["drop", "count-as-miss"]))
@settings(deadline=None, max_examples=12)
def test_recall_grows_with_k_and_radius_and_lies_in_its_interval(seed: int, rule: str) -> None:
    rng = np.random.default_rng(seed)
    places, true = rng.uniform(0, 20, (15, 2)), rng.uniform(0, 20, (12, 2))
    ranked = np.array([rng.permutation(15) for _ in range(12)])
    metric = RetrievalRecall([1, 3, 9, 40], ks=[1, 2, 5, 15], unmatched=rule)
    metric.update(ranked, true, places)
    at = metric.compute().at
    table = np.array([[at[t].recalls[k].value for k in (1, 2, 5, 15)] for t in (1, 3, 9, 40)])
    known = table[~np.isnan(table).any(axis=1)]
    assert (np.diff(known, axis=1) >= 0).all()
    if rule == "count-as-miss":  # with dropped queries the denominator moves
        assert (np.diff(table, axis=0) >= 0).all()
    for found in at.values():
        assert found.counted == (12 if rule != "drop" else 12 - found.without_match)
        for recall in found.recalls.values():
            assert np.isnan(recall.value) or recall.low - 1e-9 <= recall.high <= 1.0
    assert (table[-1] == 1.0).all()  # everything is right within 40 m


def test_equal_to_place_recall() -> None:
    rng = np.random.default_rng(3)
    places, true = rng.uniform(0, 20, (30, 2)), rng.uniform(0, 20, (25, 2))
    ranked = np.array([rng.permutation(30)[:10] for _ in range(25)])
    ours, theirs = RetrievalRecall([4]), PlaceRecall(radius=4)
    ours.update(ranked, true, places)
    for xy, rows in zip(true, ranked, strict=True):
        solvable = bool((np.linalg.norm(places - xy, axis=1) <= 4).any())
        theirs.update(Pose(*xy), [Pose(*places[row]) for row in rows], solvable=solvable)
    assert ours.compute().at[4].recalls == theirs.compute().recalls


def test_large_tables_are_done_in_parts(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    places, true = rng.uniform(0, 20, (30, 2)), rng.uniform(0, 20, (25, 2))
    ranked = np.array([rng.permutation(30)[:10] for _ in range(25)])
    results = []
    for cells in (4_000_000, 100):
        monkeypatch.setattr("placememory.metrics.inputs._CELLS", cells)
        metric = RetrievalRecall([4])
        metric.update(ranked, true, places)
        results.append(metric.compute())
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thresholds": [0]}, "a threshold must be a positive number"),
        ({"thresholds": []}, "thresholds are numbers"),
        ({"thresholds": [(1, 2)], "unit": "frames"}, "with unit m"),
        ({"thresholds": [1], "unit": "km"}, "m, deg, frames, not 'km'"),
        ({"thresholds": [1], "unmatched": "ignore"}, "drop, count-as-miss"),
        ({"thresholds": [1], "ks": [0]}, "whole numbers from 1"),
        ({"thresholds": [1], "ks": []}, "whole numbers from 1"),
    ],
)
def test_impossible_settings_are_refused(options, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        RetrievalRecall(**options)


@pytest.mark.parametrize(
    ("ranked", "query", "database", "message"),
    [
        ([[0]], [[0, 0, 0]], [[0, 0]], "3 coordinates"),
        ([[0], [0]], [[0, 0]], [[0, 0]], "2 ranked, 1 query"),
        ([[0.5]], [[0, 0]], [[0, 0]], "whole numbers"),
        ([[1]], [[0, 0]], [[0, 0]], "rows run from 0 to 0"),
        ([[0]], [[np.inf, 0]], [[0, 0]], "query: row 0 is infinite"),
        ([[0]], [[0, 0]], [[0, 0], [1, 1]], "recall@10 needs 2 candidates"),
        ([[0]], [[[0]]], [[0, 0]], r"\(N, 2\) or \(N, 3\)"),
    ],
)
def test_bad_input_is_refused(ranked, query, database, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RetrievalRecall([1]).update(ranked, query, database)


def test_nothing_is_nothing() -> None:
    found = RetrievalRecall([1]).compute()
    assert np.isnan(found.at[1].recalls[1].value)
    assert "recall@1 within 1 m: no value" in str(found)
    assert found.to_dict()["thresholds"]["1 m"]["recall@1"]["value"] is None
