"""The look that all figures share: colours, type, new figures, and how they become PNG files."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from matplotlib import font_manager, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.legend import Legend
from matplotlib.transforms import ScaledTranslation

from placememory._io import write_bytes
from placememory.memory import Place
from placememory.metrics import Outcome

_Inputs = ParamSpec("_Inputs")
_Result = TypeVar("_Result")

DPI = 150
INK, MUTED, LINE, PALE = "#1f2933", "#5f6b77", "#a5afb9", "#c3cad1"
QUERY = "#0072b2"
# Okabe and Ito's palette, for colour-blind readers, too; marks repeat what the colours say.
COLOURS = {
    Outcome.CORRECT: "#009e73",
    Outcome.WRONG: "#d55e00",
    Outcome.OFF_MAP: "#8e63b5",
    Outcome.NOT_JUDGED: "#7b8794",
    Outcome.MISSED: "#e69f00",
    Outcome.REJECTED: "#56b4e9",
}
MARKERS = {
    Outcome.CORRECT: "o",
    Outcome.WRONG: "X",
    Outcome.OFF_MAP: "^",
    Outcome.NOT_JUDGED: "s",
    Outcome.MISSED: "D",
    Outcome.REJECTED: "v",
}
VERDICT_COLOURS = {
    "located": "#009e73",
    "ambiguous": "#e69f00",
    "unknown": "#5f6b77",
    "warming-up": "#97a3ae",
}
VERDICT_MARKERS = {"located": "o", "ambiguous": "D", "unknown": "v", "warming-up": "s"}
_RC: dict[Any, Any] = {
    "axes.edgecolor": LINE,
    "axes.facecolor": "white",
    "axes.grid": False,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9.0,
    "axes.linewidth": 0.8,
    "figure.dpi": 100.0,
    "figure.facecolor": "white",
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "hatch.linewidth": 0.8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handletextpad": 0.5,
    "path.simplify": True,
    "savefig.facecolor": "white",
    "text.color": INK,
    "text.usetex": False,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 8.5,
}


def with_style(function: Callable[_Inputs, _Result]) -> Callable[_Inputs, _Result]:
    """Run a drawing function under the shared style, whatever the user's matplotlibrc says."""

    @functools.wraps(function)
    def inner(*args: _Inputs.args, **kwargs: _Inputs.kwargs) -> _Result:
        with rc_context(_RC):
            return function(*args, **kwargs)

    return inner


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches that lays out its parts itself."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def headline(axes: Axes, title: str, note: str) -> None:
    """Write a title, and a quieter line below it, above the left edge of the axes."""
    axes.set_title(plain(note), loc="left", fontsize=9.0, color=MUTED, pad=7)
    axes.annotate(
        plain(title),
        xy=(0.0, 1.0),
        xycoords="axes fraction",
        xytext=(0.0, 22.0 + 12.0 * note.count("\n")),
        textcoords="offset points",
        fontsize=12.0,
        fontweight="bold",
    )


def legend_below(axes: Axes, handles: list[object], columns: int, gap: float = 36.0) -> Legend:
    """Put a legend below the axes, ``gap`` points from their lower left corner."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    down = ScaledTranslation(0.0, -gap / 72.0, figure.dpi_scale_trans)
    return axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.0, 0.0),
        bbox_transform=axes.transAxes + down,
        ncols=max(1, min(columns, len(handles))),
        borderaxespad=0.0,
        borderpad=0.0,
        columnspacing=1.8,
    )


@with_style
def to_png(figure: Figure, *, dpi: float = DPI) -> bytes:
    """The figure as the bytes of a PNG file, the same for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi=dpi,
        bbox_inches="tight",
        pad_inches=0.12,
        metadata={"Software": None},
    )
    return buffer.getvalue()


def save(figure: Figure, path: Path | str) -> Path:
    """Write a figure as PNG at 150 dots an inch; the file appears only when it is complete.

    Args:
        figure: From one of the ``draw_*`` functions.
        path: Where to; folders that are missing are made.

    Returns:
        The path.
    """
    write_bytes(Path(path), to_png(figure))
    return Path(path)


def plain(text: str) -> str:
    r"""Text that matplotlib draws as it is: no formulas, no control or missing characters.

    Example:
        >>> plain("a$b$.png")
        'a\\$b\\$.png'
    """
    known = _drawable()
    drawable = "".join(c if c == "\n" or ord(c) in known else "?" for c in text)
    return drawable.replace("$", r"\$")


@functools.cache
def _drawable() -> frozenset[int]:
    """Code points that both the proportional and the monospaced font can draw."""
    files = [font_manager.findfont(name) for name in ("DejaVu Sans", "DejaVu Sans Mono")]
    maps = [set(FT2Font(file).get_charmap()) for file in files]
    return frozenset(code for code in maps[0] & maps[1] if code >= 32)


def shorten(name: str, length: int) -> str:
    """Cut a long name in its middle; its start and end are kept.

    Example:
        >>> shorten("vertex_005_000034_1751340273862754844.png", 24)
        'vertex_005_000…54844.png'
        >>> shorten("a.png", 24)
        'a.png'
    """
    if len(name) <= length:
        return name
    tail = max(1, (length - 1) * 2 // 5)
    return f"{name[: max(1, length - 1 - tail)]}\N{HORIZONTAL ELLIPSIS}{name[-tail:]}"


def place_label(place: Place, length: int = 26) -> str:
    """Vertex id where there is one, else the shortened name."""
    if place.vertex_id is not None:
        return f"vertex {place.vertex_id}"
    return shorten(place.name, length)


def format_count(count: int, noun: str) -> str:
    """Format a count with its noun.

    Example:
        >>> format_count(1, "place"), format_count(1200, "place")
        ('1 place', '1,200 places')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
