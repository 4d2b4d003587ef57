"""Windows, their ground truth and sequence recall; equal to the reference where it is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.errors import InputError, SettingError
from placememory.metrics import Recall, SequenceWindows, build_windows, sequence_truth


def positives(*args, **kwargs) -> tuple[np.ndarray, ...]:
    return sequence_truth(*args, **kwargs).positives


NAMES = {"lax": "lax", "strict": "strict", "lastframe": "last-frame"}


def line(count: int, step: float = 5.0) -> np.ndarray:
    return np.column_stack([step * np.arange(count), np.zeros(count)])


def describe(windows: SequenceWindows, descriptors: np.ndarray) -> np.ndarray:
    """The descriptor that the golden data were made with: weighted mean, unit norm."""
    weights = np.arange(1, windows.frames.shape[1] + 1, dtype=np.float64)
    mean = np.einsum("wld,l->wd", descriptors[windows.frames].astype(np.float64), weights)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


@pytest.mark.real
@pytest.mark.parametrize("scene", [0, 1])
def test_the_reference_protocol_gives_the_recorded_numbers(golden: Path, scene: int) -> None:
    """Windows, positives, top-20 and recalls of every recorded case."""
    folder = golden / "seqeval"
    given_ = np.load(folder / f"scene{scene}_inputs.npz")
    wanted = np.load(folder / f"scene{scene}_outputs.npz")
    sides = [np.flatnonzero(given_["side"] == name) for name in ("database", "queries")]
    cases = json.loads((folder / f"scene{scene}.json").read_text())["cases"]
    for case in cases:
        database, query = (
            build_windows(
                given_["sequence"][rows],
                given_["frame_number"][rows],
                case["seq_len"],
                reverse=case["reverse_frames"] and rows is sides[0],
                cut_last_frame=case["cut_last_frame"],
                protocol="casevpr",
            )
            for rows in sides
        )
        key = case["key"]
        assert np.array_equal(database.frames + sides[0][0], wanted[f"{key}/database_sequences"])
        assert np.array_equal(query.frames + sides[1][0], wanted[f"{key}/query_sequences"])
        _check_positives(case, wanted, database, query, given_["xy"], sides)
        _check_recalls(case, wanted, database, query, given_, sides)


def _check_positives(case, wanted, database, query, xy, sides) -> None:
    kinds = {"positives": case["pos_thresh"]}
    if "neg_thresh" in case:
        kinds["non_negatives"] = case["neg_thresh"]
    ids = wanted[f"{case['key']}/query_ids"]
    for kind, radius in kinds.items():
        found = positives(
            query,
            database,
            xy[sides[1]],
            xy[sides[0]],
            radius=radius,
            strategy=NAMES[case["seq_gt_strategy"]],
            protocol="casevpr",
        )
        offsets = wanted[f"{case['key']}/{kind}_offsets"]
        flat = wanted[f"{case['key']}/{kind}_flat"]
        for i, row in enumerate(ids):
            assert np.array_equal(found[row], np.sort(flat[offsets[i] : offsets[i + 1]]))
        if kind == "positives":
            assert [i for i, rows in enumerate(found) if len(rows)] == ids.tolist()


def _check_recalls(case, wanted, database, query, given_, sides) -> None:
    places = describe(database, given_["frame_descriptor"][sides[0]])
    asked = describe(query, given_["frame_descriptor"][sides[1]])
    ranked = np.argsort(-asked @ places.T, axis=1, kind="stable")[:, :20]
    assert np.array_equal(
        ranked[wanted[f"{case['key']}/query_ids"]], wanted[f"{case['key']}/top20"]
    )
    metric = Recall([1, 5, 10, 20])
    truth = sequence_truth(
        query,
        database,
        given_["xy"][sides[1]],
        given_["xy"][sides[0]],
        radius=case["pos_thresh"],
        strategy=NAMES[case["seq_gt_strategy"]],
        protocol="casevpr",
    )
    metric.update(ranked, truth)
    at = metric.compute()
    assert (at.counted, at.without_match) == (case["queries_num"], case["q_without_pos"])
    expected = {**case["recalls"], "20": case["recall_at_20_same_rule_not_in_reference"]}
    for k, recall in expected.items():
        assert 100 * at.recalls[int(k)].value == pytest.approx(recall, abs=1e-9)


def test_windows_are_consecutive_and_stay_in_their_folder() -> None:
    windows = build_windows(["b", "b", "a", "a", "a", "b"], [3, 4, 0, 1, 2, 5], 3)
    assert windows.frames.tolist() == [[0, 1, 5], [2, 3, 4]]
    assert build_windows(["a"] * 3, [0, 2, 4], 2).frames.shape == (0, 2)
    assert build_windows([], [], 2).frames.shape == (0, 2)
    shuffled = build_windows(["a"] * 3, [9, 7, 8], 3)
    assert shuffled.frames.tolist() == [[1, 2, 0]]


def test_only_the_reference_loses_the_last_even_window() -> None:
    ours = build_windows(["a"] * 5, range(5), 4)
    theirs = build_windows(["a"] * 5, range(5), 4, protocol="casevpr")
    assert (len(ours), len(theirs)) == (2, 1)
    odd = build_windows(["a"] * 5, range(5), 3, protocol="casevpr")
    assert len(odd) == 3


def test_reversing_comes_before_cutting() -> None:
    cut = build_windows(["a"] * 4, range(4), 2, reverse=True, cut_last_frame=True)
    assert cut.frames.tolist() == [[2, 1], [3, 2]]
    assert cut.truth is cut.frames
    theirs = build_windows(
        ["a"] * 5, range(5), 2, reverse=True, cut_last_frame=True, protocol="casevpr"
    )
    assert theirs.truth[0].tolist() == [0, 1, 2]


def test_the_last_frame_strategy_does_not_mix_index_spaces() -> None:
    """With an isolated frame the reference is one window off; we are not."""
    numbers = [0, 5, 6, 7, 8]  # frame 0 is in no window
    windows = build_windows(["a"] * 5, numbers, 2)
    theirs = build_windows(["a"] * 5, numbers, 2, protocol="casevpr")
    theirs = SequenceWindows(theirs.frames, theirs.truth)
    places = line(5)
    right = positives(windows, windows, places, places, radius=1, strategy="last-frame")
    assert [rows.tolist() for rows in right] == [[0], [1], [2]]
    mixed = positives(
        theirs, theirs, places, places, radius=1, strategy="last-frame", protocol="casevpr"
    )
    assert [rows.tolist() for rows in mixed] == [[], [0]]


@given(
    seed=st.integers(0, 1000),
    length=st.integers(1, 5),
    radius=st.floats(0.5, 30),
    cut=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_strict_and_last_frame_are_part_of_lax(seed, length, radius, cut) -> None:
    rng = np.random.default_rng(seed)
    places = [np.cumsum(rng.uniform(0, 4, (12, 2)), axis=0) for _ in range(2)]
    numbers = np.sort(rng.choice(16, 12, replace=False))
    windows = build_windows(["a"] * 12, numbers, length, cut_last_frame=cut)
    found = {
        name: positives(windows, windows, *places, radius=radius, strategy=name)
        for name in ("lax", "strict", "last-frame")
    }
    for lax, strict, last in zip(*found.values(), strict=True):
        assert set(strict) <= set(lax)
        assert set(last) <= set(lax)


def test_recall_says_which_queries_were_left_out() -> None:
    windows = build_windows(["a"] * 4, range(4), 2)
    places, far = line(4), line(4) + 1000.0
    for rule, recall, counted in (("drop", 1.0, 3), ("count-as-miss", 0.5, 6)):
        metric = Recall([1], unmatched=rule)
        for true in (places, far):
            truth = sequence_truth(windows, windows, true, places, radius=1, strategy="strict")
            metric.update([[0], [1], [2]], truth)
        result = metric.compute()
        assert result.recalls[1].value == recall
        assert (result.counted, result.without_match) == (counted, 3)
        assert f"{counted} of 6 queries count; 3 have no correct place" in str(result)
        assert "every frame of the window is within the radius" in result.protocol


def test_what_cannot_be_is_refused() -> None:
    windows = build_windows(["a"] * 4, range(4), 2)
    places = line(4)
    with pytest.raises(SettingError, match="at least one frame"):
        build_windows(["a"], [0], 0)
    with pytest.raises(InputError, match="number 1 occurs twice in folder 'a'"):
        build_windows(["a", "a"], [1, 1], 1)
    with pytest.raises(InputError, match="2 folders, 1 frame_numbers"):
        build_windows(["a", "a"], [1], 1)
    with pytest.raises(SettingError, match="strategy"):
        positives(windows, windows, places, places, radius=1, strategy="lastframe")
    with pytest.raises(InputError, match="windows of 4 frames, 3 positions"):
        positives(windows, windows, places[:3], places, radius=1, strategy="lax")
