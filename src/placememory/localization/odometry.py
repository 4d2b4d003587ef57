"""Odometry of frames: how the robot moved since the frame before, where that is believable."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from placememory.errors import SettingError
from placememory.frames import Frame, Pose, PoseTable, PoseTrack, RelativeMotion, Trajectory
from placememory.frames.stamps import StampOrder
from placememory.frames.trajectory import DEFAULT_POSE_GAP
from placememory.fusion import Odometry
from placememory.localization.localizer import Step

DEFAULT_SPEED = 5.0
_LEAST_SECONDS = 0.2
_TURN = math.pi / 2  # radians in a second
_DRIFT = 0.05  # standard deviation, as a share of the motion
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class MotionLimits:
    """Limits of a robot's motion; beyond them its odometry jumped, as after a reset.

    Attributes:
        speed: Metres a second. A step may have a fifth of this even between frames that are
            nearer in time, and as much as this where their time is unknown.
        turn: Radians a second, and in any step.

    Raises:
        SettingError: A limit is not above zero.

    Example:
        >>> MotionLimits().allow(RelativeMotion(6.0, 0.0, 0.0, seconds=1.0))
        False
    """

    speed: float = DEFAULT_SPEED
    turn: float = _TURN

    def __post_init__(self) -> None:
        if not (self.speed > 0 and self.turn > 0):
            raise SettingError(f"limits of motion are above zero, not {self.speed}, {self.turn}")

    def allow(self, motion: RelativeMotion) -> bool:
        """Whether a motion is believable; NaN and infinity never are."""
        seconds = motion.seconds if math.isfinite(motion.seconds) else 1.0
        distance = math.hypot(motion.dx, motion.dy)
        far = distance <= self.speed * max(seconds, _LEAST_SECONDS)
        return far and abs(motion.dyaw) <= self.turn * max(seconds, 1.0)


@dataclass(slots=True)
class MotionCounts:
    """What became of the motion to each frame.

    Attributes:
        used: It is odometry.
        unknown: No pose at this frame or the one before, or no rotation.
        jumps: It is not believable.
    """

    used: int = 0
    unknown: int = 0
    jumps: int = 0

    def __str__(self) -> str:
        """Such as ``odometry for 118 frames, 1 without, 1 jump left out``."""
        text = f"odometry for {self.used} frames, {self.unknown} without"
        jumps = f"{self.jumps} jump{'s' * (self.jumps != 1)} left out"
        return f"{text}, {jumps}" if self.jumps else text


class Motions:
    """Odometry from poses in a frame of their own, which may drift and start anywhere.

    A pose is found by the frame's name, vertex id or number where the poses have such keys, else
    by its stamp, between the pose before and the one after. Where a frame has none, the motions
    to it and from it are unknown. A frame that comes late is passed over, so the next motion starts
    where the localizer left off; where the clock restarted, a new motion starts
    (:class:`placememory.frames.stamps.StampOrder`).

    Args:
        poses: Of the odometry; a pose that a frame carries itself is the truth and is not used.
        max_gap: Seconds that the two poses around a frame may be apart.
        limits: Motions beyond them are left out.

    Raises:
        SettingError: The gap is negative or not finite.

    Example:
        >>> track = PoseTrack([0, 10**9], [Pose.from_yaw(0, 0, 0.0), Pose.from_yaw(2, 0, 0.5)])
        >>> motions = Motions(track, max_gap=1.0)
        >>> steps = list(motions.steps(Frame(f"{t}", "run", t, stamp=t * 10**9) for t in (0, 1)))
        >>> steps[0].odometry, steps[1].odometry.dx, str(motions.counts)
        (None, 2.0, 'odometry for 1 frames, 1 without')
    """

    def __init__(
        self,
        poses: Trajectory | PoseTable,
        *,
        max_gap: float = DEFAULT_POSE_GAP,
        limits: MotionLimits | None = None,
    ) -> None:
        if not 0 <= max_gap < math.inf:
            raise SettingError(f"the largest gap is zero or more seconds, not {max_gap}")
        self.counts = MotionCounts()
        self._limits, self._gap = limits or MotionLimits(), max_gap
        self._keyed, self._track = _sources(poses)
        self._order = StampOrder()
        self._stamp: int | None = None
        self._before: Pose | None = None

    def steps(self, frames: Iterable[Frame]) -> Iterator[Step]:
        """Frames with the motion since the one before."""
        for frame in frames:
            yield Step(frame, self.since_last(frame))

    def since_last(self, frame: Frame) -> Odometry | None:
        """Motion since the frame of the last call; ``None`` where it is unknown or a jump."""
        order = self._order.take(None if frame.stamp is None else frame.stamp / _NANOSECONDS)
        if order == "late":
            self.counts.unknown += 1
            return None
        if order == "restarted":
            self._before = None
        start, self._stamp = self._stamp, frame.stamp if frame.stamp is not None else self._stamp
        before, self._before = self._before, self._pose(frame)
        motion = _motion(before, self._before, _seconds(start, frame.stamp))
        if motion is None:
            self.counts.unknown += 1
            return None
        if not self._limits.allow(motion):
            self.counts.jumps += 1
            return None
        self.counts.used += 1
        return odometry_of(motion)

    def _pose(self, frame: Frame) -> Pose | None:
        """Where the odometry has a frame."""
        if self._keyed is not None:
            [joined], _ = self._keyed.join([replace(frame, pose=None)], max_gap=0.0)
            if joined.pose is not None:
                return joined.pose
        if self._track is None or frame.stamp is None:
            return None
        return self._track.at(frame.stamp, max_gap=self._gap)


def odometry_of(motion: RelativeMotion) -> Odometry:
    """A motion with the spread of common wheel odometry: a floor, and 5 % of the motion.

    Example:
        >>> odometry_of(RelativeMotion(2.0, 0.0, 0.0, seconds=1.0)).std_xy
        0.1
    """
    floor = Odometry(motion.dx, motion.dy, motion.dyaw)
    return replace(
        floor,
        std_xy=max(floor.std_xy, _DRIFT * floor.distance),
        std_yaw=max(floor.std_yaw, _DRIFT * abs(floor.dyaw)),
    )


def _sources(poses: Trajectory | PoseTable) -> tuple[PoseTable | None, Trajectory | None]:
    """Poses to be found by a key, and poses over time."""
    if isinstance(poses, Trajectory):
        return None, poses
    timed = [(r.stamp, r.pose) for r in poses.records if r.stamp is not None and r.pose is not None]
    track = PoseTrack([t for t, _ in timed], [p for _, p in timed], poses.source)
    return poses, track if timed else None


def _seconds(start: int | None, end: int | None) -> float:
    return math.nan if start is None or end is None else (end - start) / _NANOSECONDS


def _motion(before: Pose | None, now: Pose | None, seconds: float) -> RelativeMotion | None:
    """Motion between two poses; ``None`` if either is unknown or they are in two frames."""
    if before is None or now is None:
        return None
    [_, motion] = PoseTrack([0, 1], [before, now]).motions([0, 1])
    return None if motion is None else replace(motion, seconds=seconds)
