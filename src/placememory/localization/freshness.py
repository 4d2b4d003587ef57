"""Freshness: how old the evidence of a belief is, and views that are no evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace

from placememory._checks import check_positive, check_whole
from placememory._types import Vectors
from placememory.frames.stamps import DEFAULT_LEAP, DEFAULT_REORDER
from placememory.fusion import Belief, Odometry

_SAME = 1.0 - 1e-6  # cosine of the same image, to float precision
_IN_A_ROW = 3  # same images that a live camera may give, such as of a video that stutters
_STILL = 0.1  # metres and radians


@dataclass(frozen=True, slots=True)
class Timing:
    """Limits of time: which frames belong together, and how long a belief stays good.

    Attributes:
        reorder: Seconds by which a stamp may go back; such a frame is skipped. One that goes back
            by more starts the belief again.
        leap: Seconds by which a stamp may go on; beyond, and beyond ten times the step before,
            the belief starts again.
        max_age: Seconds without evidence after which nothing is located.
        max_distance: Metres of odometry, likewise.
        max_frames: Frames, likewise, that have neither a stamp of their own nor odometry.

    Raises:
        SettingError: A limit is not above zero.
    """

    reorder: float = DEFAULT_REORDER
    leap: float = DEFAULT_LEAP
    max_age: float = 5.0
    max_distance: float = 4.0
    max_frames: int = 10

    def __post_init__(self) -> None:
        check_positive(
            reorder=self.reorder,
            leap=self.leap,
            max_age=self.max_age,
            max_distance=self.max_distance,
        )
        check_whole(max_frames=self.max_frames)


class Freshness:
    """The age of a belief's newest evidence; a belief that is too old is unknown.

    Args:
        timing: Limits.

    Example:
        >>> fresh = Freshness(Timing())
        >>> fresh.take(10.0, None, evidence=True)
        >>> fresh.take(16.2, None, evidence=False)
        >>> fresh.judge(Belief("located", (), 0.99, 0.0, 0.0, 7)).reason
        'out of date: 6.2 s without evidence'
    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._now: float | None = None
        self._seen: float | None = None  # stamp of the newest evidence
        self._metres, self._frames = 0.0, 0

    @property
    def age(self) -> float | None:
        """Seconds since the newest evidence; ``None`` without stamps, or without evidence."""
        return None if self._now is None or self._seen is None else self._now - self._seen

    def take(self, stamp: float | None, odometry: Odometry | None, *, evidence: bool) -> None:
        """Take in a frame.

        Args:
            stamp: Seconds, not before the last one's.
            odometry: Motion since the frame before.
            evidence: Whether the frame says where the robot is.
        """
        timed = stamp is not None and self._now is not None and stamp > self._now
        self._now = self._now if stamp is None else stamp
        if evidence:
            self._seen, self._metres, self._frames = stamp, 0.0, 0
            return
        self._metres += 0.0 if odometry is None else odometry.distance
        self._frames += not timed and odometry is None

    def judge(self, belief: Belief) -> Belief:
        """The belief, or ``unknown`` with a reason and no probability if it is out of date."""
        limits, age, past = self._timing, self.age, ""
        if age is not None and not 0.0 <= age <= limits.max_age:
            past = f"{age:.1f} s" if age > 0.0 else "an unknown time"  # the clock began anew
        elif self._metres > limits.max_distance:
            past = f"{self._metres:.1f} m"
        elif self._frames >= limits.max_frames:
            past = f"{self._frames} frames"
        if not past or belief.verdict not in ("located", "ambiguous"):
            return belief
        reason = f"out of date: {past} without evidence"
        return replace(belief, verdict="unknown", probability=None, reason=reason)


class SameView:
    """Notices a camera that gives the very same image again and again.

    No two images of a live camera are equal: light and sensor are noisy. More than three in a row
    that are, to float precision, come from a camera, driver or player that hangs. They say nothing
    new, unless odometry says that the robot stands (within 0.1 m and 0.1 rad since the first).

    Example:
        >>> import numpy as np
        >>> view, row = SameView(), np.array([1.0, 0.0], np.float32)
        >>> [view.is_frozen(row, None) for _ in range(5)]
        [False, False, False, True, True]
        >>> view.stands
        False
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._first: Vectors | None = None
        self._count = 0
        self._motion: Odometry | None = None

    @property
    def stands(self) -> bool:
        """Whether odometry says that the robot has stood since the first of the same images."""
        motion = self._motion
        return motion is not None and motion.distance <= _STILL and abs(motion.dyaw) <= _STILL

    def is_frozen(self, descriptor: Vectors, odometry: Odometry | None) -> bool:
        """Take the next frame.

        Args:
            descriptor: (D,) unit vector.
            odometry: Motion since the frame before.

        Returns:
            Whether it is more than the third of the same images in a row.
        """
        if self._first is None or float(self._first @ descriptor) < _SAME:
            self._first, self._count = descriptor, 1
            self._motion = Odometry(0.0, 0.0, 0.0)
            return False
        before = self._motion
        self._motion = None if before is None or odometry is None else before.compose(odometry)
        self._count += 1
        return self._count > _IN_A_ROW
