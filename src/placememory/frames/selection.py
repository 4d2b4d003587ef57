"""Which frames of a source to take, and where their poses are."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from placememory.errors import BagError, PoseError, SettingError
from placememory.frames.bags import bag_to_join, is_bag
from placememory.frames.exif import has_gps, read_exif_poses
from placememory.frames.frame import Frame
from placememory.frames.keyframes import select_keyframes
from placememory.frames.poses import JoinReport, PoseTable, read_poses
from placememory.frames.sources import list_frames
from placememory.frames.trajectory import Trajectory

EXIF = Path("exif")
"""In place of a pose file: the positions in photographs."""

OnDamage = Callable[[BagError], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FrameSelection:
    """Which frames of a source to take, and where their poses are; logs the result.

    Attributes:
        poses: Pose file or bag; ``exif`` for the positions in photographs.
        pose_format: Name of the pose file's format, where it is not found out.
        max_gap: Seconds between two stamps that count as one; see the joins.
        session: Name of the session; by default that of the folder or file.
        names: File with the names to take.
        globs: Patterns of the names to take.
        every: Take every n-th frame.
        exif: Whether to honour the EXIF orientation.
        topic: Images of a bag.
        pose_topic: Poses of a bag.
        pose_frames: ``PARENT:CHILD`` of tf poses.
        keyframe_distance: Metres; leave out frames that are nearer to the last one taken.
        keyframe_angle: Degrees; but keep those turned this far.
        skip_bad: Use a damaged bag as far as it can be read.
        allow_no_poses: Go on where poses are given and under a tenth of the frames find one.

    Example:
        >>> FrameSelection(every=2, max_gap=0.1).gap
        {'max_gap': 0.1}
    """

    poses: Path | None = None
    pose_format: str | None = None
    max_gap: float | None = None
    session: str | None = None
    names: Path | None = None
    globs: Sequence[str] | None = None
    every: int = 1
    exif: bool = True
    topic: str | None = None
    pose_topic: str | None = None
    pose_frames: str | None = None
    keyframe_distance: float | None = None
    keyframe_angle: float | None = None
    skip_bad: bool = False
    allow_no_poses: bool = False

    def list_frames(self, source: Path) -> list[Frame]:
        """List the frames of a source, with their poses where there are any.

        Raises:
            InputError: The source or the poses cannot be read.
            SettingError: The settings do not go with this source.
        """
        frames = list_frames(
            source,
            session=self.session,
            names=self.names,
            globs=tuple(self.globs or ()),
            exif=self.exif,
            every=self.every,
            topic=self.topic,
            on_damage=self.on_damage,
        )
        return self._select_keyframes(self.join_poses(frames, source))

    def join_poses(self, frames: list[Frame], source: Path | None = None) -> list[Frame]:
        """Join poses from :attr:`poses`, else from the bag that the frames come from.

        Raises:
            PoseError: Under a tenth of the frames find a pose, and that is not allowed.
            SettingError: There is a topic of poses, but no bag.
        """
        found: Trajectory | PoseTable | None
        if self.poses == EXIF and not EXIF.exists():
            found = read_exif_poses(frames)
        else:
            found = self.find_poses(source, self.on_damage)
        if found is None:
            if all(frame.pose is None for frame in frames) and has_gps(frames):
                _log.info("images have GPS positions in their EXIF data; --poses exif takes them")
            return frames
        joined, report = found.join(frames, **self.gap)
        log_join(report)
        self.check_join(report)
        return joined

    def check_join(self, report: JoinReport) -> None:
        """Refuse a join that found next to nothing, unless that is allowed.

        Raises:
            PoseError: It did; says the likely cause and what helps.
        """
        if self.allow_no_poses:
            if report.cause:
                _log.warning("%s: %s", report.source, report.cause)
            return
        try:
            report.check()
        except PoseError as error:
            raise PoseError(f"{error}. --allow-no-poses goes on without") from error

    def find_poses(
        self, source: Path | None, on_damage: OnDamage | None = None
    ) -> Trajectory | PoseTable | None:
        """Read poses from :attr:`poses`, else from the bag that the frames come from.

        Raises:
            SettingError: There is a topic of poses, but no bag.
        """
        bag = self.poses or source
        if bag is not None and is_bag(bag):
            topic = self.pose_topic or ("none" if self.poses is None else None)
            found = bag_to_join(bag, topic, self.pose_frames, on_damage=on_damage)
            if found is not None:
                _log.info("poses of %s", found.source)
            return found
        if self.pose_topic not in (None, "auto", "none"):
            raise SettingError(
                f"--pose-topic {self.pose_topic} is a topic of a ROS bag; there is none"
            )
        return None if self.poses is None else read_poses(self.poses, self.pose_format)

    @property
    def gap(self) -> dict[str, float]:
        """The largest gap, where one is set, as the joins take it."""
        return {} if self.max_gap is None else {"max_gap": self.max_gap}

    @property
    def on_damage(self) -> OnDamage | None:
        """Log the damage of a bag and use the messages before it, if bad images are skipped."""
        return (lambda error: _log.warning("%s", error)) if self.skip_bad else None

    def _select_keyframes(self, frames: list[Frame]) -> list[Frame]:
        if self.keyframe_distance is None and self.keyframe_angle is None:
            return frames
        chosen = select_keyframes(frames, self.keyframe_distance, self.keyframe_angle)
        if not chosen:
            raise SettingError("key frames are chosen by their poses, and no frame has one")
        _log.info("%d of %d frames are key frames", len(chosen), len(frames))
        return chosen


def log_join(report: JoinReport) -> None:
    """Log how frames found their poses."""
    _log.info("%s", report)
    for warning in report.warnings:
        _log.warning("%s", warning)
