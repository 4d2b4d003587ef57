"""Similarities of correct and wrong answers, and the share a threshold would accept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from placememory.figures.outcomes import judge
from placememory.figures.style import (
    COLOURS,
    INK,
    LINE,
    MUTED,
    QUERY,
    format_count,
    headline,
    new_figure,
    with_style,
)
from placememory.localization.estimate import Estimate
from placememory.memory import Place
from placememory.metrics import Outcome

_HATCHES = {Outcome.WRONG: "xxx", Outcome.OFF_MAP: "///"}
_STYLES = {Outcome.CORRECT: "-", Outcome.WRONG: "--", Outcome.OFF_MAP: "-."}
_BINS = 30
_ALL_TICKS = 12


@with_style
def draw_scores(
    estimates: Sequence[Estimate],
    places: Sequence[Place] = (),
    *,
    radius: float | None,
    heading: float | None = None,
    title: str = "Similarity of the answers",
) -> Figure:
    """Draw the similarity by rank, and of correct and wrong first answers.

    Left: median, middle half and range of the similarity at each rank. Right: a histogram of the
    first answers by outcome, and below it the share of each that a threshold would accept.

    Args:
        estimates: The run.
        places: All places of the memory, to distinguish wrong from off the map.
        radius: Metres within which an answer is correct; ``None`` judges nothing.
        heading: Degrees within which its rotation must be, too.
        title: First line.

    Returns:
        The figure.
    """
    outcomes = judge(estimates, places, radius, heading, alone=True)
    groups = {
        outcome: np.array(
            [
                e.best.similarity
                for e, found in zip(estimates, outcomes, strict=True)
                if found is outcome and e.best is not None
            ]
        )
        for outcome in reversed(Outcome)
    }
    groups = {outcome: values for outcome, values in groups.items() if len(values)}
    figure = new_figure(9.6, 4.4)
    grid = GridSpec(2, 2, figure=figure, width_ratios=[1.0, 1.35], height_ratios=[1.5, 1.0])
    ranks = figure.add_subplot(grid[:, 0])
    histogram = figure.add_subplot(grid[0, 1])
    accepted = figure.add_subplot(grid[1, 1], sharex=histogram)
    _draw_ranks(ranks, estimates)
    _draw_histogram(histogram, groups)
    _draw_accepted(accepted, groups)
    headline(ranks, title, f"{format_count(len(estimates), 'frame')}; by rank")
    rule = "" if radius is None else f"; correct is within {radius:g} m"
    headline(histogram, "", f"first answers{rule}")
    return figure


def _draw_ranks(axes: Axes, estimates: Sequence[Estimate]) -> None:
    deepest = max((len(estimate.candidates) for estimate in estimates), default=0)
    axes.set(xlabel="rank", ylabel="similarity (cosine)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _quiet(axes)
    if deepest == 0:
        axes.text(0.5, 0.5, "no candidates", transform=axes.transAxes, ha="center", color=MUTED)
        return
    levels = [
        [e.candidates[rank].similarity for e in estimates if len(e.candidates) > rank]
        for rank in range(deepest)
    ]
    low, quarter, half, three, high = np.array(
        [np.quantile(values, [0.0, 0.25, 0.5, 0.75, 1.0]) for values in levels]
    ).T
    x = np.arange(1, deepest + 1)
    axes.vlines(x, low, high, color=LINE, lw=1.2, label="lowest to highest")
    axes.vlines(x, quarter, three, color=QUERY, lw=7.0, alpha=0.4, label="middle half")
    axes.plot(x, half, "o", ms=5, color=QUERY, mec="white", mew=0.8, label="median")
    axes.set_xlim(0.4, deepest + 0.6)
    if deepest <= _ALL_TICKS:
        axes.set_xticks(x)
    axes.legend(loc="upper right", handlelength=1.2)


def _draw_histogram(axes: Axes, groups: dict[Outcome, NDArray[np.float64]]) -> None:
    _quiet(axes)
    axes.set(ylabel="frames")
    axes.tick_params(labelbottom=False)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    if not groups:
        return
    values = np.concatenate(list(groups.values()))
    spread = max(float(np.ptp(values)), 0.02)
    edges = np.linspace(values.min() - 0.02 * spread, values.max() + 0.02 * spread, _BINS + 1)
    axes.hist(
        list(groups.values()),
        bins=edges.tolist(),
        stacked=True,
        color=[COLOURS[outcome] for outcome in groups],
        hatch=[_HATCHES.get(outcome, "") for outcome in groups],
        edgecolor="white",
        linewidth=0.5,
        label=[f"{outcome.value} ({len(group):,})" for outcome, group in groups.items()],
    )
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)


def _draw_accepted(axes: Axes, groups: dict[Outcome, NDArray[np.float64]]) -> None:
    """Draw the share of each outcome's answers whose similarity is at or above a threshold."""
    _quiet(axes)
    axes.set(
        xlabel="similarity of the first answer, or threshold", ylabel="accepted", ylim=(-0.03, 1.06)
    )
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_yticks([0.0, 0.5, 1.0])
    for outcome, values in groups.items():
        levels = np.sort(values)
        share = 1.0 - np.arange(len(levels)) / len(levels)
        x = np.concatenate([levels[:1] - 1.0, levels, levels[-1:] + 1e-9, levels[-1:] + 1.0])
        y = np.concatenate([[1.0], share, [0.0], [0.0]])
        style = _STYLES.get(outcome, ":")
        axes.plot(x, y, color=COLOURS[outcome], ls=style, lw=1.7, drawstyle="steps-pre")
    if groups:
        values = np.concatenate(list(groups.values()))
        margin = 0.04 * max(float(np.ptp(values)), 0.02)
        axes.set_xlim(values.min() - margin, values.max() + margin)
    axes.grid(axis="y", color=LINE, lw=0.5, alpha=0.6)


def _quiet(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=3.0)
    axes.title.set_color(INK)
