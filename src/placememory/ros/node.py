"""The ROS 2 node: topics, services, parameters and life cycle around a :class:`Robot`."""

from __future__ import annotations

import io
import json
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseArray, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry as OdometryMessage
from PIL import Image as Picture
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from sensor_msgs.msg import CameraInfo, CompressedImage
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import String
from std_srvs.srv import Trigger

from placememory.errors import PlaceMemoryError, SettingError
from placememory.frames import Pose, read_transform
from placememory.frames.bags.images import stamp_of
from placememory.frames.bags.pixels import rgb_of_message
from placememory.frames.bags.poses import pose_of as bag_pose
from placememory.geometry import Camera, Verifier
from placememory.geometry.cameras import from_ros
from placememory.localization import Estimate, LocalizedRun, Localizer, Summary, Timing, add_run
from placememory.memory import PlaceMemory, images_of_memory
from placememory.ros.live import Answer, Robot
from placememory.ros.transforms import disagreement

_SECOND = 1_000_000_000
_RECORDED = 20_000  # frames that a session may have
_JPEG, _HEIGHT = 80, 240
_LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
_RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)

PARAMETERS: Mapping[str, tuple[Any, str]] = {
    "memory": ("", "The memory: a file, milvus-lite:PATH or http://host:port/collection."),
    "cameras": (["camera"], "Names of the cameras; each has parameters of its own, NAME.topic ..."),
    "odometry": ("odom", "nav_msgs/Odometry; empty for none."),
    "initialpose": ("initialpose", "A person's guess, geometry_msgs/PoseWithCovarianceStamped."),
    "base_frame": ("base_link", "The robot's base, whose pose is published."),
    "odom_frame": ("odom", "The frame that the odometry's poses are in."),
    "publish_tf": (False, "Publish map -> odom (REP 105); needs tf2_msgs."),
    "publish_initialpose": (False, "Publish /initialpose once it is sure, for AMCL and the like."),
    "sure_frames": (5, "Located frames in a row that are sure."),
    "shadow": ("", "Pose of another localiser to compare with; nothing is steered then."),
    "shadow_file": ("", "The comparison as JSON, a line a frame."),
    "debug_image": (False, "Publish the newest frame beside the best place."),
    "candidates": (5, "Candidates that are published."),
    "record": (False, "Keep the run for ~/save_session."),
    "session": ("", "Name of the session that ~/save_session adds."),
    "relocalize_timeout": (10.0, "Seconds that ~/relocalize waits for evidence."),
    "verify": (True, "Compare images by local features in doubt, where the extra is installed."),
    "max_age": (5.0, "Seconds without evidence after which nothing is located."),
    "max_gap": (0.5, "Seconds between two poses of the odometry around a frame."),
    "weights": ("", "Weights file of the encoder; by default the published ones."),
    "device": ("cpu", "Of the encoder."),
    "precision": ("auto", "Of the encoder."),
}
"""Name, default and meaning of every parameter of the node."""

CAMERA_PARAMETERS: Mapping[str, tuple[Any, str]] = {
    "topic": ("image_raw", "sensor_msgs/Image, or with compressed sensor_msgs/CompressedImage."),
    "compressed": (False, "The topic has sensor_msgs/CompressedImage."),
    "reliable": (False, "Lost frames are sent again; only where the publisher is reliable, too."),
    "info": ("", "sensor_msgs/CameraInfo; frames wait for the first one. Empty for none."),
    "mount": ("", "Pose of the memory's body in the base, as this camera sees it: x y z ..."),
}
"""Name, default and meaning of the parameters of each camera."""


class PlaceMemoryNode(LifecycleNode):  # type: ignore[misc]
    """A managed node: ``configure`` opens the memory, ``activate`` listens.

    Args:
        name: Of the node.
        overrides: Values of parameters, before those of the command line.
    """

    def __init__(
        self, name: str = "placememory", overrides: Mapping[str, Any] | None = None
    ) -> None:
        given = [rclpy.Parameter(name, value=value) for name, value in (overrides or {}).items()]
        super().__init__(name, parameter_overrides=given)
        for key, (default, text) in PARAMETERS.items():
            self.declare_parameter(key, default, ParameterDescriptor(description=text))
        self._group = ReentrantCallbackGroup()
        self._robot: Robot | None = None
        self._memory: PlaceMemory | None = None
        self._listening: list[Any] = []
        self._intrinsics: dict[str, Camera] = {}
        self._guard = Lock()
        self._made: list[Any] = []
        self._publishers_made: list[Any] = []
        self._forget()

    def value(self, name: str) -> Any:
        """The value of a parameter."""
        return self.get_parameter(name).value

    def on_configure(self, state: Any) -> TransitionCallbackReturn:
        """Open the memory and make what is published."""
        del state
        try:
            for camera in self.value("cameras"):
                for key, (default, text) in CAMERA_PARAMETERS.items():
                    if not self.has_parameter(f"{camera}.{key}"):
                        described = ParameterDescriptor(description=text)
                        self.declare_parameter(f"{camera}.{key}", default, described)
            self._robot = Robot(
                self._open(),
                self._on_answer,
                mounts={c: m for c in self.value("cameras") if (m := self._mount(c)) is not None},
                max_gap=self.value("max_gap"),
            )
            self._advertise()
        except PlaceMemoryError as error:
            self.get_logger().error(str(error))
            self._close()
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: Any) -> TransitionCallbackReturn:
        """Listen to cameras and odometry, and localise."""
        assert self._robot is not None
        self._forget()
        self._subscribe()
        self._robot.start()
        self._say_status()
        return super().on_activate(state)

    def on_deactivate(self, state: Any) -> TransitionCallbackReturn:
        """Listen no more."""
        self._quiet()
        return super().on_deactivate(state)

    def on_cleanup(self, state: Any) -> TransitionCallbackReturn:
        """Close the memory."""
        del state
        self._close()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: Any) -> TransitionCallbackReturn:
        """Close all."""
        del state
        self._quiet()
        self._close()
        return TransitionCallbackReturn.SUCCESS

    def end(self) -> None:
        """Stop listening and close the memory, whatever state ROS is in."""
        if self._robot is not None:
            self._robot.stop()
        if self._memory is not None:
            self._memory.close()

    def _forget(self) -> None:
        self._located = 0
        self._announced = False
        self._answer: Answer | None = None
        self._other: tuple[int, Pose, Any] | None = None
        self._apart: tuple[float, float, float] | None = None
        self._record: deque[Estimate] = deque(maxlen=_RECORDED)
        self._summary = Summary()
        self._rate: deque[int] = deque(maxlen=30)
        self._spent: deque[tuple[float, float]] = deque(maxlen=100)

    def _open(self) -> dict[str, Localizer]:
        """Open the memory, and make a localizer for each camera.

        Raises:
            PlaceMemoryError: It cannot be opened, or the encoder cannot be made.
        """
        uri = self.value("memory")
        if not uri:
            raise SettingError("the parameter 'memory' is empty; name a memory")
        memory = PlaceMemory.open(uri, readonly=True)
        try:
            encoder = memory.encoder(
                self.value("weights") or None,
                device=self.value("device"),
                precision=self.value("precision"),
            )
            made = {}
            for name in self.value("cameras"):
                verify = None
                if self.value("verify"):
                    verify = Verifier.of_memory(memory, camera=self._intrinsics.get(name))
                timing = Timing(max_age=self.value("max_age"))
                made[name] = Localizer(memory, encoder, verify=verify, timing=timing)
        except BaseException:
            memory.close()
            raise
        before, self._memory = self._memory, memory
        self._image_of = images_of_memory(memory)
        if before is not None:
            before.close()
        return made

    def _mount(self, camera: str) -> Pose | None:
        text = self.value(f"{camera}.mount")
        return read_transform(text) if text else None

    def _advertise(self) -> None:
        def publish(kind: Any, topic: str, qos: Any) -> Any:
            self._publishers_made.append(self.create_lifecycle_publisher(kind, topic, qos))
            return self._publishers_made[-1]

        self._pose_topic = publish(PoseWithCovarianceStamped, "~/pose", 10)
        self._candidates_topic = publish(PoseArray, "~/candidates", 10)
        self._debug_topic = publish(CompressedImage, "~/debug_image/compressed", 1)
        self._diagnostics_topic = publish(DiagnosticArray, "/diagnostics", 10)
        self._status_topic = publish(String, "~/status", _LATCHED)
        self._initial_topic = None
        self._tf_topic = None
        steers = not self.value("shadow")
        if steers and self.value("publish_initialpose"):
            self._initial_topic = publish(PoseWithCovarianceStamped, "/initialpose", 10)
        if steers and self.value("publish_tf"):
            self._tf_topic = publish(_tf_message(), "/tf", 100)
        service = partial(self.create_service, Trigger, callback_group=self._group)
        self._made = [
            service("~/relocalize", self._on_relocalize),
            service("~/reset", self._on_reset),
            service("~/load_map", self._on_load_map),
            service("~/save_session", self._on_save_session),
        ]
        self._timer = self.create_timer(1.0, self._on_timer, callback_group=self._group)

    def _subscribe(self) -> None:
        def listen(kind: Any, topic: str, call: Any, qos: Any = qos_profile_sensor_data) -> None:
            made = self.create_subscription(kind, topic, call, qos)
            self._listening.append(made)

        for name in self.value("cameras"):
            kind = CompressedImage if self.value(f"{name}.compressed") else ImageMessage
            qos = _RELIABLE if self.value(f"{name}.reliable") else qos_profile_sensor_data
            listen(kind, self.value(f"{name}.topic"), partial(self._on_image, name), qos)
            if self.value(f"{name}.info"):
                listen(CameraInfo, self.value(f"{name}.info"), partial(self._on_info, name))
        if self.value("odometry"):
            listen(OdometryMessage, self.value("odometry"), self._on_odometry)
        if self.value("initialpose") and self._initial_topic is None:
            kind = PoseWithCovarianceStamped
            listen(kind, self.value("initialpose"), self._on_initialpose, 10)
        if self.value("shadow"):
            listen(PoseWithCovarianceStamped, self.value("shadow"), self._on_other, 10)

    def _quiet(self) -> None:
        for made in self._listening:
            self.destroy_subscription(made)
        self._listening.clear()
        if self._robot is not None:
            self._robot.stop()

    def _close(self) -> None:
        for made in self._made:
            self.destroy_service(made)
        if self._made:
            self.destroy_timer(self._timer)
        for made in self._publishers_made:
            self.destroy_lifecycle_publisher(made)
        self._made, self._publishers_made = [], []
        self._robot = None
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def _on_image(self, camera: str, message: Any) -> None:
        if self._robot is None:
            return
        if self.value(f"{camera}.info") and camera not in self._intrinsics:
            return  # its intrinsics come first
        stamp = stamp_of(message, 0) or self.get_clock().now().nanoseconds
        levels = None if self._memory is None else self._memory.levels
        read = partial(rgb_of_message, message, f"a message of {camera}", levels=levels)
        self._robot.take_image(camera, stamp, read)

    def _on_info(self, camera: str, message: CameraInfo) -> None:
        if camera in self._intrinsics or self._robot is None:
            return
        try:
            self._intrinsics[camera] = camera_of(message)
            self._robot.replace_map(self._open())
        except PlaceMemoryError as error:
            self.get_logger().error(f"the intrinsics of {camera}: {error}")

    def _on_odometry(self, message: OdometryMessage) -> None:
        pose = pose_of(message.pose, message.header.frame_id)
        stamp = stamp_of(message, 0)
        if self._robot is not None and pose is not None and stamp:
            self._robot.take_odometry(stamp, pose)

    def _on_initialpose(self, message: PoseWithCovarianceStamped) -> None:
        pose = pose_of(message.pose, message.header.frame_id)
        if self._robot is None or pose is None:
            return
        spread = np.array(message.pose.covariance).reshape(6, 6)
        if not spread.any():
            spread = np.diag([0.25, 0.25, 0.25, 0.07, 0.07, 0.07])  # as RViz's tool has it
        try:
            self._robot.seed(pose, spread)
            self.get_logger().info(f"someone says it is at {pose.x:.1f}, {pose.y:.1f}")
        except PlaceMemoryError as error:
            self.get_logger().error(f"the initial pose is not taken: {error}")

    def _on_other(self, message: PoseWithCovarianceStamped) -> None:
        pose = pose_of(message.pose, message.header.frame_id)
        if pose is not None:
            spread = np.array(message.pose.covariance).reshape(6, 6)
            self._other = stamp_of(message, 0), pose, spread

    def _on_answer(self, answer: Answer) -> None:
        """Publish an answer; in the robot's thread."""
        with self._guard:
            before, self._answer = self._answer, answer
            self._rate.append(self.get_clock().now().nanoseconds)
            own = sum(answer.estimate.milliseconds.values())
            self._spent.append((1e3 * answer.seconds, own))
            self._located = self._located + 1 if answer.verdict == "located" else 0
            self._summary.add(answer.estimate)
            if self.value("record"):
                self._record.append(answer.estimate.without_image())
        stamp = answer.estimate.frame.stamp or 0
        if answer.base is not None and answer.covariance is not None:
            message = self._pose_message(stamp, answer.base, answer.covariance)
            self._pose_topic.publish(message)
            sure = self._located >= self.value("sure_frames")
            if self._initial_topic is not None and sure and not self._announced:
                self._announced = True
                self._initial_topic.publish(message)
        if answer.odom is not None and self._tf_topic is not None:
            self._tf_topic.publish(self._transform(stamp, answer.odom))
        self._candidates_topic.publish(self._candidates(answer, stamp))
        if self.value("debug_image"):
            self._publish_debug(answer)
        self._compare(answer, stamp)
        if before is None or before.verdict != answer.verdict:
            self._say_status()

    def _compare(self, answer: Answer, stamp: int) -> None:
        """Compare an answer with another localiser's pose, and write how far apart they are."""
        if self._other is None:
            return
        at, pose, spread = self._other
        line: dict[str, Any] = {**answer.to_dict(), "other": pose.to_dict(), "other_stamp": at}
        if answer.base is not None and answer.covariance is not None:
            self._apart = disagreement((answer.base, answer.covariance), (pose, spread))
            line |= dict(zip(("metres", "radians", "sigmas"), self._apart, strict=True))
        if self.value("shadow_file"):
            with Path(self.value("shadow_file")).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"stamp": stamp, **line}) + "\n")

    def _on_relocalize(self, request: Any, response: Any) -> Any:
        """Answer with where the robot is; waits for evidence."""
        del request
        answer = None if self._robot is None else self._robot.ask(self.value("relocalize_timeout"))
        if answer is None:
            response.message = json.dumps({"verdict": None, "reason": "no frame came"})
            return response
        response.success = answer.verdict == "located"
        response.message = json.dumps(answer.to_dict())
        return response

    def _on_reset(self, request: Any, response: Any) -> Any:
        del request
        if self._robot is not None:
            self._robot.reset()
            with self._guard:
                self._forget()
            response.success = True
        return response

    def _on_load_map(self, request: Any, response: Any) -> Any:
        """Go on in the memory that the parameter ``memory`` names now."""
        del request
        try:
            assert self._robot is not None
            self._robot.replace_map(self._open())
        except PlaceMemoryError as error:
            response.message = f"the map stays as it was: {error}"
            return response
        with self._guard:
            self._forget()
        response.success, response.message = True, repr(self._memory)
        self._say_status()
        return response

    def _on_save_session(self, request: Any, response: Any) -> Any:
        """Add the run that was recorded to the memory as a session."""
        del request
        session = self.value("session")
        if not session or not self.value("record") or self._memory is None:
            response.message = "set the parameters 'record' (before the run) and 'session'"
            return response
        with self._guard:
            run = LocalizedRun(tuple(self._record), self._memory.rows.places, self._summary)
        try:
            with PlaceMemory.open(self._memory.uri) as memory:
                response.message = str(add_run(memory, run, session))
        except PlaceMemoryError as error:
            response.message = str(error)
            return response
        response.success = True
        return response

    def _on_timer(self) -> None:
        if self._robot is None:
            return
        answer, counts = self._answer, self._robot.counts
        now = self.get_clock().now().nanoseconds
        newest = [at for at in self._rate if now - at < 10 * _SECOND]
        rate = (len(newest) - 1) * _SECOND / max(1, newest[-1] - newest[0]) if newest[1:] else 0.0
        silent = not newest
        status = DiagnosticStatus(name=f"{self.get_name()}: localisation", hardware_id="")
        status.level, status.message = DiagnosticStatus.WARN, "no frame came yet"
        if answer is not None:
            located = answer.verdict == "located"
            status.level = DiagnosticStatus.OK if located else DiagnosticStatus.WARN
            status.message = answer.reason or str(answer.verdict)
        if silent and counts.received:
            status.level, status.message = DiagnosticStatus.STALE, "no frames for 10 s"
        if counts.error:
            status.level, status.message = DiagnosticStatus.ERROR, counts.error
        values: dict[str, Any] = {
            "verdict": "" if answer is None else answer.verdict,
            "reason": "" if answer is None else answer.reason,
            "age": "" if answer is None else answer.estimate.age,
            "rate": f"{rate:.1f}",
            "received": counts.received,
            "dropped": counts.dropped,
            "failed": counts.failed,
            "map": "" if self._memory is None else self._memory.uri,
            "map revision": "" if answer is None else answer.estimate.revision,
        }
        if self._spent:
            latency, own = np.median(np.array(self._spent), axis=0)
            values |= {"latency ms": f"{latency:.1f}", "of it the localizer ms": f"{own:.1f}"}
        if self._apart is not None:
            metres, radians, sigmas = self._apart
            values["disagreement"] = f"{metres:.2f} m, {radians:.2f} rad, {sigmas:.1f} sigma"
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics_topic.publish(message)

    def _say_status(self) -> None:
        answer = self._answer
        told = {
            "verdict": None if answer is None else answer.verdict,
            "reason": "no frame came yet" if answer is None else answer.reason,
            "memory": "" if self._memory is None else self._memory.uri,
            "places": 0 if self._memory is None else len(self._memory),
            "revision": "" if answer is None else answer.estimate.revision,
            "shadow": bool(self.value("shadow")),
        }
        self._status_topic.publish(String(data=json.dumps(told)))

    def _pose_message(self, stamp: int, pose: Pose, covariance: Any) -> PoseWithCovarianceStamped:
        message = PoseWithCovarianceStamped()
        message.header.stamp, message.header.frame_id = time_of(stamp), pose.frame_id
        _fill(message.pose.pose, pose)
        message.pose.covariance = np.asarray(covariance, np.float64).ravel().tolist()
        return message

    def _candidates(self, answer: Answer, stamp: int) -> PoseArray:
        message = PoseArray()
        message.header.stamp = time_of(stamp)
        message.header.frame_id = answer.estimate.frame_id
        for candidate in answer.estimate.candidates[: self.value("candidates")]:
            if candidate.place.pose is not None:
                place = PoseWithCovarianceStamped().pose.pose
                _fill(place, candidate.place.pose)
                message.poses.append(place)
        return message

    def _transform(self, stamp: int, odom: Pose) -> Any:
        """``map -> odom`` as a message of tf; dated a little ahead, as it holds until the next."""
        from geometry_msgs.msg import TransformStamped

        moved = TransformStamped()
        moved.header.stamp = time_of(stamp + _SECOND // 5)
        moved.header.frame_id, moved.child_frame_id = odom.frame_id, self.value("odom_frame")
        at = moved.transform.translation
        at.x, at.y, at.z = odom.x, odom.y, odom.z
        _fill_rotation(moved.transform.rotation, odom)
        return _tf_message()(transforms=[moved])

    def _publish_debug(self, answer: Answer) -> None:
        """The newest frame beside the best place, as a JPEG."""
        best = answer.estimate.best
        frame = answer.estimate.frame
        if best is None or frame.read is None:
            return
        shown = [frame.image()]
        with suppress(PlaceMemoryError):  # the images of the map need not be here
            there = self._image_of(best.place)
            shown += [] if there is None else [there]
        message = CompressedImage(format="jpeg", data=side_by_side(shown))
        message.header.stamp = time_of(frame.stamp or 0)
        self._debug_topic.publish(message)


def camera_of(message: CameraInfo) -> Camera:
    """Intrinsics of a message.

    Raises:
        SettingError: It has none, or of a model that is no pinhole.
    """
    if message.distortion_model not in ("", "plumb_bob"):
        raise SettingError(f"the camera model {message.distortion_model!r} is not known; plumb_bob")
    return from_ros(message.k, message.d[:5], message.width, message.height)


def pose_of(message: Any, frame_id: str) -> Pose | None:
    """Pose of a ``PoseWithCovariance``; ``None`` where it is none."""
    return bag_pose(message.pose.position, message.pose.orientation, frame_id, None)


def time_of(stamp: int) -> Time:
    """Nanoseconds as a message."""
    return Time(sec=stamp // _SECOND, nanosec=stamp % _SECOND)


def side_by_side(images: Sequence[Any]) -> bytes:
    """Images (H, W, 3) of one height, left to right, as a JPEG."""
    scaled = [
        Picture.fromarray(image).resize(
            (max(1, image.shape[1] * _HEIGHT // image.shape[0]), _HEIGHT)
        )
        for image in images
    ]
    sheet = Picture.new("RGB", (sum(one.width for one in scaled), _HEIGHT))
    left = 0
    for one in scaled:
        sheet.paste(one, (left, 0))
        left += one.width
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=_JPEG)
    return file.getvalue()


def run(
    overrides: Mapping[str, Any], arguments: Sequence[str] = (), *, autostart: bool = True
) -> None:
    """Spin a node until it is interrupted.

    Args:
        overrides: Values of parameters.
        arguments: Of ROS, such as ``--ros-args -r image_raw:=/front/image``.
        autostart: Configure and activate it; else a life-cycle manager does.

    Raises:
        SettingError: It cannot be configured; the log says why.
    """
    rclpy.init(args=list(arguments))
    node = PlaceMemoryNode(overrides=overrides)
    executor = MultiThreadedExecutor(num_threads=4)
    executor.add_node(node)
    try:
        if autostart:
            node.trigger_configure()
            if node._state_machine.current_state[1] != "inactive":
                raise SettingError("the node cannot be configured; its log says why")
            node.trigger_activate()
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.end()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


def main() -> None:
    """Entry point of the colcon package."""
    run({})


def _fill(message: Any, pose: Pose) -> None:
    message.position.x, message.position.y, message.position.z = pose.x, pose.y, pose.z
    _fill_rotation(message.orientation, pose)


def _fill_rotation(message: Any, pose: Pose) -> None:
    quaternion = pose.quaternion or (0.0, 0.0, 0.0, 1.0)
    message.x, message.y, message.z, message.w = quaternion


def _tf_message() -> Any:
    """The type of /tf.

    Raises:
        SettingError: ROS here has none.
    """
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError as error:
        raise SettingError("publish_tf needs the ROS package tf2_msgs") from error
    return TFMessage
