"""Decisions and correspondences, by our rules and by CaseVPR's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.errors import InputError, SettingError
from placememory.metrics import CorrespondencePrecision, GroundTruth, MatchDecisions


def recorded(golden: Path, route: str):
    """Runs of the reference pipeline with one backend: key, run, scored frames, arrays."""
    runs = json.loads((golden / f"pipeline/{route}.json").read_text())["runs"]
    arrays = np.load(golden / f"pipeline/{route}_outputs.npz")
    for key, run in runs.items():
        if "nTP" not in run["result"]:
            continue  # two backends side by side
        scored = arrays[f"{key}/retrieved"] != -2  # -2: dropped, as it is no key frame
        if run["seperate_ds"]:
            scored &= arrays[f"{key}/n_gt"] >= 0  # the window is full
        yield (
            key,
            run,
            scored,
            {
                name: arrays[f"{key}/{name}"]
                for name in ("retrieved", "is_positive", "n_gt", "best_row_indices")
            },
        )


@pytest.mark.real
@pytest.mark.parametrize("route", ["city", "long", "raw"])
def test_the_reference_counts_are_equal_in_every_run(golden: Path, route: str) -> None:
    runs = 0
    for key, run, scored, arrays in recorded(golden, route):
        metric = MatchDecisions(protocol="casevpr")
        metric.update(
            arrays["retrieved"][scored] >= 0,
            arrays["is_positive"][scored],
            arrays["n_gt"][scored] > 0,
        )
        found, wanted = metric.compute(), run["result"]
        counts = [found.true_positives, found.false_positives]
        counts += [found.true_negatives, found.false_negatives]
        assert counts == [wanted[name] for name in ("nTP", "nFP", "nTN", "nFN")], key
        for name in ("precision", "recall", "accuracy"):
            assert getattr(found, name) == pytest.approx(wanted[name], abs=1e-12), key
        runs += 1
    assert runs >= 6


@pytest.mark.real
@pytest.mark.parametrize("route", ["city", "raw"])
def test_last_frame_precision_is_that_of_the_readme(golden: Path, route: str) -> None:
    given_ = np.load(golden / f"pipeline/{route}_inputs.npz")
    runs = 0
    for key, run, scored, arrays in recorded(golden, route):
        if not key.startswith("base/"):
            continue
        paths = arrays["best_row_indices"][scored]
        windows = np.flatnonzero(scored)[:, None] + np.arange(1 - paths.shape[1], 1)
        metric = CorrespondencePrecision(unmatched="drop")
        radius = int(run["seqbackend_params"]["positive_dist"])
        truth = GroundTruth.from_positions(given_["query_xy"], given_["ref_xy"], radius)
        metric.update(paths, windows, truth)
        found = metric.compute()
        assert found.last_frame.value == pytest.approx(run["result"]["precision"], abs=1e-12), key
        assert found.counted == run["result"]["nTP"] + run["result"]["nFP"]
        runs += 1
    assert runs >= 6


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=60),
)
@settings(deadline=None, max_examples=50)
def test_the_protocols_differ_where_they_say_so(seen) -> None:
    accepted, correct, there = (np.array(column) for column in zip(*seen, strict=True))
    correct &= there  # a right answer implies a true match
    ours, theirs = MatchDecisions(), MatchDecisions(protocol="casevpr")
    for metric in (ours, theirs):
        metric.update(accepted, correct, there)
    one, other = ours.compute(), theirs.compute()
    total = one.true_positives + one.false_positives + one.true_negatives + one.false_negatives
    assert total == one.queries == len(seen)
    assert one.true_positives == other.true_positives
    assert one.false_positives - other.false_positives == one.wrong_without_match
    assert other.not_counted == other.wrong_without_match == one.wrong_without_match
    assert one.false_negatives >= other.false_negatives
    assert np.isnan(one.precision) or one.precision <= other.precision


def test_nothing_accepted() -> None:
    for protocol, precision in (("default", None), ("casevpr", 0.0)):
        metric = MatchDecisions(protocol=protocol)
        metric.update([False], [True], [True])
        assert json.loads(json.dumps(metric.compute().to_dict()))["precision"] == precision
    assert "TP 0, FP 0, TN 0, FN 1" in str(metric.compute())
    assert "1 queries, 0 answered where no true match exists" in metric.compute().protocol


def test_decisions_refuse_what_is_no_decision() -> None:
    with pytest.raises(InputError, match="true or false"):
        MatchDecisions().update([0.3], [1], [1])
    with pytest.raises(InputError, match="query 1 is right although it has no true match"):
        MatchDecisions().update([1, 1], [1, 1], [1, 0])
    with pytest.raises(InputError, match="2 accepted, 1 correct"):
        MatchDecisions().update([1, 1], [1], [1])
    with pytest.raises(SettingError, match="protocol"):
        MatchDecisions(protocol="README")


def test_window_and_last_frame_precision() -> None:
    places = np.column_stack([np.arange(10.0), np.zeros(10)])
    truth = GroundTruth.from_positions(places, places, radius=1)
    metric = CorrespondencePrecision()
    metric.update([[0, 0, 5], [1, 2, 3]], [[0, 1, 2], [1, 2, 3]], truth)
    metric.update([-1, -1, -1], [2, 3, 4], truth)
    result = metric.compute()
    assert result.window.value == pytest.approx(5 / 6)
    assert result.last_frame.value == 0.5
    assert (result.windows, result.unanswered, result.counted) == (3, 1, 2)
    assert "1 without an answer are left out" in str(result)


def test_answers_off_the_map_are_wrong_unless_dropped() -> None:
    reference, query = [[0, 0], [1, 0]], [[0, 0], [1, 0], [900, 0]]
    found = {}
    for rule in ("count-as-miss", "drop"):
        metric = CorrespondencePrecision(unmatched=rule)
        truth = GroundTruth.from_positions(query, reference, radius=2.5)
        metric.update([[0, 1], [1, 1]], [[0, 1], [1, 2]], truth)
        found[rule] = metric.compute()
    assert found["count-as-miss"].last_frame.value == 0.5
    assert found["count-as-miss"].window.value == 0.75
    assert (found["drop"].last_frame.value, found["drop"].window.value) == (1.0, 1.0)
    assert all(result.without_match == 1 for result in found.values())
    assert "no true match are left out" in found["drop"].protocol
    assert json.loads(json.dumps(found["drop"].to_dict()))["without_match"] == 1


def test_correspondences_refuse_what_does_not_fit() -> None:
    truth = GroundTruth.from_positions([[0, 0]], [[0, 0]], radius=1)
    metric = CorrespondencePrecision()
    with pytest.raises(InputError, match="needs a row"):
        metric.update([[0, 0]], [[0]], truth)
    with pytest.raises(InputError, match="rows run from 0 to 0"):
        metric.update([[1]], [[0]], truth)
    with pytest.raises(SettingError, match="unmatched"):
        CorrespondencePrecision(unmatched="forget")
    metric.update([[-1]], [[0]], GroundTruth.from_positions([[0, 0]], np.empty((0, 2)), radius=1))
    assert metric.compute().unanswered == 1
    metric.reset()
    assert metric.compute().windows == 0
