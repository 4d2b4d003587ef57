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
from placememory.frames.poses import JoinReport

DEFAULT_POSE_GAP = 0.5
_NANOSECONDS = 1_000_000_000


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
            ``None`` before the first pose, after the last, and in a gap: nothing is extrapolated.

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
        joined, found, stamps = [], 0, []
        for frame in frames:
            pose = None
            if frame.stamp is not None:
                stamps.append(frame.stamp)
                pose = self.at(frame.stamp, max_gap=max_gap)
            found += pose is not None
            joined.append(frame if pose is None else replace(frame, pose=pose))
        without = tuple(frame.name for frame in joined if frame.pose is None)
        warnings = (
            ()
            if found or not stamps
            else (self._explain_no_match(min(stamps), max(stamps), max_gap),)
        )
        by = {"interpolation": found} if found else {}
        return joined, JoinReport(len(joined), by, without, warnings)

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

    def _explain_no_match(self, first: int, last: int, max_gap: float) -> str:
        if self.span is None:
            return f"{self.source}: there are no poses"
        start, end = self.span
        if last < start or first > end:
            apart = max(start - last, first - end) / _NANOSECONDS
            return (
                f"{self.source}: images and poses are {apart:.1f} s apart, so no image has a pose; "
                "were their stamps made by the same clock?"
            )
        return f"{self.source}: no two poses around an image are within {max_gap:g} s"


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

    def __len__(self) -> int:
        return len(self.stamps)

    def at(self, stamp: int, *, max_gap: float = DEFAULT_POSE_GAP) -> Pose | None:
        """The pose at a stamp; see :meth:`Trajectory.at`."""
        widest = gap_in_nanoseconds(max_gap)
        after = bisect_left(self.stamps, stamp)
        if after < len(self.stamps) and self.stamps[after] == stamp:
            return self.poses[after]
        if after in (0, len(self.stamps)):
            return None
        start, end = self.stamps[after - 1], self.stamps[after]
        first, second = self.poses[after - 1], self.poses[after]
        if end - start > widest or first.frame_id != second.frame_id:
            return None
        return interpolate(first, second, (stamp - start) / (end - start))

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
