"""Systems go through the Localizer: what is evaluated is what a robot runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from placememory import Frame, Localizer, PlaceMemory, Pose
from placememory.datasets import Traverse
from placememory.errors import SettingError
from placememory.evaluation import DatasetConfig, EncoderConfig, Pair, Positives, Settings, System
from placememory.evaluation.describe import TraverseDescriptors
from placememory.evaluation.online import localize_run
from placememory.evaluation.plan import Question, Run, truth_of
from placememory.evaluation.score import Scores
from placememory.metrics import GroundTruth
from tests.conftest import make_card

DIM, PLACES = 64, 60


def rows(places: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """A descriptor for each metre, mixed between whole metres, with noise."""
    anchors = np.random.default_rng(1).normal(size=(700, DIM))
    whole, part = np.divmod(places, 1.0)
    low, high = anchors[whole.astype(int)], anchors[whole.astype(int) + 1]
    mixed = low * (1 - part[:, None]) + high * part[:, None]
    mixed += noise * np.random.default_rng(seed).normal(size=mixed.shape)
    return (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)


def traverse(name: str, places: np.ndarray) -> Traverse:
    frames = tuple(
        Frame(f"{name}/{i}.png", name, i, stamp=i * 10**9, pose=Pose.from_yaw(float(x), 0.0, 0.0))
        for i, x in enumerate(places)
    )
    return Traverse(name, frames, np.stack([places, 0 * places], 1), "m", np.arange(len(places)))


QUERY = np.r_[np.arange(3.3, 50, 1.0), np.arange(500.3, 520, 1.0)]  # the end is off the map


def made(
    system: System, settings: Settings | None = None, hide: str | None = None
) -> tuple[Run, Question, TraverseDescriptors, TraverseDescriptors]:
    reference, query = traverse("map", np.arange(float(PLACES))), traverse("run", QUERY)
    dataset = DatasetConfig(
        root=Path(), pairs=(Pair(query="run", reference="map"),), radius=2.0, hide=hide
    )
    run = Run(
        "line", dataset, dataset.pairs[0], system, EncoderConfig(encoder="lite-vlad"), None,
        None, settings or Settings(), "",
    )  # fmt: skip
    kept = np.arange(PLACES)
    truth, counted = truth_of(dataset, query, reference), np.ones(len(query), np.bool_)
    if dataset.hide is not None:
        hidden = np.arange(*(int(share * PLACES) for share in dataset.hide))
        kept = np.delete(kept, hidden)
        truth, counted = truth.without(hidden)
    described = (
        TraverseDescriptors(rows(np.arange(float(PLACES)), 0.2, 2)),
        TraverseDescriptors(rows(QUERY, 0.4, 3)),
    )
    return run, Question(reference, query, kept, truth, counted), *described


@pytest.mark.parametrize("fusion", ["bayes", "frequency", "spatial", "heatmap"])
def test_every_fusion_answers_as_the_localizer_does(fusion: str) -> None:
    run, question, mapped, asked = made(System(encoder="lite-vlad", fusion=fusion))
    answers = localize_run(run, question, mapped, asked)
    with PlaceMemory.create(":memory:", encoder=make_card(DIM)) as memory:
        memory.add(question.reference.frames, mapped.descriptors)
        localizer = Localizer(memory, fusion=fusion, k=20)
        for i, frame in enumerate(question.query.frames):
            estimate = localizer.observe(frame, descriptor=asked.descriptors[i])
            assert answers.answered[i] == (estimate.verdict == "located")
            assert answers.poses[i] == estimate.hypothesis
    scores = Scores(answers, question)
    found = scores.metrics(run.dataset)
    located = found["located"]
    assert (located.on_map, located.off_map) == (47, 20)
    assert located.precision.value > 0.9
    assert found["candidates within 2 m"].recalls[1].value > 0.9
    assert found["errors"].answered == answers.answered.sum()
    if fusion == "bayes":
        assert located.located.value > 0.7
        assert located.false_locations <= 0.1


def test_a_hidden_stretch_is_off_the_map_and_its_edge_does_not_count() -> None:
    run, question, mapped, asked = made(System(encoder="lite-vlad", fusion="bayes"), hide="0.4-0.6")
    assert len(question.rows) == PLACES - 12
    answers = localize_run(run, question, mapped, asked)
    scores = Scores(answers, question)
    hidden = (QUERY > 24 + 2) & (QUERY < 36 - 3)
    assert not scores.on_map[hidden].any()
    assert not scores.counted[(QUERY > 24.5) & (QUERY < 25.7)].any()
    located = scores.metrics(run.dataset)["located"]
    assert located.off_map > 20
    table = scores.rows()
    assert {row[11] for row in table} <= {"correct", "missed", "rejected", "wrong", "off the map"}
    assert all(row[3] is None or row[3] in question.rows for row in table)


def test_frames_alone_are_scored_by_their_best_candidate() -> None:
    run, question, mapped, asked = made(System(encoder="lite-vlad"))
    answers = localize_run(run, question, mapped, asked)
    assert answers.beliefs is None
    best = np.argmax(asked.descriptors @ mapped.descriptors.T, axis=1)
    np.testing.assert_array_equal(answers.rows, best)
    assert "located" not in Scores(answers, question).metrics(run.dataset)


def test_sequences_stand_for_frames_where_there_is_no_frame_encoder() -> None:
    run, question, mapped, asked = made(System(encoder="none", sequence="jist", fusion="bayes"))
    only = (
        TraverseDescriptors(None, part.descriptors[2:], len(part.descriptors))
        for part in (mapped, asked)
    )
    answers = localize_run(run, question, *only)
    assert answers.skipped[:3] == ["warming-up", "warming-up", ""]
    assert answers.rows[2:40].min() >= 2
    scores = Scores(answers, question)
    assert scores.correct[20:40].mean() > 0.8


def test_lists_of_positives_decide_where_they_are_given(tmp_path: Path) -> None:
    reference, query = traverse("map", np.arange(4.0)), traverse("run", np.arange(3.0))
    (tmp_path / "gt.csv").write_text(
        "image,ok\nrun/0.png,map/0.png map/3.png\nrun/1.png,\nrun/2.png,map/2.png\n"
    )
    dataset = DatasetConfig(
        root=tmp_path,
        pairs=(Pair(query="run", reference="map"),),
        positives=Positives(file=Path("gt.csv"), query="image", places="ok"),
    )
    truth = truth_of(dataset, query, reference)
    assert isinstance(truth, GroundTruth)
    assert [found.tolist() for found in truth.positives] == [[0, 3], [], [2]]


@pytest.mark.parametrize("fusion", [None, "bayes"])
def test_frames_without_positions_are_scored_by_lists_alone(fusion: str | None) -> None:
    run, question, *described = made(System(encoder="lite-vlad", fusion=fusion))
    positives = [np.flatnonzero(near) for near in _near(QUERY)]
    truth = GroundTruth.from_positives(positives, PLACES)
    reference, query = _unplaced(question.reference), _unplaced(question.query)
    unplaced = Question(reference, query, question.rows, truth, question.counted)
    scores = Scores(localize_run(run, unplaced, *described), unplaced)
    assert "errors" not in scores.metrics(run.dataset)
    assert scores.recall_at_1()["value"] > 0.9


def _near(queries: np.ndarray) -> np.ndarray:
    return np.abs(queries[:, None] - np.arange(float(PLACES))) <= 2.0


def _unplaced(one: Traverse) -> Traverse:
    frames = tuple(replace(frame, pose=None) for frame in one.frames)
    return replace(one, frames=frames, positions=np.full_like(one.positions, np.nan))


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="kind windows"):
        System(encoder="jist", kind="windows", fusion="bayes")
    with pytest.raises(ValueError, match=r"0\.4-0\.6"):
        DatasetConfig(root=Path(), pairs=(Pair(query="a"),), hide="0.6-0.4")
    run, question, mapped, asked = made(
        System(encoder="lite-vlad", fusion="bayes"), Settings(fusion={"radios": 3.0})
    )
    with pytest.raises(SettingError, match="radios"):
        localize_run(run, question, mapped, asked)
