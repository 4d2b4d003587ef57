"""A robot's cameras and odometry as they come, localised in one thread; knows no ROS."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from threading import Condition, Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory.errors import InputError, PlaceMemoryError
from placememory.frames import Frame, Pose, PoseTrack, Trajectory
from placememory.frames.frame import Image
from placememory.frames.pose import inverse
from placememory.frames.trajectory import DEFAULT_POSE_GAP
from placememory.fusion import Verdict
from placememory.localization import Estimate, Localizer, Motions
from placememory.ros.transforms import disagreement, map_to_odom, move_body

_KEPT = 30.0  # seconds of odometry
_AGREE = 1.0  # seconds within which cameras are compared
_CONTRADICTS = 4.0  # sigmas
_RADIUS = 2.0  # metres that an answer is promised within
_NANOSECONDS = 1_000_000_000

_log = logging.getLogger(__name__)


class LiveTrack(Trajectory):
    """Poses of the odometry as they come; the last 30 seconds of them.

    Example:
        >>> track = LiveTrack("/odom")
        >>> for second in range(100):
        ...     track.add(second * 10**9, Pose.from_yaw(float(second), 0.0, 0.0))
        >>> track.at(98 * 10**9 + 5 * 10**8, max_gap=1.0).x, track.at(10 * 10**9) is None
        (98.5, True)
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._stamps: deque[int] = deque()
        self._poses: deque[Pose] = deque()

    def add(self, stamp: int, pose: Pose) -> None:
        """Take the next pose; one that is older than the last begins anew, as a clock does."""
        if self._stamps and stamp <= self._stamps[-1]:
            if stamp == self._stamps[-1]:
                return
            self._stamps.clear()
            self._poses.clear()
        self._stamps.append(stamp)
        self._poses.append(pose)
        while self._stamps[-1] - self._stamps[0] > _KEPT * _NANOSECONDS:
            self._stamps.popleft()
            self._poses.popleft()

    def at(self, stamp: int, *, max_gap: float = DEFAULT_POSE_GAP) -> Pose | None:
        """See :class:`Trajectory`."""
        near = [
            (at, pose)
            for at, pose in zip(self._stamps, self._poses, strict=True)
            if abs(at - stamp) <= max(2.0 * max_gap, 0.1) * _NANOSECONDS
        ]
        return PoseTrack([at for at, _ in near], [p for _, p in near]).at(stamp, max_gap=max_gap)

    @property
    def span(self) -> tuple[int, int] | None:
        """See :class:`Trajectory`."""
        return (self._stamps[0], self._stamps[-1]) if self._stamps else None


@dataclass(frozen=True)
class Answer:
    """What a frame of one camera says of the robot.

    Attributes:
        camera: Its name.
        estimate: Of the body that the memory's poses are of, as this camera sees it.
        verdict: That of the estimate; ``ambiguous`` where another camera contradicts it.
        reason: Why it is not located.
        base: Pose of the robot's base in the map; only where the verdict is ``located``.
        covariance: (6, 6) of it in ROS's order.
        odom: Pose of the odometry's frame in the map, for the transform ``map -> odom``.
        hypothesis: Pose of the base, trusted or not.
        seconds: From the arrival of the frame to its answer.
    """

    camera: str
    estimate: Estimate
    verdict: Verdict | None
    reason: str = ""
    base: Pose | None = None
    covariance: NDArray[np.float64] | None = None
    odom: Pose | None = None
    hypothesis: Pose | None = None
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        known = self.covariance
        return {
            "camera": self.camera,
            "verdict": self.verdict,
            "reason": self.reason,
            "pose": None if self.base is None else self.base.to_dict(),
            "covariance": None if known is None else known.ravel().tolist(),
            "hypothesis": None if self.hypothesis is None else self.hypothesis.to_dict(),
            "probability": self.estimate.probability,
            "age": self.estimate.age,
            "stamp": self.estimate.frame.stamp,
            "frame_id": self.estimate.frame_id,
            "revision": self.estimate.revision,
        }


@dataclass
class Counts:
    """What became of the frames.

    Attributes:
        received: Frames.
        dropped: Frames that a newer one of their camera replaced before they were looked at.
        answered: Frames that were localised.
        failed: Frames that could not be, such as those of an encoding that is not known.
        error: What was wrong with the last one; empty while all is well.
    """

    received: int = 0
    dropped: int = 0
    answered: int = 0
    failed: int = 0
    error: str = ""


@dataclass
class _Camera:
    localizer: Localizer
    mount: Pose | None
    motions: Motions
    waiting: tuple[int | None, Callable[[], Image], float] | None = None
    last: tuple[float, Answer] | None = None
    count: int = 0


@dataclass
class Robot:
    """Cameras and odometry of one robot, localised in a thread of its own.

    The newest frame of a camera wins: one that comes while another is looked at replaces the one
    that waits, and is counted. Each camera has a localizer, so a belief, of its own: cameras that
    look elsewhere see the same place from other headings. Where two are located and contradict each
    other, neither is.

    Args:
        localizers: By the name of the camera.
        publish: Called with every answer, in the thread of the robot.
        mounts: By the name of the camera, pose of the memory's body in the robot's base, as that
            camera sees it; left out where they are one.
        wait: Seconds that a frame waits for the odometry that follows it.
        max_gap: Seconds between two poses of the odometry around a frame.

    Example:
        >>> from placememory.encoders import EncoderCard, Preprocess
        >>> from placememory.memory import Place, PlaceMemory
        >>> card = EncoderCard(name="toy", dim=8, preprocess=Preprocess(longest=8))
        >>> memory = PlaceMemory.create(":memory:", encoder=card)
        >>> _ = memory.add([Place("run", i, f"{i}") for i in range(8)], np.eye(8))
        >>> robot = Robot({"front": Localizer(memory)}, publish=print)
        >>> robot.counts.received
        0
    """

    localizers: Mapping[str, Localizer]
    publish: Callable[[Answer], None]
    mounts: Mapping[str, Pose] = field(default_factory=dict)
    wait: float = 0.1
    max_gap: float = DEFAULT_POSE_GAP

    def __post_init__(self) -> None:
        self.counts = Counts()
        self.track = LiveTrack("odometry")
        self._ready = Condition()
        self._thread: Thread | None = None
        self._stopped = False
        self._cameras = self._make(self.localizers)

    def start(self) -> None:
        """Begin to localise."""
        self._stopped = False
        self._thread = Thread(target=self._work, name="placememory", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the frame that is looked at; what waits is dropped."""
        with self._ready:
            self._stopped = True
            self._ready.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def take_image(self, camera: str, stamp: int | None, read: Callable[[], Image]) -> None:
        """Take the newest frame of a camera; ``read`` gives its image when it is looked at."""
        with self._ready:
            one = self._cameras[camera]
            self.counts.received += 1
            self.counts.dropped += one.waiting is not None
            one.waiting = stamp, read, time.monotonic()
            self._ready.notify_all()

    def take_odometry(self, stamp: int, pose: Pose) -> None:
        """Take the newest pose of the odometry."""
        with self._ready:
            self.track.add(stamp, pose)
            self._ready.notify_all()

    def seed(self, pose: Pose, covariance: NDArray[np.float64]) -> None:
        """Someone says that the base is about here.

        Args:
            pose: Of the base in the map.
            covariance: (6, 6) in ROS's order.

        Raises:
            InputError: The pose is of another frame than the map's.
        """
        for one in self._cameras.values():
            body, spread = (pose, covariance)
            if one.mount is not None:
                body, spread = move_body(pose, covariance, one.mount)
            one.localizer.seed(replace(body, frame_id=pose.frame_id), spread)

    def reset(self) -> None:
        """Forget all frames."""
        for one in self._cameras.values():
            one.localizer.reset()
            one.last = None

    def replace_map(self, localizers: Mapping[str, Localizer]) -> None:
        """Go on in another map; cameras and odometry stay."""
        made = self._make(localizers)
        with self._ready:
            for name, one in made.items():
                one.waiting = self._cameras[name].waiting
            self._cameras = made
            self.localizers = localizers

    def ask(self, timeout: float) -> Answer | None:
        """Wait for an answer that is located; where none comes, the newest one.

        Args:
            timeout: Seconds.

        Returns:
            ``None`` where no frame came at all.
        """
        deadline = time.monotonic() + timeout
        newest: Answer | None = None
        with self._ready:
            before = self.counts.answered
            while not self._stopped:
                if self.counts.answered > before:
                    before, newest = self.counts.answered, self._newest()
                    if newest is not None and newest.verdict == "located":
                        break
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._ready.wait(left)
        return newest

    def _make(self, localizers: Mapping[str, Localizer]) -> dict[str, _Camera]:
        if not localizers:
            raise InputError("a robot needs a camera")
        made = {}
        for name, localizer in localizers.items():
            mount = self.mounts.get(name)
            motions = Motions(
                self.track, max_gap=self.max_gap, extrinsic=mount, plane=localizer.plane
            )
            made[name] = _Camera(localizer, mount, motions)
        return made

    def _newest(self) -> Answer | None:
        answers = [one.last for one in self._cameras.values() if one.last is not None]
        return max(answers, key=lambda pair: pair[0])[1] if answers else None

    def _work(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._stopped or self._next() is not None)
                if self._stopped:
                    return
                name = self._next()
                assert name is not None
                one = self._cameras[name]
                assert one.waiting is not None
                stamp, read, arrived = one.waiting
                one.waiting = None
                self._wait_for_odometry(stamp)
            try:
                answer = self._localize(name, one, stamp, read)
            except PlaceMemoryError as error:  # a message that is no image, a memory that is gone
                with self._ready:
                    self.counts.failed += 1
                    self.counts.error = str(error)
                    self._ready.notify_all()
                _log.warning("a frame of %s is not localised: %s", name, error)
                continue
            answer = replace(answer, seconds=time.monotonic() - arrived)
            with self._ready:
                one.last = time.monotonic(), answer
                self.counts.answered += 1
                self.counts.error = ""
                self._ready.notify_all()
            self.publish(answer)

    def _next(self) -> str | None:
        """The camera whose frame has waited for longest."""
        waiting = [
            (one.waiting[2], name) for name, one in self._cameras.items() if one.waiting is not None
        ]
        return min(waiting)[1] if waiting else None

    def _wait_for_odometry(self, stamp: int | None) -> None:
        """Wait until the odometry has passed a frame, where there is odometry at all."""
        if stamp is None or self.track.span is None:
            return
        deadline = time.monotonic() + self.wait

        def passed() -> bool:
            return self._stopped or self.track.span is None or self.track.span[1] >= stamp

        while not passed() and (left := deadline - time.monotonic()) > 0:
            self._ready.wait(left)

    def _localize(
        self, name: str, one: _Camera, stamp: int | None, read: Callable[[], Image]
    ) -> Answer:
        frame = Frame(f"{name} {one.count}", name, one.count, stamp=stamp, read=read)
        one.count += 1
        with self._ready:
            motion = one.motions.since_last(frame)
            base_in_odom = None if stamp is None else self.track.at(stamp, max_gap=self.max_gap)
        estimate = one.localizer.observe(frame, motion, note=one.motions.reason)
        hypothesis, spread = estimate.hypothesis, estimate.covariance
        if hypothesis is not None and spread is not None and one.mount is not None:
            hypothesis, spread = move_body(hypothesis, spread, inverse(one.mount))
        verdict, reason = estimate.verdict, estimate.reason
        if verdict == "located" and hypothesis is not None and spread is not None:
            other = self._contradiction(name, hypothesis, spread)
            if other:
                verdict, reason = "ambiguous", other
        located = verdict == "located" and hypothesis is not None
        odom = None
        if located and hypothesis is not None and base_in_odom is not None:
            odom = map_to_odom(hypothesis, base_in_odom)
        return Answer(
            name,
            estimate,
            verdict,
            reason,
            hypothesis if located else None,
            spread if located else None,
            odom,
            hypothesis,
        )

    def _contradiction(self, name: str, pose: Pose, spread: NDArray[np.float64]) -> str:
        """What another camera says against a pose; empty where none does."""
        now = time.monotonic()
        for other, one in self._cameras.items():
            if other == name or one.last is None or now - one.last[0] > _AGREE:
                continue
            answer = one.last[1]
            if answer.base is None or answer.covariance is None:
                continue
            metres, _, sigmas = disagreement((pose, spread), (answer.base, answer.covariance))
            if metres > _RADIUS and sigmas > _CONTRADICTS:
                return f"cameras disagree: {name} and {other} are {metres:.1f} m apart"
        return ""
