"""Votes per place, and the recorded lists of the specification."""

from __future__ import annotations

import numpy as np
import pytest

from placememory.fusion import Evidence, Odometry, PlaceTable, create

FRAMES = [  # top three of frames 70 to 74: row and similarity
    ([134, 143, 136], [0.559, 0.556, 0.554]),
    ([134, 144, 145], [0.585, 0.548, 0.547]),
    ([146, 145, 144], [0.570, 0.557, 0.514]),
    ([146, 145, 132], [0.594, 0.526, 0.522]),
    ([146, 147, 148], [0.597, 0.572, 0.532]),
]


def nowhere(count: int) -> PlaceTable:
    return PlaceTable.from_arrays(np.full((count, 2), np.nan))


def test_the_fixture_of_places_145_and_146() -> None:
    fusion = create("frequency", nowhere(197), window=5, reach=0, radius=None, level=0.1)
    for rows, similarities in FRAMES:
        belief = fusion.update(Evidence(rows, similarities, level=(0.0, 1.0)))
    assert [h.row for h in belief.hypotheses[:4]] == [146, 145, 134, 144]
    assert [h.weight for h in belief.hypotheses[:4]] == [0.6, 0.6, 0.4, 0.4]
    assert belief.ambiguity == pytest.approx(1.630 / 1.761)
    assert belief.verdict == "unknown"  # three of five votes are too few
    assert belief.position is None


def test_neighbours_vote_for_each_other() -> None:
    """With two steps of reach the same frames name one stretch."""
    fusion = create("frequency", nowhere(197), window=5, reach=2, radius=None, level=0.1)
    for rows, similarities in FRAMES:
        belief = fusion.update(Evidence(rows, similarities, level=(0.0, 1.0)))
    assert belief.best.row in (144, 145, 146, 147)
    assert belief.best.weight == 1.0
    assert belief.verdict == "located"


def test_a_frame_votes_once() -> None:
    """Ten candidates of one stretch in one frame are one vote."""
    fusion = create("frequency", nowhere(100), candidates=10, warm_up=1, support=0.0)
    fusion.update(Evidence(np.arange(40, 50), np.full(10, 0.9), level=(0.0, 0.1)))
    fusion.update(Evidence([80], [0.9], level=(0.0, 0.1)))
    belief = fusion.update(Evidence([80], [0.9], level=(0.0, 0.1)))
    assert belief.best.row == 80


def test_older_votes_move_with_the_robot() -> None:
    table = PlaceTable.from_arrays(
        [[float(i), 0.0] for i in range(30)], yaw=np.zeros(30), order=np.arange(30)
    )
    fusion = create("frequency", table, reach=0, radius=0.4)
    for t in range(5):
        belief = fusion.update(
            Evidence([10 + 2 * t], [0.9], level=(0.0, 0.1)), Odometry(2.0, 0.0, 0.0)
        )
    assert belief.best.row == 18
    assert belief.best.weight == 1.0


def test_votes_that_left_the_map_do_not_count() -> None:
    table = PlaceTable.from_arrays([[0.0, 0.0], [1.0, 0.0]], yaw=[0.0, 0.0])
    fusion = create("frequency", table)
    fusion.update(Evidence([1], [0.9], level=(0.0, 0.1)))
    belief = fusion.update(Evidence(), Odometry(50.0, 0.0, 0.0))
    assert belief.hypotheses == ()
    assert belief.verdict == "warming-up"
