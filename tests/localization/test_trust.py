"""The trust contract: no pose unless located, a reason in words, and a finite covariance."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from placememory import Frame, Pose
from placememory.fusion import Belief, Hypothesis, Verdict
from placememory.localization import (
    UNKNOWN_ANGLE,
    Estimate,
    LocalizedRun,
    MapSpread,
    RunWriter,
    Summary,
)
from placememory.localization.reason import explain
from placememory.memory import Candidate, Place

VERDICTS: tuple[Verdict, ...] = ("located", "ambiguous", "unknown", "warming-up")


def _places(floors: list[str | None], session: str = "run") -> list[Place]:
    return [
        Place(session, i, f"{i}.png", pose=Pose.from_yaw(i, 0.0, 0.0), floor=floor)
        for i, floor in enumerate(floors)
    ]


def _belief(verdict: Verdict, weights: list[float], reason: str = "") -> Belief:
    found = tuple(
        Hypothesis(row, ("run", row), weight, (float(row), 0.0, 0.0), 0.0)
        for row, weight in enumerate(weights)
    )
    covariance = np.diag([0.25, 0.04, 0.01])
    return Belief(verdict, found, 0.5, 0.5, 0.1, 5, covariance, reason=reason)


def _estimate(verdict: Verdict | None) -> Estimate:
    frame = Frame("q.png", "query", 0, stamp=10**9, pose=Pose.from_yaw(0.3, 0.1, 0.05))
    places = _places([None] * 5)
    candidates = (Candidate(places[1], 0.9, 1), Candidate(places[2], 0.8, 2))
    belief = None if verdict is None else _belief(verdict, [0.6, 0.3])
    spread = None if belief is None else MapSpread(places).of_belief(belief)
    return Estimate(frame, candidates, belief, spread=spread)


@pytest.mark.parametrize("verdict", [*VERDICTS, None])
def test_there_is_a_pose_only_where_it_is_located(verdict: Verdict | None, tmp_path: Path) -> None:
    estimate = _estimate(verdict)
    located = verdict == "located"
    assert (estimate.pose is not None) == located
    assert estimate.hypothesis is not None
    with RunWriter(tmp_path, radius=2.0) as writer:
        writer.write(estimate)
    told = json.loads((tmp_path / "estimates.jsonl").read_text())
    assert (told["pose"] is not None) == located
    assert told["hypothesis"]["x"] == estimate.hypothesis.x
    with (tmp_path / "estimates.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert (row["x"] != "") == located
    assert float(row["hypothesis_x"]) == estimate.hypothesis.x
    assert bool((tmp_path / "trajectory.tum").read_text()) == located
    summary = Summary()
    summary.add(estimate)
    table = LocalizedRun((estimate,), [], summary).to_frame()
    assert table["x"].notna()[0] == located
    assert table["hypothesis_x"].notna()[0]
    assert summary.with_pose == located


@pytest.mark.parametrize("verdict", [*VERDICTS, None])
def test_a_refined_pose_counts_only_where_it_is_located(verdict: Verdict | None) -> None:
    spread = tuple(np.diag([0.01] * 6).ravel().tolist())
    refined = replace(Pose.from_yaw(0.4, 0.1, 0.1), covariance=spread)
    estimate = replace(_estimate(verdict), refined=refined)
    assert estimate.hypothesis == refined
    assert (estimate.pose == refined) == (verdict == "located")
    assert estimate.covariance == pytest.approx(np.diag([0.01] * 6))


def test_the_covariance_is_told_in_ros_order(tmp_path: Path) -> None:
    estimate = _estimate("ambiguous")
    told = np.array(estimate.to_dict()["covariance"]).reshape(6, 6)
    assert told[0, 0] == pytest.approx(0.25)
    assert told[1, 1] == pytest.approx(0.04)
    assert told[5, 5] == pytest.approx(0.01)
    with RunWriter(tmp_path, radius=2.0) as writer:
        writer.write(estimate)
    with (tmp_path / "estimates.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    names = ("xx", "xy", "yy", "xyaw", "yyaw", "yawyaw")
    given = [float(row[f"covariance_{name}"]) for name in names]
    assert given == pytest.approx([0.25, 0.0, 0.04, 0.0, 0.0, 0.01])


def test_what_is_unknown_of_a_pose_has_the_variance_of_any_angle() -> None:
    bare = [Place("run", i, f"{i}.png", pose=Pose(float(i), 0.0)) for i in range(4)]
    belief = _belief("located", [0.9])
    nan = np.full((3, 3), math.nan)
    nan[:2, :2] = np.diag([0.3, 0.2])
    found = MapSpread(bare).of_belief(replace(belief, covariance=nan))
    assert found is not None
    assert found.diagonal() == pytest.approx([0.3, 0.2, 0.01, *[UNKNOWN_ANGLE] * 3])
    assert np.linalg.eigvalsh(found).min() > 0


def test_a_slope_and_a_rolling_robot_are_in_the_covariance() -> None:
    rng = np.random.default_rng(0)
    half = 0.5 * rng.normal(0.0, 0.2, 40)  # half angles of roll
    poses = [
        Pose(0.05 * i, 0.0, 0.5 * i * 0.05, (math.sin(h), 0.0, 0.0, math.cos(h)))
        for i, h in enumerate(half)
    ]
    places = [Place("run", i, f"{i}.png", pose=pose) for i, pose in enumerate(poses)]
    here = Hypothesis(20, ("run", 20), 0.9, (1.0, 0.0, 0.5), 0.0)
    belief = replace(_belief("located", [0.9]), hypotheses=(here,))
    found = MapSpread(places).of_belief(belief)
    assert found is not None
    assert 0.15 < math.sqrt(found[3, 3]) < 0.3
    assert math.sqrt(found[4, 4]) == pytest.approx(0.1)
    assert 0.2 < math.sqrt(found[2, 2]) < 0.5


@pytest.mark.parametrize(
    ("verdict", "floors", "weights", "own", "words"),
    [
        ("located", ["3", "4"], [0.9, 0.1], "", ""),
        ("unknown", ["3", "4"], [0.2], "", "no place is like this"),
        ("unknown", ["3", "4"], [0.2], "one view only: move on", "one view only: move on"),
        ("warming-up", ["3"], [0.9], "", "too few frames yet"),
        ("ambiguous", ["3", "4"], [0.5, 0.4], "", "two places alike: 3rd floor and 4th floor"),
        ("ambiguous", ["1", "12", "13"], [0.4, 0.3, 0.2], "one view only: move on",
         "three places alike: 1st floor, 12th floor and 13th floor; one view only: move on"),
        ("ambiguous", ["3", "3"], [0.5, 0.4], "", "two places alike: run/0 and run/1"),
        ("ambiguous", [None, "3"], [0.5, 0.4], "", "two places alike: run/0 and run/1"),
        ("ambiguous", ["3", "4"], [0.5, 0.05], "", "not sure of run/0"),
        ("ambiguous", [None] * 5, [0.2] * 5, "",
         "five places alike: run/0, run/1, run/2 and 2 more"),
        ("ambiguous", ["3"], [], "", "on the map, at no one place"),
    ],
)  # fmt: skip
def test_the_reason_is_said_in_words(verdict, floors, weights, own, words) -> None:
    assert explain(_belief(verdict, weights, own), _places(floors)) == words
