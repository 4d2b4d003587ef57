"""Order of stamps: what follows, what comes late, and where a clock started again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from placememory._checks import check_positive

DEFAULT_REORDER = 0.5
"""Seconds by which a stamp may go back and still be a late frame of the same clock."""

DEFAULT_LEAP = 60.0
"""Seconds by which a stamp may go on and still be the next frame of the same clock."""

_USUAL = 10.0  # times the step before: a slow clock does not leap

Order = Literal["next", "late", "restarted"]


@dataclass(slots=True)
class StampOrder:
    """Reads one stamp after another.

    A stamp that goes back by at most ``reorder`` seconds is *late*: a frame that was overtaken. One
    that goes back by more, or on by more than ``leap`` seconds and ten times the step before, was
    made by a clock that *restarted*: a simulation was reset, a bag looped, a clock was set. It
    counts as the first, so one bad stamp never makes all later ones late.

    Attributes:
        reorder: Seconds.
        leap: Seconds.
        last: Seconds of the newest stamp that was not late; ``None`` before the first.
        reason: What the clock did at the last stamp, in words; empty while it goes on.

    Raises:
        SettingError: A setting is not above zero.

    Example:
        >>> order = StampOrder()
        >>> [order.take(stamp) for stamp in (10.0, 10.5, 10.4, 11.0, 2.0, 2.5)]
        ['next', 'next', 'late', 'next', 'restarted', 'next']
        >>> order.take(900.0), order.reason
        ('restarted', 'clock leapt 897.5 s: started again')
    """

    reorder: float = DEFAULT_REORDER
    leap: float = DEFAULT_LEAP
    last: float | None = None
    reason: str = ""
    _step: float = 0.0

    def __post_init__(self) -> None:
        check_positive(reorder=self.reorder, leap=self.leap)

    def judge(self, stamp: float | None) -> Order:
        """What a stamp (seconds, ``None`` if unknown) would be; nothing changes."""
        if stamp is None or self.last is None or stamp == self.last:
            return "next"
        if stamp < self.last:
            return "late" if stamp >= self.last - self.reorder else "restarted"
        leapt = stamp - self.last > max(self.leap, _USUAL * self._step)
        return "restarted" if leapt else "next"

    def take(self, stamp: float | None) -> Order:
        """Take the next stamp; a late or unknown one leaves the last as it is."""
        order = self.judge(stamp)
        self.reason = ""
        if stamp is None or order == "late":
            return order
        step = 0.0 if self.last is None else stamp - self.last
        if order == "restarted":
            what = f"went back {-step:.1f}" if step < 0 else f"leapt {step:.1f}"
            self.reason = f"clock {what} s: started again"
        self.last, self._step = stamp, max(0.0, step)
        return order

    def reset(self, last: float | None = None) -> None:
        """Forget all stamps, or all before one."""
        self.last, self.reason, self._step = last, "", 0.0
