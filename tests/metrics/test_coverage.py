"""Coverage of covariances: right where they are right, and what is wrong with them otherwise."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from placememory.frames import Pose
from placememory.metrics import Coverage, LocatedFrames, pose_error, wilson

SPREAD = np.array([[0.3, 0.1, 0.02], [0.1, 0.2, -0.01], [0.02, -0.01, 0.05]])


def _filled(scale: float, count: int = 4000) -> Coverage:
    metric = Coverage()
    errors = np.random.default_rng(1).multivariate_normal(np.zeros(3), scale * SPREAD, count)
    for error in errors:
        metric.update(error, SPREAD)
    return metric


def test_a_right_covariance_has_the_shares_of_a_normal_distribution() -> None:
    result = _filled(1.0).compute()
    for row in result.rows():
        assert row["low"] - 0.01 <= row["expected"] <= row["high"] + 0.01, row
    assert result.scale == pytest.approx(1.0, abs=0.08)
    assert result.yaw_scale == pytest.approx(1.0, abs=0.08)
    assert "95 % ellipse" in str(result)


@pytest.mark.parametrize("scale", [0.25, 4.0])
def test_the_scale_says_by_how_much_it_is_wrong(scale: float) -> None:
    result = _filled(scale).compute()
    assert result.scale == pytest.approx(scale, rel=0.1)
    assert result.yaw_scale == pytest.approx(scale, rel=0.1)
    assert result.scale_95 == pytest.approx(scale, rel=0.1)
    assert result.yaw_scale_95 == pytest.approx(scale, rel=0.1)
    assert (result.position[-1].value > 0.95) == (scale < 1)


def test_six_rows_are_read_in_ros_order_and_unknown_is_left_out() -> None:
    wide = np.diag([1.0, 4.0, 99.0, 99.0, 99.0, 0.01])
    metric = Coverage()
    metric.update(np.array([0.0, 1.9, 0.25]), wide)
    metric.update(np.array([0.0, 1.9, math.nan]), wide)
    metric.update(np.full(3, math.nan), wide)
    result = metric.compute()
    assert [share.count for share in (result.position[0], result.yaw[0])] == [2, 1]
    assert result.position[0].value == 1.0
    assert [share.value for share in result.yaw] == [0.0, 0.0, 1.0, 0.0]
    assert json.loads(json.dumps(Coverage().compute().to_dict(), allow_nan=False))["scale"] is None
    assert Coverage().compute().lines() == []


def test_only_located_frames_on_the_map_are_counted() -> None:
    metric = LocatedFrames()
    for located, on_map in ((True, True), (False, True), (True, False)):
        metric.update(
            located=located, probability=None, correct=True, on_map=on_map,
            pose_error=np.zeros(3), covariance=SPREAD,
        )  # fmt: skip
    result = metric.compute()
    assert result.coverage.position[0].count == 1
    assert math.isnan(result.calibration_error)
    assert result.bins == ()
    assert "no probability" in str(result)
    assert result.to_dict()["expected_calibration_error"] is None


def test_frames_without_a_probability_do_not_change_the_calibration_error() -> None:
    metric = LocatedFrames()
    for probability in (0.75, None, None):
        metric.update(located=True, probability=probability, correct=True, on_map=True)
    assert metric.compute().calibration_error == pytest.approx(0.25)


def test_the_yaw_goes_round() -> None:
    found = pose_error(Pose.from_yaw(0, 0, 3.0), Pose.from_yaw(1.0, -1.0, -3.0))
    assert found == pytest.approx([1.0, -1.0, 2 * math.pi - 6.0])
    assert math.isnan(pose_error(Pose(0, 0), Pose(1, 1))[2])
    assert np.isnan(pose_error(None, Pose(1, 1))).all()


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (10, 10), (1, 1), (50, 100)])
def test_wilson_holds_the_share(hits: int, count: int) -> None:
    found = wilson(hits, count)
    assert 0.0 <= found.low <= found.value <= found.high + 1e-12 <= 1.0 + 1e-12
    assert found.high - found.low < 1.0
    assert math.isnan(wilson(0, 0).value)
