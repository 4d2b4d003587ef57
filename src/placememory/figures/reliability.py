"""Reliability: what share of the answers with a probability was right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from placememory.figures._style import LINE, headline, new_figure, styled

if TYPE_CHECKING:
    from placememory.evaluation import LocatedResult

_COLOURS = ("#7b8794", "#0072b2", "#d55e00", "#009e73")
_LARGEST = 260.0


@styled
def draw_reliability(results: Mapping[str, LocatedResult]) -> Figure:
    """Share right over probability; on the diagonal, probabilities mean what they say.

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
        sizes = [_LARGEST * b.count / max(1, result.frames) + 12.0 for b in result.bins]
        axes.plot(x, y, color=colour, linewidth=1.2, alpha=0.7)
        label = f"{name}: error {100 * result.calibration_error:.1f} %"
        axes.scatter(x, y, s=sizes, color=colour, label=label, zorder=3)
    axes.set(xlabel="probability", ylabel="share right", xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
    axes.legend(loc="upper left")
    frames = max((result.frames for result in results.values()), default=0)
    headline(axes, "Reliability", f"{frames} frames; the larger a mark, the more of them")
    return figure
