"""The picture of a training shows what its log says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from placememory.figures import draw_training, to_png
from placememory.figures.training import _smooth


def judged(step: int, epoch: int, recall: float) -> dict[str, Any]:
    ends = {f"recall@{k}": [recall - 0.1, recall + 0.1] for k in (1, 5)}
    return {
        "step": step, "epoch": epoch, "score": recall, "recall@1": recall,
        "recall@5": recall + 0.05, "intervals": ends,
    }  # fmt: skip


LINES = [
    judged(0, 0, 0.3),
    *({"step": s, "loss": 1 / s, "active": 0.5, "lr": 0.1} for s in range(1, 21)),
    judged(10, 1, 0.7),
    judged(20, 2, 0.6),
    {"step": 20, "test": {"recall@1": 0.5}},
]


def test_loss_recall_start_and_best_are_drawn() -> None:
    figure = draw_training(LINES, "office")
    loss, recall, rate, active = figure.axes
    assert loss.lines[0].get_ydata()[0] == 1.0
    assert active.lines[0].get_ydata()[0] == 50.0
    assert len(rate.lines[0].get_xdata()) == 20
    labels = {line.get_label(): line for line in recall.lines}
    assert list(labels["recall@1, validation"].get_ydata()) == [30.0, 70.0, 60.0]
    assert labels["recall@1, start"].get_ydata()[0] == 30.0
    best = labels["best, epoch 1"]
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (10, 70.0)
    assert to_png(figure)[:4] == b"\x89PNG"


def test_a_training_that_took_no_step_is_drawn() -> None:
    assert to_png(draw_training(LINES[:1]))
    assert to_png(draw_training([]))


def test_smoothing_keeps_what_is_constant_and_the_length() -> None:
    assert np.allclose(_smooth(np.full(50, 3.0)), 3.0)
    assert len(_smooth(np.arange(7.0))) == 7
    assert len(_smooth(np.empty(0))) == 0
    noisy = np.random.default_rng(0).normal(size=400)
    assert _smooth(noisy).std() < 0.5 * noisy.std()
