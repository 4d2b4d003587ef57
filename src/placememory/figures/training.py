"""A training from its start: loss, what of it is still active, recall on validation, the rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from placememory.figures.style import INK, LINE, MUTED, QUERY, headline, new_figure, with_style

_ORANGE = "#d55e00"
_SMOOTHED = 0.05  # of all steps: width of the running mean


@with_style
def draw_training(lines: Sequence[Mapping[str, Any]], name: str = "") -> Figure:
    """Loss and share of active triplets, recall with its intervals, and the learning rate.

    Args:
        lines: Of a run's ``log.jsonl``: ``step`` with ``loss``, ``active`` and ``lr``, or with
            ``recall@1``, ``recall@5`` and their ``intervals``.
        name: Of the training.

    Returns:
        A Matplotlib figure.
    """
    steps = [line for line in lines if "loss" in line]
    judged = [line for line in lines if "score" in line]
    figure = new_figure(7.2, 7.6)
    above, middle, below = figure.subplots(
        3, sharex=True, gridspec_kw={"height_ratios": [3.0, 3.0, 1.0]}
    )
    _draw_loss(above, steps)
    _draw_recall(middle, judged)
    _draw_rate(below, steps)
    seen = f"{len(steps):,} steps, judged {len(judged)} times; a thin line is each step"
    headline(above, f"Training {name}".strip(), seen)
    return figure


def _draw_loss(axes: Axes, steps: Sequence[Mapping[str, Any]]) -> None:
    x = np.array([line["step"] for line in steps])
    other = axes.twinx()
    for which, label, colour in ((axes, "loss", QUERY), (other, "active", _ORANGE)):
        values = np.array([line[label] for line in steps], dtype=np.float64)
        values = 100 * values if label == "active" else values
        which.plot(x, values, color=colour, linewidth=0.6, alpha=0.3)
        which.plot(x, _smooth(values), color=colour, linewidth=1.6)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("loss", color=QUERY)
    other.set_ylim(0, 104)
    other.set_ylabel("active (%)", color=_ORANGE)


def _draw_recall(axes: Axes, judged: Sequence[Mapping[str, Any]]) -> None:
    x = [line["step"] for line in judged]
    for name, colour in (("recall@1", QUERY), ("recall@5", MUTED)):
        low, high = ([100 * line["intervals"][name][end] for line in judged] for end in (0, 1))
        values = [100 * line[name] for line in judged]
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(x, values, color=colour, marker="o", markersize=3.5, label=f"{name}, validation")
    if judged:
        start = 100 * judged[0]["recall@1"]
        axes.axhline(start, color=LINE, linewidth=1.0, linestyle="--", label="recall@1, start")
        best = max(judged, key=lambda line: (line["score"], -line["epoch"]))
        axes.plot(
            best["step"], 100 * best["recall@1"], marker="*", markersize=13, linestyle="none",
            color=_ORANGE, label=f"best, epoch {best['epoch']}",
        )  # fmt: skip
        axes.legend(loc="best")
    lowest = min((100 * line["intervals"]["recall@1"][0] for line in judged), default=0.0)
    bottom = max(0.0, 10.0 * (lowest // 10.0) - 10.0)
    axes.set(ylabel="correct (%)", ylim=(bottom, 100.0 + 0.04 * (100.0 - bottom)))


def _draw_rate(axes: Axes, steps: Sequence[Mapping[str, Any]]) -> None:
    axes.plot([line["step"] for line in steps], [line["lr"] for line in steps], color=INK)
    axes.set_ylim(bottom=0)
    axes.set(xlabel="step", ylabel="rate")


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running mean over a share of the steps; at the ends over those that there are."""
    half = max(1, round(_SMOOTHED * len(values) / 2))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    first, last = np.maximum(places - half, 0), np.minimum(places + half + 1, len(values))
    smooth: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return smooth
