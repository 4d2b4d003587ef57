"""Clusters of poses, and the heatmap."""

from __future__ import annotations

import math

import numpy as np
import pytest

from placememory.errors import SettingError
from placememory.fusion import Evidence, Odometry, PlaceTable, create
from placememory.fusion._motion import pose_of
from placememory.maps import OccupancyGrid


def frame(rows, weights) -> Evidence:
    """Candidates with these normalised similarities."""
    return Evidence(rows, weights, level=(0.0, 1.0))


def test_the_estimate_is_the_weighted_mean_with_a_circular_yaw() -> None:
    table = PlaceTable.from_arrays([[0.0, 0.0], [1.0, 0.0]], yaw=[3.1, -3.1])
    fusion = create("spatial", table, warm_up=2)
    fusion.update(frame([0], [6.0]))
    belief = fusion.update(frame([1], [3.0]), Odometry(0.0, 0.0, 0.0))
    assert belief.position == pytest.approx((1 / 3, 0.0))
    assert abs(belief.yaw) > 3.1
    scatter = 2 / 9 + 1 / 12 + 0.1**2
    assert belief.covariance[0, 0] == pytest.approx(scatter)
    assert np.linalg.eigvalsh(belief.covariance).min() > 0
    assert belief.verdict == "located"


def test_opposite_views_are_different_hypotheses_unless_panoramas() -> None:
    table = PlaceTable.from_arrays([[0.0, 0.0], [0.5, 0.0]], yaw=[0.0, math.pi])
    for heading, count in ((45.0, 2), (None, 1)):
        fusion = create("spatial", table, heading=heading, warm_up=1)
        belief = fusion.update(frame([0, 1], [5.0, 4.0]))
        assert len(belief.hypotheses) == count


def test_two_equal_clusters_are_ambiguous() -> None:
    table = PlaceTable.from_arrays([[0.0, 0.0], [30.0, 0.0]])
    for name in ("spatial", "heatmap", "frequency"):
        fusion = create(name, table)
        for _ in range(4):
            belief = fusion.update(frame([0, 1], [5.0, 4.9]))
        assert belief.verdict == "ambiguous", name
        assert belief.ambiguity == pytest.approx(0.98), name
        assert len(belief.hypotheses) == 2, name


def test_odometry_gathers_what_drifts_apart() -> None:
    """Look-alikes 20 m ahead move with the wrong scale; only the true ones agree."""
    table = PlaceTable.from_arrays([[float(i), 0.0] for i in range(60)], yaw=np.zeros(60))
    for name in ("spatial", "heatmap"):
        fusion = create(name, table)
        for t in range(5):
            rows = [5 + 4 * t, 30 + 9 * t if t < 3 else 30 - 3 * t]
            belief = fusion.update(frame(rows, [4.0, 5.0]), Odometry(4.0, 0.0, 0.0))
        assert belief.position[0] == pytest.approx(21.0, abs=0.05), name


@pytest.mark.parametrize("shift", [0.0, 0.13, 0.31])
def test_the_peak_does_not_depend_on_the_cells(shift) -> None:
    table = PlaceTable.from_arrays([[shift, 0.0], [shift + 1.0, 0.2]])
    fusion = create("heatmap", table, warm_up=1)
    fusion.update(frame([0], [5.0]), None)
    belief = fusion.update(frame([1], [5.0]), Odometry(0.0, 0.0, 0.0))
    assert belief.position == pytest.approx((shift + 0.5, 0.1), abs=1e-6)


def test_walls_take_the_evidence_away() -> None:
    image = np.ones((20, 20))
    image[:, 10:] = 0.0  # the right half is wall
    grid = OccupancyGrid(image, 1.0, (0.0, 0.0, 0.0))
    table = PlaceTable.from_arrays([[5.0, 10.0], [15.0, 10.0]])
    for walls, winner in ((0.0, 0), (1.0, 1)):
        fusion = create("heatmap", table, grid=grid, walls=walls, warm_up=1)
        belief = fusion.update(frame([0, 1], [4.0, 6.0]))
        assert belief.best.row == winner


def test_the_region_grows_with_sigma_and_with_a_second_peak() -> None:
    table = PlaceTable.from_arrays([[0.0, 0.0], [30.0, 0.0]])

    def area(rows, sigma) -> float:
        fusion = create("heatmap", table, sigma=sigma, resolution=0.25)
        return fusion.update(frame(rows, [5.0] * len(rows))).area_90

    one = area([0], 1.0)
    assert one == pytest.approx(2 * math.pi * math.log(10), rel=0.1)  # of a normal distribution
    assert area([0], 2.0) == pytest.approx(4 * one, rel=0.1)
    assert area([0, 1], 1.0) == pytest.approx(2 * one, rel=0.05)


def test_candidates_of_one_frame_do_not_add_up() -> None:
    """A dense stretch of the map is no better than one place."""
    table = PlaceTable.from_arrays(
        [[0.1, 0.0], [0.2, 0.0], [0.3, 0.0], [0.4, 0.0], [0.5, 0.0], [30.0, 0.0]]
    )
    for name in ("heatmap", "spatial"):
        fusion = create(name, table, candidates=6, warm_up=1)
        belief = fusion.update(frame(np.arange(6), [4.0, 4.0, 4.0, 4.0, 4.0, 5.0]))
        assert belief.best.row == 5, name


def test_impossible_resolution() -> None:
    with pytest.raises(SettingError, match="resolution"):
        create("heatmap", PlaceTable.from_arrays([[0.0, 0.0]]), sigma=1.0, resolution=2.0)


def test_a_covariance_is_positive_where_some_yaws_are_unknown_or_opposite() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        yaw = np.where(rng.random(6) < 0.4, np.nan, rng.normal(0, 1.5, 6))
        _, _, covariance = pose_of(rng.normal(0, 2, (6, 2)), yaw, rng.random(6), floor_xy=0.1)
        known = np.isfinite(covariance[:, 0])
        assert np.linalg.eigvalsh(covariance[np.ix_(known, known)]).min() > 0
