"""Every result prints its protocol, becomes JSON and a table, and can be drawn."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from placememory import metrics
from placememory._registry import require
from placememory.frames import Pose
from placememory.metrics.bootstrap import block_bootstrap
from placememory.metrics.result import MetricResult


def _results() -> dict[str, MetricResult]:
    places = [[0, 0], [5, 0], [10, 0], [15, 0]]
    truth = metrics.GroundTruth.from_positions(places, places, 2)
    two = metrics.GroundTruth.from_positions([[0, 0], [5, 1]], places, 2)
    made = {
        "recall": metrics.Recall([1, 2]),
        "decisions": metrics.MatchDecisions(),
        "curve": metrics.PrecisionRecall(lower_is_better=True),
        "correspondence": metrics.CorrespondencePrecision(),
        "errors": metrics.PoseErrors(),
        "paired": metrics.PairedDifference(),
    }
    made["recall"].update([[0, 1], [1, 0]], two)
    made["decisions"].update([1, 0], [1, 0], [1, 1])
    made["curve"].update([0.1, 0.4], [1, 0])
    made["correspondence"].update([[0, 1]], [[0, 1]], truth)
    made["errors"].update(Pose(0, 0), Pose(1, 0))
    made["paired"].update([1, 0], [1, 1])
    return {name: metric.compute() for name, metric in made.items()}


RESULTS = _results()


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_frozen_and_prints_its_protocol(name: str) -> None:
    result = RESULTS[name]
    assert str(result).startswith(result.protocol)
    assert len(str(result).splitlines()) > 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(result, dataclasses.fields(result)[0].name, None)
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["protocol"] == result.protocol


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_becomes_a_table(name: str) -> None:
    pytest.importorskip("pandas")
    result = RESULTS[name]
    table = result.to_frame()
    assert len(table) == len(result.rows()) > 0
    assert list(table.columns) == list(result.rows()[0])
    assert table.iloc[0, 0] == next(iter(result.rows()[0].values()))


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_can_be_drawn(name: str) -> None:
    pytest.importorskip("matplotlib")
    pyplot = require("matplotlib.pyplot", extra="figures", purpose="Plots")
    ax = RESULTS[name].plot()
    assert ax.has_data()
    assert RESULTS[name].plot(ax) is ax
    ax.figure.canvas.draw()
    pyplot.close(ax.figure)


def test_metrics_load_nothing_heavy() -> None:
    code = (
        "import sys, placememory.metrics; "
        "print([m for m in ('torch', 'matplotlib', 'pandas', 'sqlite3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_draws_without_a_value_are_left_out_of_an_interval() -> None:
    table = np.array([[1.0, 1.0]] + [[0.0, 0.0]] * 9)

    def ratio(rows: np.ndarray) -> float:
        right, counted = rows.sum(axis=0)
        return right / counted if counted else float("nan")

    found = block_bootstrap(table, ratio, block=1)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
    never = block_bootstrap(table[1:], ratio)
    assert np.isnan(never.low)
    assert never.percent() == "no value"
