"""The picture of a metric's result, with its numbers above it."""

from __future__ import annotations

from matplotlib.figure import Figure

from placememory.figures.style import headline, new_figure, with_style
from placememory.metrics.result import MetricResult


@with_style
def draw_result(result: MetricResult, *, title: str) -> Figure:
    """Draw what ``result.plot()`` draws, in the style of the other figures.

    Args:
        result: Of a metric, such as :class:`placememory.metrics.PrecisionRecall`.
        title: Above the figure.

    Returns:
        A Matplotlib figure.
    """
    figure = new_figure(7.2, 4.4)
    axes = figure.subplots()
    result.plot(axes)
    headline(axes, title, "\n".join(result.lines()))
    return figure
