"""Streams of frames for the localizer: a folder, a video, a bag, or a camera, with odometry."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from itertools import islice, takewhile
from pathlib import Path
from threading import Event
from typing import Any

from placememory.errors import BagError, InputError, SettingError
from placememory.frames import (
    Frame,
    FrameSelection,
    JoinReport,
    Pose,
    PoseTable,
    Trajectory,
    list_bag,
    log_join,
    read_bag_info,
    read_bag_poses,
    read_bag_transform,
    read_poses,
    read_transform,
    stream_bag,
)
from placememory.frames.bags import BagInfo, is_bag
from placememory.frames.camera import Camera, is_camera
from placememory.frames.trajectory import DEFAULT_POSE_GAP
from placememory.localization.localizer import Step
from placememory.localization.odometry import DEFAULT_SPEED, MotionLimits, Motions
from placememory.localization.plane import Axes
from placememory.localization.run import Keep

_ODOMETRY = ("nav_msgs/msg/Odometry",)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OdometrySource:
    """Where the odometry of a stream comes from.

    Attributes:
        file: Poses in an odometry frame, or a bag.
        topic: Of the bag; ``"none"``, or ``None`` for the first odometry.
        speed: Metres a second above which a motion is a jump.
        extrinsic: Pose of the memory's body in the odometry's: ``x y z qx qy qz qw``, ``x y z roll
            pitch yaw`` (degrees), or two frames of the bag's transforms, ``PARENT:CHILD``; either
            may be left out: the base and the images' frame.
        axes: Of the odometry's body; see :class:`Motions`.
    """

    file: Path | None = None
    topic: str | None = None
    speed: float = DEFAULT_SPEED
    extrinsic: str | None = None
    axes: Axes | None = None

    @property
    def is_given(self) -> bool:
        """Whether odometry is named, not looked for."""
        return self.file is not None or self.topic not in (None, "auto", "none")

    def open(self, source: Path, frames: FrameSelection) -> Motions | None:
        """Odometry for the frames of a source; ``None`` where there is none. Logs which it is.

        Raises:
            PoseError: The extrinsic is no transform.
            SettingError: There is a topic of odometry, or an extrinsic of transforms, but no bag.
        """
        limits = MotionLimits(speed=self.speed)
        poses = self._read_poses(source, frames)
        if poses is None:
            return None
        _log.info("odometry of %s", poses.source)
        extrinsic = self._find_extrinsic(self.file or source, source)
        return Motions(
            poses,
            limits=limits,
            extrinsic=extrinsic,
            axes=self.axes,
            max_gap=DEFAULT_POSE_GAP if frames.max_gap is None else frames.max_gap,
        )

    def _find_extrinsic(self, *bags: Path) -> Pose | None:
        """The extrinsic that is given; of transforms, in the first of the sources that is a bag."""
        if self.extrinsic is None or ":" not in self.extrinsic:
            return None if self.extrinsic is None else read_transform(self.extrinsic)
        bag = next((path for path in bags if is_bag(path)), None)
        if bag is None:
            raise SettingError(f"--extrinsic {self.extrinsic} is of a ROS bag's tf; there is none")
        parent, _, child = self.extrinsic.partition(":")
        return read_bag_transform(bag, parent or None, child or None)

    def _read_poses(self, source: Path, frames: FrameSelection) -> Trajectory | PoseTable | None:
        bag = self.file or source
        if is_bag(bag):
            topic = self._find_topic(read_bag_info(bag), _topic_of_truth(bag, source, frames))
            on_damage = _ignore if bag == source else frames.on_damage
            return None if topic is None else read_bag_poses(bag, topic, on_damage=on_damage)
        if self.topic not in (None, "auto", "none"):
            raise SettingError(f"--odom-topic {self.topic} is a topic of a ROS bag; there is none")
        return None if self.file is None else read_poses(self.file)

    def _find_topic(self, bag: BagInfo, truth: str | None) -> str | None:
        """The topic asked for, else the first with odometry that is not the truth."""
        if self.topic not in (None, "auto"):
            return None if self.topic == "none" else self.topic
        names = [topic.name for topic in bag.of_types(_ODOMETRY)]
        return next((n for n in names if truth not in ("auto", n, n.strip("/"))), None)


@dataclass(slots=True)
class Stream:
    """Frames in the order they were taken, with odometry and truth, from any source.

    Attributes:
        frames: The frames.
        total: How many; ``None`` if that is not known.
        keep: Which estimates a run may keep, see :func:`follow`.
        motions: Their odometry.
        truth: True poses of frames that are not listed.
        gap: For the truth's join.
        camera: Where the frames are live.
        bag: Where the frames can be listed again: path, topic and session.
        stop: Set to end the stream after the frame at hand.
        report: How frames found the truth, once that is logged.
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
    report: JoinReport | None = None

    def steps(self) -> Generator[Step, None, None]:
        """Frames with odometry until the source ends or is stopped; close it to release it."""
        with closing(self._join_truth()) as frames:
            going = takewhile(lambda _: not self.stop.is_set(), frames)
            yield from map(Step, going) if self.motions is None else self.motions.steps(going)

    def _join_truth(self) -> Generator[Frame, None, None]:
        try:
            for frame in self.frames:
                yield frame if self.truth is None else self.truth.join([frame], **self.gap)[0][0]
        finally:
            if isinstance(self.frames, Generator):
                self.frames.close()

    def read_again(self, frames: Iterable[Frame]) -> list[Frame]:
        """Frames of this stream with their images, for drawing."""
        if self.bag is None:
            return list(frames)
        listed = {f.index: f for f in list_bag(*self.bag, on_damage=_ignore)}
        return [replace(frame, read=listed[frame.index].read) for frame in frames]

    def log_joins(self, frames: Iterable[Frame]) -> None:
        """Log how frames found true poses and odometry, and how many were dropped."""
        if self.truth is not None:
            self.report = self.truth.join([replace(f, pose=None) for f in frames], **self.gap)[1]
            log_join(self.report)
        if self.motions is not None:
            _log.info("%s", self.motions.counts)
            if not self.motions.counts.used:
                _log.warning(
                    "no frame has odometry; were images and odometry stamped by the same clock?"
                )
        if self.camera is not None:
            dropped = self.camera.dropped
            _log.info("%d images of the camera were dropped, to stay in the present", dropped)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        counts = None if self.motions is None else self.motions.counts
        return {
            "odometry": None if counts is None else asdict(counts),
            "dropped_images": None if self.camera is None else self.camera.dropped,
        }


def open_stream(
    source: Path,
    frames: FrameSelection,
    odometry: OdometrySource,
    *,
    seconds: float | None = None,
    listed: bool = False,
) -> Stream:
    """Open a source of frames.

    Args:
        source: Folder, video, bag, image, or camera.
        frames: Which frames to take, and where their true poses are.
        odometry: Where their odometry is.
        seconds: After which a camera's stream ends.
        listed: Whether a bag is to be listed, so that its frames can be read in any order.

    Raises:
        SettingError: Settings do not go with this source.
        InputError: There is nothing of this name, or it cannot be read.
    """
    if is_camera(source):
        return _open_camera(source, frames, odometry, seconds)
    if seconds is not None:
        raise SettingError("--seconds ends the stream of a camera; choose frames with --every")
    if is_bag(source) and source.exists() and not (frames.names or frames.globs or listed):
        return _open_bag(source, frames, odometry)
    if listed and odometry.is_given:
        raise SettingError("odometry needs the fusion; without it each frame is answered alone")
    found = frames.list_frames(source)
    return Stream(found, len(found), motions=None if listed else odometry.open(source, frames))


def _open_bag(path: Path, frames: FrameSelection, odometry: OdometrySource) -> Stream:
    topic = read_bag_info(path).image_topic(frames.topic)
    if not topic.count:
        raise InputError(f"{path}: topic {topic.name} holds no images")
    same = frames.poses in (None, path)
    return Stream(
        _take_every(frames.every, _read_until_damage(path, frames)),
        math.ceil(topic.count / frames.every),
        keep="no images",
        motions=odometry.open(path, frames),
        truth=frames.find_poses(path, _ignore if same else frames.on_damage),
        gap=frames.gap,
        bag=(path, frames.topic, frames.session),
    )


def _open_camera(
    path: Path, frames: FrameSelection, odometry: OdometrySource, seconds: float | None
) -> Stream:
    useless = {
        "--poses": frames.poses,
        "--pose-topic": frames.pose_topic,
        "--topic": frames.topic,
        "--list": frames.names,
        "--glob": frames.globs,
        "--odometry": odometry.file,
        "--odom-topic": odometry.topic,
    }
    for option, value in useless.items():
        if value:
            raise SettingError(f"{option} does not go with a camera")
    camera = Camera(str(path), frames.session or "camera")
    stream = Stream((), keep="nothing", camera=camera)

    def read() -> Generator[Frame, None, None]:
        end = math.inf if seconds is None else time.monotonic() + seconds
        yield from camera.frames(lambda: stream.stop.is_set() or time.monotonic() >= end)

    stream.frames = _take_every(frames.every, read())
    return stream


def _topic_of_truth(bag: Path, source: Path, frames: FrameSelection) -> str | None:
    """The topic of a bag that holds the true poses; ``"auto"``: its only one with poses."""
    if bag != (frames.poses or source):
        return None
    return frames.pose_topic or (None if frames.poses is None else "auto")


def _take_every(step: int, frames: Generator[Frame, None, None]) -> Generator[Frame, None, None]:
    """Every n-th frame; closing it closes the source."""
    with closing(frames):
        yield from islice(frames, 0, None, step)


def _read_until_damage(path: Path, frames: FrameSelection) -> Generator[Frame, None, None]:
    """Frames of a bag; its damage ends them with a warning, if bad images are skipped."""
    try:
        yield from stream_bag(path, frames.topic, frames.session)
    except BagError as error:
        if not frames.skip_bad:
            raise
        _log.warning("%s", error)


def _ignore(_: BagError) -> None:
    """Damage that the stream of images logs itself."""
