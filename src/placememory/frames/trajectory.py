"""Poses over time: the pose at an image's stamp, and the motion from one image to the next."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from placememory.errors import SettingError
from placememory.frames.frame import Frame
from placememory.frames.pose import Pose, compose, interpolate, inverse
from placememory.frames.poses import LEAST_SHARE, JoinReport, explain_times
from placememory.frames.units import median_step

DEFAULT_POSE_GAP = 0.5
_NANOSECONDS = 1_000_000_000
_ROUNDED = 10**6  # nanoseconds


@dataclass(frozen=True, slots=True)
class RelativeMotion:
    """How the body moved between two stamps, seen from where it was at the first.

    Attributes:
        dx: Metres forward.
        dy: Metres to the left.
        dyaw: Radians counter-clockwise, (-pi, pi].
        seconds: From the first stamp to the second.
    """

    dx: float
    dy: float
    dyaw: float
    seconds: float


class Trajectory(ABC):
    """Poses of one body over time.

    Attributes:
        source: Where they were read, for messages.
    """

    source: str = ""

    @abstractmethod
    def at(self, stamp: int, *, max_gap: float = DEFAULT_POSE_GAP) -> Pose | None:
        """The pose at a stamp, interpolated between the one before and the one after.

        Args:
            stamp: Nanoseconds.
            max_gap: Seconds; ``None`` is returned where the two are further apart.

        Returns:
            ``None`` before the first pose, after the last, and in a gap: nothing is extrapolated. A
            pose at most a millisecond and a hundredth of a step away is taken as it is: files round
            stamps.

        Raises:
            SettingError: The gap is negative or not finite.
        """

    @property
    @abstractmethod
    def span(self) -> tuple[int, int] | None:
        """First and last stamp for which there may be a pose, nanoseconds; ``None`` if empty."""

    def join(
        self, frames: Iterable[Frame], *, max_gap: float = DEFAULT_POSE_GAP
    ) -> tuple[list[Frame], JoinReport]:
        """Give each frame the pose at its stamp; a frame without one stays as it is.

        Raises:
            SettingError: The gap is negative or not finite.
        """
        joined, missed, found = [], [], 0
        for frame in frames:
            pose = None
            if frame.stamp is not None:
                pose = self.at(frame.stamp, max_gap=max_gap)
                if pose is None:
                    missed.append(frame.stamp)
            found += pose is not None
            joined.append(frame if pose is None else replace(frame, pose=pose))
        without = tuple(frame.name for frame in joined if frame.pose is None)
        by = {"interpolation": found} if found else {}
        report = JoinReport(len(joined), by, without, source=self.source)
        if found < LEAST_SHARE * len(joined):
            why = self.explain(missed, max_gap) if missed else "the images have no stamps"
            report = replace(report, cause=why)
        return joined, report

    def motions(
        self, stamps: Sequence[int | None], *, max_gap: float = DEFAULT_POSE_GAP
    ) -> list[RelativeMotion | None]:
        """Motion that led to each stamp from the one before it.

        Returns:
            As many as there are stamps; ``None`` for the first, and where a pose or its rotation
            is unknown.
        """
        motions: list[RelativeMotion | None] = []
        before: tuple[int, Pose] | None = None
        for stamp in stamps:
            pose = None if stamp is None else self.at(stamp, max_gap=max_gap)
            now = None if stamp is None or pose is None else (stamp, pose)
            motions.append(None if before is None or now is None else _between(before, now))
            before = now
        return motions

    def explain(self, stamps: Sequence[int], max_gap: float) -> str:
        """Why there is no pose at stamps, and what helps.

        Args:
            stamps: Nanoseconds, at least one.
            max_gap: Seconds.
        """
        if self.span is None:
            return "there are no poses"
        apart = explain_times((min(stamps), max(stamps)), self.span)
        return apart or f"no two poses around an image are within {max_gap:g} s (--max-gap)"


class PoseTrack(Trajectory):
    """Poses at stamps.

    Args:
        stamps: Nanoseconds, in any order; of equal ones the last counts.
        poses: One for each stamp. Nothing is interpolated between poses of two frames.
        source: Where they were read, for messages.

    Example:
        >>> track = PoseTrack([0, 10**9], [Pose.from_yaw(0, 0, 0.0), Pose.from_yaw(2, 0, 0.0)])
        >>> track.at(5 * 10**8, max_gap=1.0).x, track.at(5 * 10**8, max_gap=0.9)
        (1.0, None)
        >>> track.motions([0, 5 * 10**8], max_gap=1.0)[1].dx
        1.0
    """

    def __init__(self, stamps: Sequence[int], poses: Sequence[Pose], source: str = "") -> None:
        last = dict(zip(stamps, poses, strict=True))
        self.stamps = sorted(last)
        self.poses = [last[stamp] for stamp in self.stamps]
        self.source = source
        self._rounded = min(_ROUNDED, int(median_step(self.stamps)) // 100)

    def __len__(self) -> int:
        return len(self.stamps)

    def at(self, stamp: int, *, max_gap: float = DEFAULT_POSE_GAP) -> Pose | None:
        """The pose at a stamp; see :meth:`Trajectory.at`."""
        widest = gap_in_nanoseconds(max_gap)
        rounded = min(widest, self._rounded)
        after = bisect_left(self.stamps, stamp)
        for near in (after, after - 1):
            if 0 <= near < len(self.stamps) and abs(self.stamps[near] - stamp) <= rounded:
                return self.poses[near]
        if after in (0, len(self.stamps)):
            return None
        start, end = self.stamps[after - 1], self.stamps[after]
        first, second = self.poses[after - 1], self.poses[after]
        if end - start > widest or first.frame_id != second.frame_id:
            return None
        return interpolate(first, second, (stamp - start) / (end - start))

    def step(self) -> float:
        """Median seconds between two poses; 0 where there are not two."""
        return median_step(self.stamps) / _NANOSECONDS

    def is_fixed(self) -> bool:
        """Whether all poses are one, or there is only one."""
        first = self.poses[0] if self.poses else None
        return all(pose == first for pose in self.poses)

    def explain(self, stamps: Sequence[int], max_gap: float) -> str:
        """Why there is no pose at stamps; see :meth:`Trajectory.explain`."""
        within = self.span and self.span[0] <= max(stamps) and min(stamps) <= self.span[1]
        if not within:
            return super().explain(stamps, max_gap)
        return (
            f"poses come every {self.step():.3g} s, and two around an image may be {max_gap:g} s "
            "apart; --max-gap takes those further apart"
        )

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last stamp."""
        return (self.stamps[0], self.stamps[-1]) if self.stamps else None


def gap_in_nanoseconds(max_gap: float) -> int:
    """A gap in whole nanoseconds.

    Raises:
        SettingError: The gap is negative or not finite.
    """
    if not 0 <= max_gap < math.inf:
        raise SettingError(f"the largest gap is zero or more seconds, not {max_gap}")
    return round(max_gap * _NANOSECONDS)


def _between(before: tuple[int, Pose], now: tuple[int, Pose]) -> RelativeMotion | None:
    (start, first), (end, second) = before, now
    unknown = first.quaternion is None or second.quaternion is None
    if unknown or first.frame_id != second.frame_id:
        return None
    moved = compose(inverse(first), second)
    return RelativeMotion(moved.x, moved.y, moved.yaw, (end - start) / _NANOSECONDS)
