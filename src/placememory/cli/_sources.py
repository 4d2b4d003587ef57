"""What ``localize`` streams: a folder, a video, a bag, or a camera, with odometry."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile
from pathlib import Path
from threading import Event
from typing import Any

from placememory._localize import Keep
from placememory._odometry import DEFAULT_SPEED, MotionLimits, Motions
from placememory.cli._common import say, warn
from placememory.cli._frames import FrameOptions, tell_join
from placememory.errors import BagError, InputError, SettingError
from placememory.frames import Frame, PoseTable, Trajectory, read_bag_poses, read_poses, stream_bag
from placememory.frames.bags import BagInfo, is_bag, list_bag, read_bag_info
from placememory.frames.camera import Camera, is_camera
from placememory.localizer import Step

_ODOMETRY = ("nav_msgs/msg/Odometry",)


@dataclass(frozen=True, slots=True)
class MotionOptions:
    """The options that say where odometry comes from.

    Attributes:
        file: Poses in an odometry frame, or a bag.
        topic: Of the bag; ``"none"``, or ``None`` for the first odometry.
        speed: Metres a second above which a motion is a jump.
    """

    file: Path | None = None
    topic: str | None = None
    speed: float = DEFAULT_SPEED

    @property
    def asked(self) -> bool:
        """Whether odometry was asked for by name."""
        return self.file is not None or self.topic not in (None, "auto", "none")

    def motions(self, source: Path, chosen: FrameOptions) -> Motions | None:
        """Odometry for the frames of a source; ``None`` where there is none. Says which it is.

        Raises:
            SettingError: There is a topic of odometry, but no bag.
        """
        limits = MotionLimits(speed=self.speed)
        poses = self._poses(source, chosen)
        if poses is None:
            return None
        say(f"odometry of {poses.source}")
        return Motions(poses, limits=limits, **chosen.gap)

    def _poses(self, source: Path, chosen: FrameOptions) -> Trajectory | PoseTable | None:
        bag = self.file or source
        if is_bag(bag):
            topic = self._topic_in(read_bag_info(bag), _topic_of_truth(bag, source, chosen))
            on_damage = _ignore if bag == source else chosen.on_damage()
            return None if topic is None else read_bag_poses(bag, topic, on_damage=on_damage)
        if self.topic not in (None, "auto", "none"):
            raise SettingError(f"--odom-topic {self.topic} is a topic of a ROS bag; there is none")
        return None if self.file is None else read_poses(self.file)

    def _topic_in(self, bag: BagInfo, truth: str | None) -> str | None:
        """The topic asked for, else the first with odometry that is not the truth."""
        if self.topic not in (None, "auto"):
            return None if self.topic == "none" else self.topic
        names = [topic.name for topic in bag.of_types(_ODOMETRY)]
        return next((n for n in names if truth not in ("auto", n, n.strip("/"))), None)


@dataclass(slots=True)
class Source:
    """A stream of frames, and what there is to say about it at its end.

    Attributes:
        frames: In the order they were taken.
        total: How many; ``None`` if nobody knows.
        keep: What may be kept of their estimates.
        motions: Their odometry.
        truth: True poses of frames that are not listed.
        gap: For the truth's join.
        camera: Where the frames are live.
        bag: Where the frames can be listed again: path, topic and session.
        stop: Set to end the stream after the frame at hand.
    """

    frames: Iterable[Frame]
    total: int | None = None
    keep: Keep = "all"
    motions: Motions | None = None
    truth: Trajectory | PoseTable | None = None
    gap: dict[str, float] = field(default_factory=dict)
    camera: Camera | None = None
    bag: tuple[Path, str | None, str | None] | None = None
    stop: Event = field(default_factory=Event)

    def steps(self) -> Generator[Step, None, None]:
        """Frames with odometry until the source ends or is stopped; close it to let go of it."""
        with closing(self._running()) as frames:
            going = takewhile(lambda _: not self.stop.is_set(), frames)
            yield from map(Step, going) if self.motions is None else self.motions.steps(going)

    def _running(self) -> Generator[Frame, None, None]:
        try:
            for frame in self.frames:
                yield frame if self.truth is None else self.truth.join([frame], **self.gap)[0][0]
        finally:
            if isinstance(self.frames, Generator):
                self.frames.close()

    def readable(self, frames: Iterable[Frame]) -> list[Frame]:
        """Frames of this source with their images, for drawing."""
        if self.bag is None:
            return list(frames)
        listed = {f.index: f for f in list_bag(*self.bag, on_damage=_ignore)}
        return [replace(frame, read=listed[frame.index].read) for frame in frames]

    def tell(self, frames: Iterable[Frame]) -> None:
        """Say how frames found true poses and odometry, and how many were dropped."""
        if self.truth is not None:
            tell_join(self.truth.join([replace(f, pose=None) for f in frames], **self.gap)[1])
        if self.motions is not None:
            say(str(self.motions.counts))
            if not self.motions.counts.used:
                warn("no frame has odometry; were images and odometry stamped by the same clock?")
        if self.camera is not None:
            say(f"{self.camera.dropped} images of the camera were dropped, to stay in the present")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        counts = None if self.motions is None else self.motions.counts
        return {
            "odometry": None
            if counts is None
            else {"used": counts.used, "unknown": counts.unknown, "jumps": counts.jumps},
            "dropped_images": None if self.camera is None else self.camera.dropped,
        }


def open_source(
    path: Path, chosen: FrameOptions, moving: MotionOptions, *, seconds: float | None, listed: bool
) -> Source:
    """The source of frames that options name.

    Args:
        path: Folder, video, bag, image, or camera.
        chosen: Which frames to take, and where their true poses are.
        moving: Where their odometry is.
        seconds: After which a camera's stream ends.
        listed: Whether a bag is to be listed, so that its frames can be read in any order.

    Raises:
        SettingError: Options do not go with this source.
        InputError: There is nothing of this name, or it cannot be read.
    """
    if is_camera(path):
        return _live(path, chosen, moving, seconds)
    if seconds is not None:
        raise SettingError("--seconds ends the stream of a camera; choose frames with --every")
    if is_bag(path) and path.exists() and chosen.names is None and not chosen.globs and not listed:
        return _bag(path, chosen, moving)
    if listed and moving.asked:
        raise SettingError("odometry needs the fusion; without it each frame is answered alone")
    frames = chosen.load(path)
    return Source(frames, len(frames), motions=None if listed else moving.motions(path, chosen))


def _bag(path: Path, chosen: FrameOptions, moving: MotionOptions) -> Source:
    topic = read_bag_info(path).image_topic(chosen.topic)
    if not topic.count:
        raise InputError(f"{path}: topic {topic.name} holds no images")
    same = chosen.poses in (None, path)
    return Source(
        _every(chosen.every, _until_damage(path, chosen)),
        math.ceil(topic.count / chosen.every),
        keep="no images",
        motions=moving.motions(path, chosen),
        truth=chosen.find_poses(path, _ignore if same else chosen.on_damage()),
        gap=chosen.gap,
        bag=(path, chosen.topic, chosen.session),
    )


def _live(path: Path, chosen: FrameOptions, moving: MotionOptions, seconds: float | None) -> Source:
    useless = {
        "--poses": chosen.poses,
        "--pose-topic": chosen.pose_topic,
        "--topic": chosen.topic,
        "--list": chosen.names,
        "--glob": chosen.globs,
        "--odometry": moving.file,
        "--odom-topic": moving.topic,
    }
    for option, value in useless.items():
        if value:
            raise SettingError(f"{option} does not go with a camera")
    camera = Camera(str(path), chosen.session or "camera")
    source = Source((), keep="nothing", camera=camera)

    def frames() -> Generator[Frame, None, None]:
        end = math.inf if seconds is None else time.monotonic() + seconds
        yield from camera.frames(lambda: source.stop.is_set() or time.monotonic() >= end)

    source.frames = _every(chosen.every, frames())
    return source


def _topic_of_truth(bag: Path, source: Path, chosen: FrameOptions) -> str | None:
    """The topic of a bag that holds the true poses; ``"auto"``: its only one with poses."""
    if bag != (chosen.poses or source):
        return None
    return chosen.pose_topic or (None if chosen.poses is None else "auto")


def _every(step: int, frames: Generator[Frame, None, None]) -> Generator[Frame, None, None]:
    """Every n-th frame; closing it closes the source."""
    with closing(frames):
        yield from islice(frames, 0, None, step)


def _until_damage(path: Path, chosen: FrameOptions) -> Generator[Frame, None, None]:
    """Frames of a bag; its damage ends them with a warning, if bad images are skipped."""
    try:
        yield from stream_bag(path, chosen.topic, chosen.session)
    except BagError as error:
        if not chosen.skip_bad:
            raise
        warn(str(error))


def _ignore(_: BagError) -> None:
    """Damage that the stream of images will tell of itself."""
