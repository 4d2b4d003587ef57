"""Counters, gauges and histograms in Prometheus' text format."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from threading import Lock

Labels = tuple[tuple[str, str], ...]
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


class Metrics:
    r"""Counters, gauges and histograms; threads may count at the same time.

    Example:
        >>> metrics = Metrics()
        >>> metrics.describe("images_total", "counter", "Images.")
        >>> metrics.count("images_total", verdict="located")
        >>> print(metrics.render())
        # HELP images_total Images.
        # TYPE images_total counter
        images_total{verdict="located"} 1
        <BLANKLINE>
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._about: dict[str, tuple[str, str]] = {}
        self._counts: dict[str, dict[Labels, float]] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        self._bounds: dict[str, Sequence[float]] = {}
        self._histograms: dict[str, dict[Labels, tuple[list[int], float]]] = {}

    def describe(self, name: str, kind: str, text: str) -> None:
        """Say what a metric is; its kind is ``counter``, ``gauge`` or ``histogram``."""
        self._about[name] = kind, text
        if kind == "counter":
            self._counts[name] = {}

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a gauge that is read when it is asked for."""
        self.describe(name, "gauge", text)
        self._gauges[name] = read

    def histogram(self, name: str, text: str, bounds: Sequence[float]) -> None:
        """Add a histogram with upper bounds of its buckets, increasing."""
        self.describe(name, "histogram", text)
        self._bounds[name], self._histograms[name] = bounds, {}

    def count(self, name: str, **labels: str) -> None:
        """Count one more."""
        key = tuple(sorted(labels.items()))
        with self._lock:
            counts = self._counts[name]
            counts[key] = counts.get(key, 0) + 1

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Take a value into a histogram."""
        key = tuple(sorted(labels.items()))
        bounds = self._bounds[name]
        with self._lock:
            empty: tuple[list[int], float] = [0] * (len(bounds) + 1), 0.0
            buckets, total = self._histograms[name].get(key, empty)
            buckets[bisect_left(bounds, value)] += 1
            self._histograms[name][key] = buckets, total + value

    def render(self) -> str:
        """All of them as text, version 0.0.4 of the format."""
        lines = []
        with self._lock:
            for name, (kind, text) in self._about.items():
                lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
                if kind == "gauge":
                    lines.append(_line(name, (), self._gauges[name]()))
                for labels, value in self._counts.get(name, {}).items():
                    lines.append(_line(name, labels, value))
                for labels, (buckets, total) in self._histograms.get(name, {}).items():
                    lines += _bucket_lines(name, labels, buckets, self._bounds[name])
                    lines.append(_line(f"{name}_sum", labels, total))
                    lines.append(_line(f"{name}_count", labels, sum(buckets)))
        return "\n".join(lines) + "\n"


def _bucket_lines(
    name: str, labels: Labels, buckets: Sequence[int], bounds: Sequence[float]
) -> list[str]:
    lines, below = [], 0
    for bound, count in zip([*map(str, bounds), "+Inf"], buckets, strict=True):
        below += count
        lines.append(_line(f"{name}_bucket", (*labels, ("le", bound)), below))
    return lines


def _line(name: str, labels: Labels, value: float) -> str:
    escaped = [
        (key, text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        for key, text in labels
    ]
    inner = ",".join(f'{key}="{text}"' for key, text in escaped)
    number = f"{value:.6f}".rstrip("0").rstrip(".")
    return f"{name}{{{inner}}} {number}" if inner else f"{name} {number}"
