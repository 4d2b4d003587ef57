"""Writes real bags of all formats, with the writers of ``rosbags``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="the extra 'bags' is not installed")

from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

KINDS = ("sqlite", "mcap", "ros1")
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
ROS2 = get_typestore(Stores.ROS2_HUMBLE)
ROS1 = get_typestore(Stores.ROS1_NOETIC)
ROS1.register(
    get_types_from_msg("geometry_msgs/TransformStamped[] transforms", "tf2_msgs/msg/TFMessage")
)


class Messages:
    """Makes messages of one generation of ROS."""

    def __init__(self, kind: str) -> None:
        self.ros1 = kind == "ros1"
        self.store = ROS1 if self.ros1 else ROS2

    def make(self, name: str, **fields: Any) -> Any:
        package, kind = name.split("/")
        return self.store.types[f"{package}/msg/{kind}"](**fields)

    def header(self, stamp: int, frame: str) -> Any:
        sec, nanosec = divmod(stamp, SECOND)
        more = {"seq": 7} if self.ros1 else {}
        time = self.make("builtin_interfaces/Time", sec=sec, nanosec=nanosec)
        return self.make("std_msgs/Header", stamp=time, frame_id=frame, **more)

    def image(
        self, stamp: int, data: np.ndarray, encoding: str, width: int, height: int, step: int,
        big: int = 0, frame: str = "camera",
    ) -> Any:  # fmt: skip
        return self.make(
            "sensor_msgs/Image", header=self.header(stamp, frame), height=height, width=width,
            encoding=encoding, is_bigendian=big, step=step,
            data=np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8),
        )  # fmt: skip

    def rgb(self, stamp: int, pixels: np.ndarray, frame: str = "camera") -> Any:
        height, width = pixels.shape[:2]
        return self.image(stamp, pixels, "rgb8", width, height, width * 3, frame=frame)

    def compressed(self, stamp: int, data: bytes, text: str) -> Any:
        return self.make(
            "sensor_msgs/CompressedImage", header=self.header(stamp, "camera"), format=text,
            data=np.frombuffer(data, np.uint8),
        )  # fmt: skip

    def pose(self, x: float, y: float, yaw: float, z: float = 0.0) -> Any:
        return self.make(
            "geometry_msgs/Pose",
            position=self.make("geometry_msgs/Point", x=x, y=y, z=z),
            orientation=self.turned(yaw),
        )

    def turned(self, yaw: float) -> Any:
        half = yaw / 2
        return self.make(
            "geometry_msgs/Quaternion", x=0.0, y=0.0, z=math.sin(half), w=math.cos(half)
        )

    def odometry(self, stamp: int, x: float, y: float, yaw: float, spread: float = 0.0) -> Any:
        vector = self.make("geometry_msgs/Vector3", x=0.0, y=0.0, z=0.0)
        twist = self.make("geometry_msgs/Twist", linear=vector, angular=vector)
        return self.make(
            "nav_msgs/Odometry", header=self.header(stamp, "odom"), child_frame_id="base_link",
            pose=self.with_covariance(x, y, yaw, spread),
            twist=self.make(
                "geometry_msgs/TwistWithCovariance", twist=twist, covariance=np.zeros(36)
            ),
        )  # fmt: skip

    def with_covariance(self, x: float, y: float, yaw: float, spread: float) -> Any:
        return self.make(
            "geometry_msgs/PoseWithCovariance", pose=self.pose(x, y, yaw),
            covariance=np.full(36, spread),
        )  # fmt: skip

    def transform(self, stamp: int, parent: str, child: str, x: float, y: float, yaw: float) -> Any:
        return self.make(
            "geometry_msgs/TransformStamped", header=self.header(stamp, parent),
            child_frame_id=child,
            transform=self.make(
                "geometry_msgs/Transform",
                translation=self.make("geometry_msgs/Vector3", x=x, y=y, z=0.0),
                rotation=self.turned(yaw),
            ),
        )  # fmt: skip

    def tf(self, *transforms: Any) -> Any:
        return self.make("tf2_msgs/TFMessage", transforms=list(transforms))


def write_bag(
    path: Path,
    kind: str,
    rows: Iterable[tuple[str, int, Any]],
    packed: str | None = None,
    spoil: tuple[int, ...] = (),
) -> Path:
    """A bag with (topic, received, message) rows, some of them spoiled; returns what to open."""
    ros1 = kind == "ros1"
    store = ROS1 if ros1 else ROS2
    if ros1:
        writer: Any = Writer1(path.with_suffix(".bag"))
    else:
        plugin = StoragePlugin.MCAP if kind == "mcap" else StoragePlugin.SQLITE3
        writer = Writer(path, version=9, storage_plugin=plugin)
    if packed and ros1:
        writer.set_compression(Writer1.CompressionFormat[packed])
    elif packed:
        writer.set_compression(CompressionMode[packed], CompressionFormat.ZSTD)
    connections: dict[str, Any] = {}
    with writer:
        for i, (topic, received, message) in enumerate(rows):
            name = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, name, typestore=store)
            pack = store.serialize_ros1 if ros1 else store.serialize_cdr
            data = pack(message, name)
            writer.write(connections[topic], received, data[:30] if i in spoil else data)
    return path.with_suffix(".bag") if ros1 else path


def pixels(i: int, height: int = 6, width: int = 8) -> np.ndarray:
    """(height, width, 3) uint8: any picture, another for each i."""
    return np.random.default_rng(i).integers(0, 256, (height, width, 3), dtype=np.uint8)


def drive(path: Path, kind: str, count: int = 12) -> SimpleNamespace:
    """A robot that drives 0.1 m a tenth of a second along x and turns 0.05 rad, with images.

    Images are taken at 10 Hz, 20 ms after the odometry, and received 3 ms later.
    """
    made = Messages(kind)
    rows, stamps = [], []
    static = made.tf(made.transform(0, "base_link", "camera", 0.2, 0.0, 0.0))
    rows.append(("/tf_static", START, static))
    for i in range(count + 1):
        stamp = START + i * SECOND // 10
        rows.append(("/odom", stamp + 1, made.odometry(stamp, 0.1 * i, 0.0, 0.05 * i)))
        moved = made.transform(stamp, "odom", "base_link", 0.1 * i, 0.0, 0.05 * i)
        rows.append(("/tf", stamp + 2, made.tf(moved)))
        if i < count:
            stamps.append(stamp + 20_000_000)
            image = made.rgb(stamps[-1], pixels(i))
            rows.append(("/camera/image_raw", stamps[-1] + 3_000_000, image))
    return SimpleNamespace(path=write_bag(path, kind, rows), stamps=stamps, count=count)
