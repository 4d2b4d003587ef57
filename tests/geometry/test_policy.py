from __future__ import annotations

import numpy as np
import pytest

from placememory.errors import InputError, SettingError
from placememory.frames import Pose
from placememory.fusion import Belief, Evidence, Hypothesis, Verdict
from placememory.geometry import Policy, Verified, weigh
from placememory.memory import Candidate, Place
from tests.geometry._images import candidates


def belief(verdict: Verdict, index: int, position: tuple[float, ...] | None = None) -> Belief:
    best = Hypothesis(0, ("map", index), 0.9, position)
    return Belief(verdict, (best,), 0.9, 0.0, 0.0, 5)


CLEAR, ALIKE = candidates([0.6, 0.3, 0.2]), candidates([0.6, 0.59, 0.2])


def test_a_frame_that_is_clear_is_not_checked() -> None:
    assert Policy().count([]) == 0
    assert Policy().count(CLEAR) == 0
    assert Policy().count(ALIKE) == 3
    assert Policy(top=2).count(ALIKE) == 2
    assert Policy(ambiguous_only=False).count(CLEAR) == 3
    assert Policy().count(candidates([0.6])) == 0


def test_neighbours_are_one_place() -> None:
    rows = [Candidate(Place("map", i, ""), 0.6, 1) for i in (7, 8, 6)]
    assert Policy().count(rows) == 0
    posed = [Candidate(Place("map", 9 * i, "", pose=Pose(0.5 * i, 0.0)), 0.6, 1) for i in range(4)]
    assert Policy().count(posed) == 0
    assert Policy(radius=0.4).count(posed) == 4


def test_the_belief_decides_where_there_is_one() -> None:
    assert Policy().count(CLEAR, belief("ambiguous", 0)) == 3
    assert Policy().count(CLEAR, belief("unknown", 0)) == 3
    assert Policy().count(CLEAR, belief("warming-up", 0)) == 0
    assert Policy().count(ALIKE, belief("located", 0)) == 0
    assert Policy().count(ALIKE, belief("located", 50)) == 3
    posed = [Candidate(Place("map", 0, "", pose=Pose(5.0, 0.0)), 0.6, 1)]
    assert Policy().count(posed, belief("located", 0, (5.5, 0.0))) == 0
    assert Policy().count(posed, belief("located", 0, (9.0, 0.0))) == 1
    assert Policy().count(CLEAR, Belief("located", (), 0.9, 0.0, 0.0, 5)) == 3


@pytest.mark.parametrize(
    "setting",
    [{"top": 0}, {"min_inliers": 0}, {"max_ms": 0.0}, {"max_ms": np.nan}, {"margin": 2.0},
     {"radius": -1.0}, {"reach": -1}],
    ids=str,
)  # fmt: skip
def test_impossible_settings_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        Policy(**setting)  # type: ignore[arg-type]


def test_look_alikes_lose_and_nothing_gains() -> None:
    column = np.random.default_rng(0).normal(0.1, 0.02, 40)
    column[[3, 30]] = 0.5, 0.49
    frame = Evidence.from_column(column, k=3)
    rows = [
        Verified(Candidate(Place("map", int(row), ""), float(s), rank), 90, n)
        for rank, (row, s, n) in enumerate(
            zip(frame.rows, frame.similarities, (10, 80, 0), strict=True), start=1
        )
    ]
    heavier = weigh(frame, rows)
    assert heavier.column is not None
    assert heavier.column[30] == column[30]
    assert heavier.column[3] < column[3]
    assert (heavier.column <= column).all()
    assert frame.column is not None
    assert frame.column[3] == 0.5
    assert weigh(frame, rows, floor=81) is frame
    assert weigh(frame, []) is frame


def test_what_was_not_checked_keeps_its_similarity() -> None:
    frame = Evidence(np.array([0, 10]), np.array([0.6, 0.5]), level=(0.1, 0.1))
    first, second = candidates([0.6, 0.5])
    rows = [Verified(first, unchecked="no image"), Verified(second, 99, 80)]
    assert weigh(frame, rows).similarities.tolist() == [0.6, 0.5]


def test_ranks_must_be_of_the_evidence() -> None:
    frame = Evidence(np.array([0]), np.array([0.6]), level=(0.1, 0.1))
    with pytest.raises(InputError, match="ranks"):
        weigh(frame, [Verified(candidates([0.6, 0.5])[1], 99, 80)])
