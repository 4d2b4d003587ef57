"""Is one system better than another? Their difference on the same queries, with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory.errors import InputError
from placememory.metrics.bootstrap import Interval, Statistic, block_bootstrap
from placememory.metrics.inputs import check_lengths
from placememory.metrics.result import MetricResult, finite_or_none


@dataclass(frozen=True, slots=True)
class PairedDifferenceResult(MetricResult):
    """The difference of two systems on the same queries.

    Attributes:
        names: Of the first and the second system.
        values: The statistic of each.
        difference: First minus second, with interval.
        first_higher: Queries on which the first has the higher value.
        second_higher: Queries on which the second has the higher value.
        ties: Queries on which they are equal.
    """

    names: tuple[str, str]
    values: tuple[float, float]
    difference: Interval
    first_higher: int
    second_higher: int
    ties: int

    @property
    def differs(self) -> bool:
        """Whether the interval of the difference leaves out zero."""
        return self.difference.low > 0 or self.difference.high < 0

    @property
    def protocol(self) -> str:
        """The rules and counts in one line."""
        return (
            f"{self.names[0]} minus {self.names[1]} on the same {self.difference.count} queries; "
            f"{100 * self.difference.level:g}% interval by bootstrap over blocks of "
            f"{self.difference.block} neighbours, both drawn together"
        )

    def lines(self) -> list[str]:
        """Values, difference and verdict."""
        found = self.difference
        verdict = "differ" if self.differs else "cannot be told apart"
        return [
            *(f"{n}: {value:.4g}" for n, value in zip(self.names, self.values, strict=True)),
            f"difference: {found.value:+.4g} [{found.low:+.4g}, {found.high:+.4g}]: they {verdict}",
            f"higher on {self.first_higher} and {self.second_higher} queries, equal on {self.ties}",
        ]

    def rows(self) -> list[dict[str, Any]]:
        """One row."""
        return [
            {
                "first": self.names[0],
                "second": self.names[1],
                "first_value": self.values[0],
                "second_value": self.values[1],
                "difference": self.difference.value,
                "low": self.difference.low,
                "high": self.difference.high,
                "differs": self.differs,
            }
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is ``None``."""
        return {
            "protocol": self.protocol,
            "values": {n: finite_or_none(v) for n, v in zip(self.names, self.values, strict=True)},
            "difference": self.difference.to_dict(),
            "differs": self.differs,
            "first_higher": self.first_higher,
            "second_higher": self.second_higher,
            "ties": self.ties,
        }

    def _draw(self, ax: Any) -> None:
        found = self.difference
        around = [[found.value - found.low], [found.high - found.value]]
        ax.errorbar([found.value], [0.0], xerr=np.abs(around), fmt="o", capsize=4)
        ax.axvline(0.0, linestyle=":")
        ax.set(xlabel=f"{self.names[0]} minus {self.names[1]}", yticks=[])


class PairedDifference:
    """Difference of a statistic of two systems over the same queries.

    Two intervals that overlap say little: the same frames are hard for both. Drawing the same
    blocks for both leaves only what differs.

    Args:
        first: Name of the first system.
        second: Name of the second.
        statistic: Maps (N,) values of a system to a number; the mean by default, which is recall
            where the values are hits.

    Example:
        >>> metric = PairedDifference("new", "old")
        >>> metric.update([1, 1, 1, 0] * 25, [1, 0, 1, 0] * 25)
        >>> result = metric.compute()
        >>> result.difference.value, result.differs, result.first_higher
        (0.25, True, 25)
    """

    def __init__(
        self,
        first: str = "first",
        second: str = "second",
        *,
        statistic: Statistic = lambda sample: float(np.mean(sample)),
    ) -> None:
        self.names = (first, second)
        self.statistic = statistic
        self.reset()

    def reset(self) -> None:
        """Forget all queries; the names stay."""
        self._pairs: list[NDArray[np.float64]] = []

    def update(self, first: ArrayLike, second: ArrayLike) -> None:
        """Add queries in the order of their traverse.

        Args:
            first: (Q,) values of the first system: hits as 0 and 1, or errors.
            second: (Q,) values of the second on the same queries.

        Raises:
            InputError: The lengths differ, or a value is NaN.
        """
        one = np.atleast_1d(np.asarray(first, dtype=np.float64))
        other = np.atleast_1d(np.asarray(second, dtype=np.float64))
        check_lengths(first=one, second=other)
        if np.isnan(one).any() or np.isnan(other).any():
            raise InputError("a value is NaN; leave out the query on both sides")
        self._pairs.append(np.column_stack([one, other]))

    def compute(self) -> PairedDifferenceResult:
        """The result over all queries so far."""
        pairs = np.concatenate([np.empty((0, 2)), *self._pairs])
        first, second = pairs[:, 0], pairs[:, 1]
        values = [self.statistic(v) if len(v) else np.nan for v in (first, second)]
        return PairedDifferenceResult(
            names=self.names,
            values=(float(values[0]), float(values[1])),
            difference=block_bootstrap(pairs, self._difference),
            first_higher=int((first > second).sum()),
            second_higher=int((second > first).sum()),
            ties=int((first == second).sum()),
        )

    def _difference(self, pairs: NDArray[np.float64]) -> float:
        return self.statistic(pairs[:, 0]) - self.statistic(pairs[:, 1])
