"""Grey levels of deep images: 16 bits, float, thermal or depth, to the 256 that encoders see.

Such images rarely use their whole range: a thermal camera's values lie between 51,241 and 52,181,
say, and of their upper eight bits four grey levels remain. So the range is measured once on the
frames that a memory is built from, and the memory keeps it: places and queries are scaled alike.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from placememory.errors import ImageError
from placememory.frames.frame import Frame
from placememory.frames.keyframes import sample_evenly

_log = logging.getLogger(__name__)
_LOOKED_AT = 2  # frames that show whether there are deep ones
_MEASURED = 16
_PIXELS = 1 << 16  # of a frame that are measured
_TAIL = 0.005  # share of pixels at either end that do not count
_MARGIN = 0.1  # of the range found, added at either end: another hour is warmer or darker
_FEW = 64  # grey levels


@dataclass(frozen=True, slots=True)
class Levels:
    """Values that become the grey levels 0 to 255.

    Attributes:
        low: Becomes 0, as do those below.
        high: The first that would become 256; it and those above become 255.

    Example:
        >>> Levels(51_200, 52_224).scale(np.uint16([[0, 51_204, 51_712, 60_000]])).tolist()
        [[0, 1, 128, 255]]
    """

    low: float
    high: float

    def scale(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Grey levels (...) uint8 of values (...); NaN becomes 0."""
        levels = (values.astype(np.float64) - self.low) * (256.0 / (self.high - self.low))
        return np.clip(np.nan_to_num(levels, nan=0.0), 0.0, 255.0).astype(np.uint8)

    def __str__(self) -> str:
        """Such as ``51200 to 52224``."""
        return f"{self.low:g} to {self.high:g}"


class Scale(Protocol):
    """What makes grey levels of an image's values; :class:`Levels` do."""

    def scale(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Grey levels (...) uint8 of values (...)."""
        ...


def whole_range(kind: np.dtype[Any]) -> Levels:
    """The range that a type of values is taken to have where nothing else is known.

    Example:
        >>> whole_range(np.dtype(np.uint16)), whole_range(np.dtype(np.float32))
        (Levels(low=0, high=65536), Levels(low=0, high=1))
    """
    return Levels(0, 1) if kind.kind == "f" else Levels(0, 65536)


def to_grey_levels(values: NDArray[Any], levels: Scale | None, where: str) -> NDArray[np.uint8]:
    """Grey levels (...) uint8 of deep values (...), by the whole range where no other is given.

    Where that leaves few levels, the first time is logged as a warning.
    """
    if levels is not None:
        return levels.scale(values)
    grey = whole_range(values.dtype).scale(values)
    if not _Warned.once:
        used = np.count_nonzero(np.bincount(grey.ravel(), minlength=256))
        spread = np.unique(values[np.isfinite(values)]) if used < _FEW else grey[:0]
        if len(spread) > used:
            _Warned.once = True
            _log.warning(
                "%s and maybe others: %s values of %g to %g become %d of 256 grey levels; a memory "
                "is built, and asked, with the range that its images use",
                where, values.dtype, spread[0], spread[-1], used,
            )  # fmt: skip
    return grey


class _Warned:
    once = False


def measure_levels(frames: Sequence[Frame]) -> Levels | None:
    """The range of values that the frames use, from an even sample of them.

    Dead pixels, and values of 0 and of the largest whole number, which stand for no data, are left
    out; a tenth is added at either end. A range of more than half the type's is taken as the whole.

    Returns:
        ``None`` where the frames are of 8 bits.

    Example:
        >>> measure_levels([Frame("a.png", "run1", 0, read=lambda: np.zeros((2, 3, 3), np.uint8))])
    """
    meter = _Meter()
    chosen = [frames[i] for i in sample_evenly(len(frames), _MEASURED)]
    for i, frame in enumerate(chosen):
        metered = frame.with_levels(meter)
        if metered is frame or (i >= _LOOKED_AT and not meter.ranges):
            break
        try:
            metered.image()
        except ImageError:  # it is counted where frames are encoded
            continue
    return meter.levels()


class _Meter:
    """Notes the range of what it is asked to scale."""

    def __init__(self) -> None:
        self.ranges: list[tuple[float, float]] = []
        self._kind = np.dtype(np.uint8)

    def scale(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        flat = values.reshape(-1)
        flat = flat[:: max(1, flat.size // _PIXELS)]
        self._kind = values.dtype
        if values.dtype.kind == "f":
            counted = flat[np.isfinite(flat)]
        else:
            counted = flat[(flat != 0) & (flat != np.iinfo(values.dtype).max)]
        if counted.size:
            low, high = np.quantile(counted, [_TAIL, 1.0 - _TAIL])
            self.ranges.append((float(low), float(high)))
        return np.zeros(values.shape, np.uint8)

    def levels(self) -> Levels | None:
        if self._kind == np.uint8:
            return None
        whole = whole_range(self._kind)
        low = min((low for low, _ in self.ranges), default=whole.low)
        high = max((high for _, high in self.ranges), default=whole.high)
        inside = whole.low <= low and high <= whole.high
        if high <= low or (inside and 2 * (high - low) >= whole.high - whole.low):
            return whole
        margin = _MARGIN * (high - low)
        if self._kind.kind == "f":
            return Levels(low - margin, high + margin)
        return Levels(max(0.0, np.floor(low - margin)), float(np.ceil(high + margin)) + 1)
