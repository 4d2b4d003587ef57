"""What geometry and a matcher add to places, and what a frame without them says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from placememory.errors import InputError
from placememory.fusion import Evidence, create, names
from tests.fusion._world import World

ROWS = np.arange(12)


def test_inliers_count_by_their_ratio_within_the_frame() -> None:
    frame = Evidence(checked_rows=[2, 6, 9], inliers=[70.0, 10.0, 10.0])
    nats = frame.support(ROWS)
    assert nats[2] == 2.0  # log2(80 / 20)
    assert nats[[1, 3]] == pytest.approx(2.0 * 2 / 3)
    assert nats[[0, 4]] == pytest.approx(2.0 / 3)
    assert (nats[6:] == 0.0).all()
    many = Evidence(checked_rows=[2, 6, 9], inliers=[790.0, 190.0, 190.0])
    assert many.support(ROWS)[2] == 2.0  # another camera, the same ratio


def test_a_pair_that_fits_less_than_the_others_loses() -> None:
    frame = Evidence(checked_rows=[2, 6, 9], inliers=[60.0, 60.0, 0.0])
    nats = frame.support(ROWS)
    assert nats[9] == -2.0
    assert nats[2] == nats[6] == 0.0


def test_a_matched_sequence_is_evidence_at_its_end() -> None:
    nats = Evidence(match_rows=[5], match_scores=[0.2]).support(ROWS)
    assert nats[4:7] == pytest.approx(0.4)
    assert (np.delete(nats, [4, 5, 6]) == 0.0).all()
    assert (Evidence(match_rows=[5], match_scores=[1.0]).support(ROWS) == 0.0).all()


@pytest.mark.parametrize("name", [name for name in names() if "." not in name])
def test_geometry_decides_between_look_alikes_in_every_method(name: str) -> None:
    world = World(seed=3)
    rng = np.random.default_rng(0)
    robot = create(name, world.table, **({"profile": world.profile} if name == "bayes" else {}))
    for step in range(8):
        column = rng.normal(0.1, 0.03, len(world.table))
        column[[20 + 2 * step, 150 + 2 * step]] = 0.4
        frame = Evidence.from_column(column, k=12)
        checked = np.array([20 + 2 * step, 150 + 2 * step, int(frame.rows[-1])])
        frame = replace(frame, checked_rows=checked, inliers=np.array([20.0, 160.0, 15.0]))
        belief = robot.update(frame)
    assert abs(belief.best.row - 164) <= 6


def test_checked_rows_must_be_of_the_map_and_have_inliers() -> None:
    robot = create("bayes", World(seed=0).table)
    with pytest.raises(InputError, match="checked_rows name row 999"):
        robot.update(Evidence(checked_rows=[999], inliers=[5.0]))
    with pytest.raises(InputError, match="2 checked_rows but 1 inliers"):
        Evidence(checked_rows=[1, 2], inliers=[5.0])
