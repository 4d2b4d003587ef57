"""Frames and their poses, from the options that commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from placememory.cli._common import say, warn
from placememory.errors import BagError, SettingError
from placememory.frames import (
    Frame,
    JoinReport,
    PoseTable,
    Trajectory,
    list_frames,
    read_poses,
    select_keyframes,
)
from placememory.frames.bags import bag_to_join, is_bag

OnDamage = Callable[[BagError], None]


@dataclass(frozen=True, slots=True)
class FrameOptions:
    """The options that say which frames to take and where their poses are."""

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

    def load(self, source: Path) -> list[Frame]:
        """List the frames of a source and join their poses; says what was found."""
        frames = list_frames(
            source,
            session=self.session,
            names=self.names,
            globs=tuple(self.globs or ()),
            exif=self.exif,
            every=self.every,
            topic=self.topic,
            on_damage=self.on_damage(),
        )
        return self._keyframes(self.join(frames, source))

    def join(self, frames: list[Frame], source: Path | None = None) -> list[Frame]:
        """Join poses, those of the options or of the bag the frames come from; says what it found.

        Raises:
            SettingError: There is a topic of poses, but no bag.
        """
        found = self.find_poses(source, self.on_damage())
        if found is None:
            return frames
        joined, report = found.join(frames, **self.gap)
        tell_join(report)
        return joined

    def find_poses(
        self, source: Path | None, on_damage: OnDamage | None = None
    ) -> Trajectory | PoseTable | None:
        """Poses to join, those of the options or of the bag the frames come from.

        Raises:
            SettingError: There is a topic of poses, but no bag.
        """
        bag = self.poses or source
        if bag is not None and is_bag(bag):
            topic = self.pose_topic or ("none" if self.poses is None else None)
            found = bag_to_join(bag, topic, self.pose_frames, on_damage=on_damage)
            if found is not None:
                say(f"poses of {found.source}")
            return found
        if self.pose_topic not in (None, "auto", "none"):
            raise SettingError(
                f"--pose-topic {self.pose_topic} is a topic of a ROS bag; there is none"
            )
        return None if self.poses is None else read_poses(self.poses, self.pose_format)

    @property
    def gap(self) -> dict[str, float]:
        """The largest gap, where one was asked for, as the joins take it."""
        return {} if self.max_gap is None else {"max_gap": self.max_gap}

    def _keyframes(self, frames: list[Frame]) -> list[Frame]:
        if self.keyframe_distance is None and self.keyframe_angle is None:
            return frames
        chosen = select_keyframes(frames, self.keyframe_distance, self.keyframe_angle)
        if not chosen:
            raise SettingError("key frames are chosen by their poses, and no frame has one")
        say(f"{len(chosen)} of {len(frames)} frames are key frames")
        return chosen

    def on_damage(self) -> OnDamage | None:
        """What to do about a damaged bag: go on with what was read, if bad images are skipped."""
        return (lambda error: warn(str(error))) if self.skip_bad else None


def tell_join(report: JoinReport) -> None:
    """Say how frames found their poses."""
    say(str(report))
    for warning in report.warnings:
        warn(warning)
