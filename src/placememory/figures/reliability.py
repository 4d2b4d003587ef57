"""Reliability diagram: predicted probabilities against the share that is correct."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from placememory.figures.style import LINE, headline, new_figure, with_style
from placememory.metrics.bootstrap import wilson
from placememory.metrics.located import LocatedResult

_COLOURS = ("#7b8794", "#0072b2", "#d55e00", "#009e73")
_LARGEST, _SMALLEST = 260.0, 12.0  # area of a mark in square points


@with_style
def draw_reliability(results: Mapping[str, LocatedResult]) -> Figure:
    """Draw the share that is correct over the probability; a calibrated belief is on the diagonal.

    Args:
        results: By name; the area of a mark is its share of the frames.

    Returns:
        A Matplotlib figure.
    """
    figure = new_figure(6.4, 5.0)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=LINE, linewidth=1.0, linestyle="--")
    for colour, (name, result) in zip(_COLOURS, results.items(), strict=False):
        x = [b.probability for b in result.bins]
        y = [b.right for b in result.bins]
        sizes = [_LARGEST * b.count / max(1, result.frames) + _SMALLEST for b in result.bins]
        axes.plot(x, y, color=colour, linewidth=1.2, alpha=0.7)
        spans = [wilson(round(b.right * b.count), b.count) for b in result.bins]
        below = [max(0.0, right - span.low) for right, span in zip(y, spans, strict=True)]
        above = [max(0.0, span.high - right) for right, span in zip(y, spans, strict=True)]
        axes.errorbar(x, y, yerr=[below, above], fmt="none", ecolor=colour, elinewidth=1, alpha=0.6)
        for at, right, one in zip(x, y, result.bins, strict=True):
            axes.annotate(
                f"{one.count:,}",
                (at, right),
                xytext=(7, -11),
                textcoords="offset points",
                fontsize=7.5,
                color=colour,
            )
        label = f"{name}: error {100 * result.calibration_error:.1f} %" if x else name
        axes.scatter(x, y, s=sizes, color=colour, label=label, zorder=3)
    axes.set(xlabel="probability", ylabel="share correct", xlim=(-0.04, 1.09), ylim=(-0.08, 1.07))
    axes.legend(loc="upper left")
    frames = max((result.frames for result in results.values()), default=0)
    headline(
        axes, "Reliability", f"{frames:,} frames, counted at each mark; bars: 95% Wilson intervals"
    )
    return figure
