"""A camera with odometry, a person and an operator, as a ROS 2 node; prints what it saw as JSON.

Run by a Python that has rclpy: drive.py FOLDER WHAT, with WHAT one of run, services, shadow.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseWithCovarianceStamped
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import Odometry
from PIL import Image as Picture
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from placememory.frames import Frame, list_frames, read_poses

LONG = 600.0  # seconds: nothing here is timed, this only ends a test that hangs
NODE = "/placememory"


class Driver(Node):
    """Plays a run and keeps what the node publishes."""

    def __init__(self, folder: Path, compressed: bool = False) -> None:
        super().__init__("driver")
        listed = list_frames(folder)
        self.frames, _ = read_poses(folder / "vertices.csv").join(listed)
        self.poses: dict[int, Any] = {}
        self.initial: list[Any] = []
        self.status: list[dict[str, Any]] = []
        self.diagnostics: list[Any] = []
        self.candidates: list[Any] = []
        self.pictures: list[bytes] = []
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        listen = self.create_subscription
        listen(PoseWithCovarianceStamped, f"{NODE}/pose", self._on_pose, 100)
        listen(PoseWithCovarianceStamped, "/initialpose", self.initial.append, 10)
        listen(String, f"{NODE}/status", lambda m: self.status.append(json.loads(m.data)), latched)
        listen(DiagnosticArray, "/diagnostics", self.diagnostics.append, 100)
        listen(PoseArray, f"{NODE}/candidates", self.candidates.append, 100)
        listen(
            CompressedImage,
            f"{NODE}/debug_image/compressed",
            lambda m: self.pictures.append(bytes(m.data)),
            10,
        )
        kind = CompressedImage if compressed else Image
        self.compressed = compressed
        self.camera = self.create_publisher(kind, "image_raw", qos_profile_sensor_data)
        self.wheels = self.create_publisher(Odometry, "odom", qos_profile_sensor_data)
        self.person = self.create_publisher(PoseWithCovarianceStamped, "initialpose", 10)
        self.other = self.create_publisher(PoseWithCovarianceStamped, "amcl_pose", 10)

    def _on_pose(self, message: Any) -> None:
        self.poses[message.header.stamp.sec * 10**9 + message.header.stamp.nanosec] = message

    def until(self, condition: Any) -> None:
        """Spin until something is true."""
        end = time.monotonic() + LONG
        while not condition():
            if time.monotonic() > end:
                raise SystemExit(f"waited for {LONG} s in vain")
            rclpy.spin_once(self, timeout_sec=0.05)

    def show(self, frame: Frame) -> None:
        """Publish odometry and image of a frame, and wait until it was looked at.

        Sensor data is best effort: what is lost on a busy machine is sent again.
        """
        seen = len(self.candidates)
        while len(self.candidates) == seen:
            self.wheels.publish(self._odometry(frame))
            self.camera.publish(self._image(frame))
            again = time.monotonic() + 15.0
            self.until(lambda: len(self.candidates) > seen or time.monotonic() > again)  # noqa: B023

    def _image(self, frame: Frame) -> Any:
        pixels = frame.image()
        if self.compressed:
            import io

            file = io.BytesIO()
            Picture.fromarray(pixels).save(file, "PNG")
            message: Any = CompressedImage(format="rgb8; png compressed", data=file.getvalue())
        else:
            height, width, _ = pixels.shape
            message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
            message.data = pixels.tobytes()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(frame.stamp, 10**9)
        return message

    def _odometry(self, frame: Frame) -> Odometry:
        message, pose = Odometry(), frame.pose
        message.header.frame_id = "odom"
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(frame.stamp, 10**9)
        at, turned = message.pose.pose.position, message.pose.pose.orientation
        at.x, at.y, at.z = pose.x - 3.0, pose.y + 1.0, pose.z
        turned.x, turned.y, turned.z, turned.w = pose.quaternion
        return message

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service."""
        client = self.create_client(kind, name)
        self.until(client.service_is_ready)
        future = client.call_async(request)
        self.until(future.done)
        return future.result()

    def ask(self, name: str) -> tuple[bool, str]:
        """Call a trigger of the node."""
        answer = self.call(Trigger, f"{NODE}/{name}", Trigger.Request())
        return answer.success, answer.message

    def set(self, name: str, text: str) -> None:
        """Set a parameter of the node."""
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=text)
        request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
        self.call(SetParameters, f"{NODE}/set_parameters", request)

    def report(self) -> dict[str, Any]:
        """What was seen of the run."""
        true = {frame.stamp: frame.pose for frame in self.frames}
        errors = [
            math.hypot(m.pose.pose.position.x - true[s].x, m.pose.pose.position.y - true[s].y)
            for s, m in self.poses.items()
        ]
        spreads = [list(message.pose.covariance) for message in self.poses.values()]
        newest = self.diagnostics[-1].status[0] if self.diagnostics else None
        return {
            "frames": len(self.frames),
            "errors": errors,
            "covariances": spreads[-1:],
            "frame_id": [m.header.frame_id for m in self.poses.values()][-1:],
            "initial": len(self.initial),
            "status": self.status,
            "diagnostics": {v.key: v.value for v in newest.values} if newest else {},
            "candidates": [len(message.poses) for message in self.candidates],
            "pictures": [picture[:3].hex() for picture in self.pictures[-1:]],
        }


def main() -> None:
    """Do what is asked."""
    folder, what = Path(sys.argv[1]), sys.argv[2]
    rclpy.init()
    driver = Driver(folder, compressed=what == "compressed")
    told: dict[str, Any] = {}
    if what == "lifecycle":
        told = lifecycle(driver)
    else:
        driver.until(lambda: driver.camera.get_subscription_count() == 1)
        driver.until(lambda: driver.count_publishers(f"{NODE}/candidates") == 1)
        driver.until(lambda: driver.wheels.get_subscription_count() == 1)
        if what == "services":
            told = services(driver, sys.argv[3])
        elif what == "shadow":
            told = shadow(driver)
        else:
            for frame in driver.frames:
                driver.show(frame)
        driver.until(lambda: driver.diagnostics)
    print(json.dumps({**driver.report(), **told}))
    rclpy.shutdown()


def services(driver: Driver, other: str) -> dict[str, Any]:
    """Ask where it is, swap the map, reset, and save the run."""
    told: dict[str, Any] = {}
    client = driver.create_client(Trigger, f"{NODE}/relocalize")
    driver.until(client.service_is_ready)
    future = client.call_async(Trigger.Request())
    for frame in driver.frames[:20]:
        driver.show(frame)
    driver.until(future.done)
    told["relocalized"] = [future.result().success, json.loads(future.result().message)]
    told["saved"] = driver.ask("save_session")
    driver.set("memory", "nowhere.memory")
    told["no map"] = driver.ask("load_map")
    driver.set("memory", other)
    told["map"] = driver.ask("load_map")
    told["reset"] = driver.ask("reset")
    seen = len(driver.poses)
    for frame in driver.frames[20:30]:
        driver.show(frame)
    told["after"] = len(driver.poses) - seen
    return told


def shadow(driver: Driver) -> dict[str, Any]:
    """Another localiser says a pose that is two metres off."""
    for frame in driver.frames[:20]:
        message = PoseWithCovarianceStamped()
        message.header.frame_id = "map"
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(frame.stamp, 10**9)
        message.pose.pose.position.x = frame.pose.x + 2.0
        message.pose.pose.position.y = frame.pose.y
        message.pose.pose.orientation.w = 1.0
        driver.other.publish(message)
        driver.show(frame)
    return {}


def lifecycle(driver: Driver) -> dict[str, Any]:
    """Configure, activate, deactivate and clean up, as a manager does."""
    states = []

    def change(number: int) -> None:
        request = ChangeState.Request()
        request.transition.id = number
        done = driver.call(ChangeState, f"{NODE}/change_state", request).success
        state = driver.call(GetState, f"{NODE}/get_state", GetState.Request())
        states.append([done, state.current_state.label])

    for number in (1, 3, 4, 2, 1, 3):
        change(number)
    driver.until(lambda: driver.camera.get_subscription_count() == 1)
    driver.until(lambda: driver.count_publishers(f"{NODE}/candidates") == 1)
    for frame in driver.frames[:20]:
        driver.show(frame)
    return {"states": states}


if __name__ == "__main__":
    main()
