"""What every result has: protocol, text, plain values, table, picture."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

from placememory._registry import require

INTERVALS = "95% intervals by bootstrap over blocks of neighbours"


class MetricResult(ABC):
    """Base of the results; each is a frozen dataclass."""

    __slots__ = ()

    @property
    @abstractmethod
    def protocol(self) -> str:
        """The rules and counts in one line."""

    @abstractmethod
    def lines(self) -> list[str]:
        """The numbers, one a line."""

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """The rows of :meth:`to_frame`, plain values."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is ``None``."""

    @abstractmethod
    def _draw(self, ax: Any) -> None:
        """Draw onto Matplotlib axes."""

    def __str__(self) -> str:
        """A few lines of text, protocol first."""
        return "\n".join([self.protocol, *self.lines()])

    def to_frame(self) -> Any:
        """The numbers as a pandas data frame.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pandas = require("pandas", extra="figures", purpose="Tables of results")
        return pandas.DataFrame(self.rows())

    def plot(self, ax: Any = None) -> Any:
        """Draw the numbers.

        Args:
            ax: Matplotlib axes; new ones by default.

        Returns:
            The axes.

        Raises:
            MissingExtraError: Matplotlib is not installed.
        """
        if ax is None:
            pyplot = require("matplotlib.pyplot", extra="figures", purpose="Plots of results")
            _, ax = pyplot.subplots()
        self._draw(ax)
        return ax


def finite_or_none(value: float) -> float | None:
    """The value, or ``None`` for NaN and infinity, which JSON does not have.

    Example:
        >>> finite_or_none(1.5), finite_or_none(math.nan)
        (1.5, None)
    """
    return value if math.isfinite(value) else None


def share(part: float, whole: int, *, empty: float = math.nan) -> float:
    """``part / whole``; ``empty`` where nothing was counted.

    Example:
        >>> share(1, 4), share(0, 0, empty=0.0)
        (0.25, 0.0)
    """
    return part / whole if whole else empty
