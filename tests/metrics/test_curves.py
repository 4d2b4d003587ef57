"""Precision-recall curves, pose errors and paired differences."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.errors import InputError, SettingError
from placememory.frames import Pose
from placememory.metrics.curves import PrecisionRecall
from placememory.metrics.paired import PairedDifference
from placememory.metrics.pose_errors import PoseErrors

ANSWERS = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40)


def curve(scores, correct, has_match=None, **options):
    metric = PrecisionRecall(**{"lower_is_better": True, **options})
    metric.update(scores, correct, has_match)
    return metric.compute()


@given(st.integers(1, 20), st.integers(0, 20))
@settings(deadline=None, max_examples=20)
def test_a_perfect_ranking_has_average_precision_one(right: int, wrong: int) -> None:
    scores = np.arange(right + wrong)
    correct = scores < right
    found = curve(scores, correct, recall_over="right")
    assert found.average_precision.value == 1.0
    assert found.recall_at_full_precision == 1.0
    assert found.threshold_at_full_precision == right - 1
    similar = curve(-scores, correct, recall_over="right", lower_is_better=False)
    assert similar.average_precision.value == 1.0
    assert similar.threshold_at_full_precision == 1 - right


@given(ANSWERS, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=15)
def test_the_order_of_equal_scores_does_not_matter(answers, random) -> None:
    shuffled = random.sample(answers, len(answers))
    one, other = (curve(*zip(*a, strict=True)) for a in (answers, shuffled))
    assert one.average_precision.value == other.average_precision.value
    assert one.precision.tolist() == other.precision.tolist()
    assert one.recall_at_full_precision == other.recall_at_full_precision


@given(ANSWERS, st.data())
@settings(deadline=None, max_examples=15)
def test_each_point_is_what_its_threshold_gives(answers, data) -> None:
    scores, correct = (np.array(column) for column in zip(*answers, strict=True))
    there = correct | np.array(
        data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    )
    found = curve(scores, correct, there)
    for threshold, precision, recall in zip(
        found.thresholds, found.precision, found.recall, strict=True
    ):
        accepted = scores <= threshold
        assert precision == correct[accepted].mean()
        if there.any():
            assert recall == (correct & accepted).sum() / there.sum()
    if there.any():
        assert (np.diff(found.recall) >= 0).all()
        assert 0.0 <= found.average_precision.value <= 1.0
        perfect = found.precision == 1.0
        assert found.recall_at_full_precision == (
            found.recall[perfect].max() if perfect.any() else 0
        )


def test_what_recall_is_a_share_of() -> None:
    matchable = curve([1, 2], [1, 0], [1, 1])
    right = curve([1, 2], [1, 0], [1, 1], recall_over="right")
    assert matchable.recall.tolist() == [0.5, 0.5]
    assert right.recall.tolist() == [1.0, 1.0]
    assert "share of all queries that have a true match (2 of 2" in matchable.protocol
    assert "recall at 100 % precision: 50.0 % (score 1)" in str(matchable)
    assert json.loads(json.dumps(matchable.to_dict()))["positives"] == 2


def test_no_right_answer_first_means_no_recall_at_full_precision() -> None:
    found = curve([1, 1, 2], [0, 1, 1])
    assert found.recall_at_full_precision == 0.0
    assert found.to_dict()["threshold_at_full_precision"] is None
    never = curve([1.0], [0], [0])
    assert np.isnan(never.average_precision.value)
    assert np.isnan(PrecisionRecall(lower_is_better=True).compute().average_precision.value)
    unanswered = curve([1.0, np.inf], [1, 0])
    assert unanswered.recall_at_full_precision == 0.5


def test_curves_refuse_what_makes_no_sense() -> None:
    for arguments, message in (
        (([np.nan], [1]), "score 0 is NaN"),
        (([1.0], [1], [0]), "right although it has no true match"),
        (([1.0, 2.0], [1]), "2 scores, 1 correct"),
    ):
        with pytest.raises(InputError, match=message):
            curve(*arguments)
    with pytest.raises(SettingError, match="matchable, right"):
        PrecisionRecall(lower_is_better=True, recall_over="all")


def test_the_interval_of_average_precision_contains_it() -> None:
    rng = np.random.default_rng(5)
    scores = rng.uniform(size=200)
    found = curve(scores, rng.uniform(size=200) > scores).average_precision
    assert found.low < found.value < found.high


def test_pose_errors_and_answers_held_back() -> None:
    metric = PoseErrors(thresholds=[(1, 10), (9, 10)], quantiles=[0.5])
    true = Pose.from_yaw(0, 0, 0)
    for found in (Pose.from_yaw(0.5, 0, 0.1), Pose.from_yaw(0.5, 0, 1.0), Pose(2, 0), None):
        metric.update(true, found)
    result = metric.compute()
    assert result.within[1, 10].value == 0.25
    assert result.within[9, 10].value == 0.5
    assert result.quantiles[0.5].value == 0.5
    assert result.heading_quantiles[0.5] == pytest.approx(np.degrees(0.55))
    assert "3 of 4 queries that were answered (2 with rotations)" in result.protocol
    assert "within 1 m and 10 deg: 25.0 %" in str(result)
    assert json.loads(json.dumps(result.to_dict()))["answered"] == 3
    empty = PoseErrors().compute()
    assert empty.to_dict()["position_error_m"]["0.5"]["value"] is None
    with pytest.raises(SettingError, match="quantiles"):
        PoseErrors(quantiles=[2])
    with pytest.raises(SettingError, match="threshold"):
        PoseErrors(thresholds=[(0, 1)])


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60))
@settings(deadline=None, max_examples=12)
def test_quantiles_are_ordered(errors) -> None:
    metric = PoseErrors(quantiles=[0.1, 0.5, 0.9])
    for error in errors:
        metric.update(Pose(0, 0), Pose(error, 0))
    values = [found.value for found in metric.compute().quantiles.values()]
    assert values == sorted(values)


def test_pairing_sees_what_two_intervals_do_not() -> None:
    rng = np.random.default_rng(1)
    hard = rng.uniform(size=300) < 0.5
    new = np.where(hard, 0.0, 1.0)
    old = np.where(rng.uniform(size=300) < 0.06, 0.0, new)
    metric = PairedDifference("new", "old")
    metric.update(new[:100], old[:100])
    metric.update(new[100:], old[100:])
    result = metric.compute()
    assert result.differs
    assert result.difference.value == pytest.approx(new.mean() - old.mean())
    assert (result.second_higher, result.first_higher + result.ties) == (0, 300)
    assert "new minus old on the same 300 queries" in result.protocol
    assert "they differ" in str(result)
    assert json.loads(json.dumps(result.to_dict()))["differs"] is True


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=50))
@settings(deadline=None, max_examples=12)
def test_exchanging_the_pipelines_turns_the_sign(pairs) -> None:
    one, other = zip(*pairs, strict=True)
    results = []
    for first, second in ((one, other), (other, one), (one, one)):
        metric = PairedDifference(statistic=lambda sample: float(np.median(sample)))
        metric.update(first, second)
        results.append(metric.compute())
    assert results[0].difference.value == pytest.approx(-results[1].difference.value)
    assert not results[2].differs
    assert results[2].difference.low == results[2].difference.high == 0.0


def test_pairs_must_fit() -> None:
    with pytest.raises(InputError, match="2 first, 1 second"):
        PairedDifference().update([1, 2], [1])
    with pytest.raises(InputError, match="NaN"):
        PairedDifference().update([np.nan], [1])
    assert "cannot be told apart" in str(PairedDifference().compute())
