from __future__ import annotations

import numpy as np
import pytest

from placememory.errors import SettingError
from placememory.frames import Pose
from placememory.fusion import Belief, Hypothesis, Verdict
from placememory.geometry import Policy
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
