"""Verdicts against the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.metrics.located import LocatedFrames


def test_a_run_with_a_stretch_off_the_map() -> None:
    pytest.importorskip("pandas", reason="the extra 'figures' is not installed")
    metric = LocatedFrames()
    for i in range(80):
        metric.update(located=i >= 8, probability=0.95, correct=i > 0, on_map=True, error=0.5)
    for i in range(20):
        metric.update(located=i < 2, probability=0.2, correct=False, on_map=False)
    result = metric.compute()
    assert result.located.value == pytest.approx(72 / 80)
    assert result.precision.value == pytest.approx(72 / 74)
    assert result.false_locations == pytest.approx(0.1)
    assert (result.on_map, result.off_map) == (80, 20)
    assert result.median_error == 0.5
    assert "20 off it" in str(result)
    assert result.to_dict()["reliability"][-1]["count"] == 80
    assert len(result.to_frame()) == 2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_probabilities_that_are_frequencies_are_calibrated(seed: int) -> None:
    rng = np.random.default_rng(seed)
    metric = LocatedFrames()
    for p in rng.uniform(0, 1, 4000):
        metric.update(located=True, probability=p, correct=bool(rng.uniform() < p), on_map=True)
    assert metric.compute().calibration_error < 0.06


def test_nothing_seen_and_nothing_known() -> None:
    metric = LocatedFrames()
    assert math.isnan(metric.compute().median_error)
    metric.update(located=False, probability=0.0, correct=False, on_map=False)
    result = metric.compute()
    assert result.to_dict()["median_error_m"] is None
    assert result.calibration_error == 0.0
