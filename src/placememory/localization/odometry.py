"""Odometry of frames: how the robot moved since the frame before, where that is believable."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import get_args

from placememory._checks import check_choice
from placememory.errors import SettingError
from placememory.frames import Frame, Pose, PoseTable, PoseTrack, RelativeMotion, Trajectory
from placememory.frames.pose import compose, inverse
from placememory.frames.stamps import StampOrder
from placememory.frames.trajectory import DEFAULT_POSE_GAP
from placememory.fusion import Odometry
from placememory.geometry import OPTICAL_IN_BODY
from placememory.localization.localizer import Step
from placememory.localization.odometry_check import AxesCheck
from placememory.localization.plane import Axes, MapPlane

DEFAULT_SPEED = 5.0
_LEAST_SECONDS = 0.2
_TURN = math.pi / 2  # radians in a second
_DRIFT = 0.05  # standard deviation, as a share of the motion
_NANOSECONDS = 1_000_000_000
_SAME = Pose.from_yaw(0.0, 0.0, 0.0)
_OPTICAL = Pose.from_matrix(OPTICAL_IN_BODY)  # in the robot's axes

_log = logging.getLogger(__name__)


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
        refused: It has other axes than it should.
    """

    used: int = 0
    unknown: int = 0
    jumps: int = 0
    refused: int = 0

    def __str__(self) -> str:
        """Such as ``odometry for 118 frames, 1 without, 1 jump left out``."""
        text = f"odometry for {self.used} frames, {self.unknown} without"
        if self.jumps:
            text += f", {self.jumps} jump{'s' * (self.jumps != 1)} left out"
        return f"{text}, {self.refused} not followed" if self.refused else text


class Motions:
    """Odometry from poses in a frame of their own, which may drift and start anywhere.

    A pose is found by the frame's name, vertex id or number where the poses have such keys, else
    by its stamp, between the pose before and the one after. Where a frame has none, the motions
    to it and from it are unknown. A frame that comes late is passed over, so the next motion starts
    where the localizer left off; where the clock restarted, a new motion starts
    (:class:`placememory.frames.stamps.StampOrder`).

    The memory's poses are of a body A, the odometry of a body B; what is given is the motion of A,
    T_B_A^-1 (motion of B) T_B_A, so answers stay those of A. Without ``extrinsic`` and ``axes`` the
    two are taken for the same body, and odometry that moves along z is not followed
    (:class:`AxesCheck`).

    Args:
        poses: Of the odometry; a pose that a frame carries itself is the truth and is not used.
        max_gap: Seconds that the two poses around a frame may be apart.
        limits: Motions beyond them are left out.
        extrinsic: T_B_A, the pose of the memory's body in the odometry's (in robot axes, where
            ``axes`` are camera axes).
        axes: Of the odometry's body; ``camera`` of KITTI, ORB-SLAM and COLMAP.
        plane: Of the map, where it is not x-y or the memory's body is not level.

    Raises:
        SettingError: The gap is negative or not finite, or there are no such axes.

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
        extrinsic: Pose | None = None,
        axes: Axes | None = None,
        plane: MapPlane | None = None,
    ) -> None:
        if not 0 <= max_gap < math.inf:
            raise SettingError(f"the largest gap is zero or more seconds, not {max_gap}")
        self.counts = MotionCounts()
        self._limits, self._gap = limits or MotionLimits(), max_gap
        self._keyed, self._track = _sources(poses)
        self._order = StampOrder()
        self._stamp: int | None = None
        self._before: Pose | None = None
        if axes is not None:
            check_choice("axes", axes, get_args(Axes))
        self._extrinsic, self._axes = extrinsic, axes
        self._check = AxesCheck()
        self.fit(plane)

    def fit(self, plane: MapPlane | None) -> None:
        """Give the motion of the level body of a map's plane."""
        memory_axes: Axes = "robot" if plane is None else plane.axes
        mount = _SAME if self._axes != "camera" else inverse(_OPTICAL)
        if self._extrinsic is not None:
            mount = compose(mount, self._extrinsic)
        elif self._axes is not None and memory_axes == "camera":
            mount = compose(mount, _OPTICAL)  # the same body, with the memory's axes
        self._mount = mount if plane is None else compose(mount, plane.body)
        self._stated = self._axes is not None or self._extrinsic is not None
        self._stated = self._stated or memory_axes == "camera"

    @property
    def reason(self) -> str:
        """Why the odometry is not followed; empty while it is."""
        return "" if self._stated else self._check.reason

    def steps(self, frames: Iterable[Frame]) -> Iterator[Step]:
        """Frames with the motion since the one before."""
        for frame in frames:
            yield Step(frame, self.since_last(frame), note=self.reason)

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
        moved = _moved(before, self._before)
        if moved is None:
            self.counts.unknown += 1
            return None
        followed = not self.reason
        motion = RelativeMotion(moved.x, moved.y, moved.yaw, _seconds(start, frame.stamp))
        if self._limits.allow(motion):
            self._check.take(moved)
        if self.reason:
            if followed:
                _log.warning("%s It is not followed (--odometry-axes)", self.reason)
            self.counts.refused += 1
            return None
        if not self._limits.allow(motion):
            self.counts.jumps += 1
            return None
        self.counts.used += 1
        return odometry_of(motion)

    def _pose(self, frame: Frame) -> Pose | None:
        """Where the odometry has the memory's body, level, at a frame."""
        pose = self._pose_of_odometry(frame)
        if pose is None or pose.quaternion is None or self._mount == _SAME:
            return pose
        return compose(pose, self._mount)

    def _pose_of_odometry(self, frame: Frame) -> Pose | None:
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


def _moved(before: Pose | None, now: Pose | None) -> Pose | None:
    """A pose in the one before; ``None`` if either is unknown or they are in two frames."""
    if before is None or now is None or before.frame_id != now.frame_id:
        return None
    if before.quaternion is None or now.quaternion is None:
        return None
    return compose(inverse(before), now)
