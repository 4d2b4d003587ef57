"""Confidence intervals for numbers measured along a traverse."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Statistic = Callable[[NDArray[np.float64]], float]


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with its confidence interval.

    Attributes:
        value: Measured on all samples.
        low: Lower end.
        high: Upper end.
        level: Confidence, 0 to 1.
        count: Samples.
        block: Length of the blocks that were drawn.
    """

    value: float
    low: float
    high: float
    level: float
    count: int
    block: int

    def percent(self) -> str:
        """Value and ends in percent.

        Example:
            >>> Interval(0.5, 0.25, 0.75, 0.95, 20, 3).percent()
            '50.0 % [25.0, 75.0]'
        """
        if math.isnan(self.value):
            return "no value"
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain values for JSON; what is not known is ``None``."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        known = {name: None if math.isnan(end) else end for name, end in ends.items()}
        return {**known, "count": self.count}


def wilson(hits: int, count: int, *, z: float = 1.959963984540054) -> Interval:
    """Interval of a share by Wilson's score (1927), which holds for few samples and near 0 and 1.

    Args:
        hits: Samples that count.
        count: All samples.
        z: Standard deviations; 95 % by default.

    Example:
        >>> wilson(19, 20).percent()
        '95.0 % [76.4, 99.1]'
    """
    level = math.erf(z / math.sqrt(2))
    if not count:
        return Interval(math.nan, math.nan, math.nan, level, 0, 0)
    share, weight = hits / count, z**2 / count
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / count + weight / (4 * count))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half), level, count, 1)


def block_bootstrap(
    values: NDArray[np.float64],
    statistic: Statistic = lambda sample: float(np.mean(sample)),
    *,
    level: float = 0.95,
    draws: int = 2000,
    block: int | None = None,
    seed: int = 0,
) -> Interval:
    """Percentile interval by the circular block bootstrap (Politis and Romano 1992).

    Neighbouring frames of a traverse are alike and fail together, so single frames must not be
    drawn independently: the interval would be too narrow.

    Args:
        values: (N,) or (N, C), one value or row per frame in the order of the traverse.
        statistic: Maps a sample of the same kind to a number; the mean by default. Draws on which
            it is NaN are left out of the interval.
        level: Confidence.
        draws: Bootstrap samples.
        block: Frames a block; the cube-root rule max(1, N^(1/3)) by default.
        seed: Of the drawing.

    Returns:
        The statistic with its interval; NaN everywhere if there is no value.

    Example:
        >>> found = block_bootstrap(np.array([1.0] * 90 + [0.0] * 10))
        >>> found.value, found.low < 0.9 < found.high
        (0.9, True)
    """
    count = len(values)
    if count == 0:
        return Interval(np.nan, np.nan, np.nan, level, 0, 0)
    length = block or _block(count)
    rng = np.random.default_rng(seed)
    drawn = np.array([statistic(values[sample]) for sample in _draw(count, length, draws, rng)])
    return _interval(statistic(values), drawn, level, count, length)


def bootstrap_groups(
    groups: Sequence[NDArray[np.float64]],
    *,
    equal: bool = False,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean over several traverses, with an interval: blocks are drawn within each of them.

    The interval is that of these traverses (cities), not of others that might have been driven.

    Args:
        groups: (N,) values of each traverse; empty ones are left out.
        equal: Whether each traverse counts the same, instead of each frame.
        level: Confidence.
        draws: Bootstrap samples.
        seed: Of the drawing.

    Example:
        >>> cities = [np.array([1.0] * 9 + [0.0]), np.array([1.0, 0.0])]
        >>> round(bootstrap_groups(cities).value, 3), bootstrap_groups(cities, equal=True).value
        (0.833, 0.7)
    """
    used = [group for group in groups if len(group)]
    count = sum(len(group) for group in used)
    if not used:
        return Interval(np.nan, np.nan, np.nan, level, 0, 0)
    weights = np.array([1.0 if equal else float(len(group)) for group in used])
    weights /= weights.sum()
    rng = np.random.default_rng(seed)
    drawn = np.zeros(draws)
    for weight, group in zip(weights, used, strict=True):
        samples = _draw(len(group), _block(len(group)), draws, rng)
        drawn += weight * np.array([group[sample].mean() for sample in samples])
    value = float(weights @ np.array([group.mean() for group in used]))
    return _interval(value, drawn, level, count, max(_block(len(group)) for group in used))


def _block(count: int) -> int:
    """Length of a block by the cube-root rule."""
    return max(1, round(math.cbrt(count)))


def _draw(
    count: int, length: int, draws: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Samples (count,) of rows, in blocks on a circle."""
    starts = rng.integers(0, count, size=(draws, -(-count // length)))
    offsets = np.arange(length)
    for first in starts:
        yield ((first[:, None] + offsets) % count).ravel()[:count]


def _interval(
    value: float, drawn: NDArray[np.float64], level: float, count: int, block: int
) -> Interval:
    known = drawn[~np.isnan(drawn)]
    tail = (1.0 - level) / 2
    low, high = np.quantile(known, [tail, 1.0 - tail]) if len(known) else (np.nan, np.nan)
    return Interval(value, float(low), float(high), level, count, block)
