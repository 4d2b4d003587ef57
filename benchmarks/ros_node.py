"""What the ROS 2 node adds to the Localizer's own time, and whether its memory grows.

A map of 10,000 places with the default encoder's descriptors of the sample building, frames of
640x480 from another process with their odometry. Needs a Python with rclpy (``make ros``):

    OMP_NUM_THREADS=1 .venv-ros/bin/python benchmarks/ros_node.py SAMPLE --frames 10000

SAMPLE is a folder that ``placememory demo`` has written.
"""

from __future__ import annotations

import argparse
import array
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from PIL import Image as Picture
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from placememory import Frame, PlaceMemory, Pose, build
from placememory.frames import list_frames, read_poses

PLACES, WARM = 10_000, 50


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sample", type=Path)
    parser.add_argument("--frames", type=int, default=1000)
    options = parser.parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", "91")
    with tempfile.TemporaryDirectory() as folder:
        memory = Path(folder) / "large.memory"
        write_memory(options.sample / "mapping", memory)
        command = [sys.executable, "-m", "placememory", "ros", str(memory)]
        command += ["--set", "verify=false", "--set", "camera.reliable=true"]
        node = subprocess.Popen(command)
        try:
            drive(options.sample / "query", node.pid, options.frames)
        finally:
            node.terminate()
            node.wait()


def write_memory(run: Path, out: Path) -> None:
    """The mapping run, and between and beside it as many made places as are wanted."""
    frames, _ = read_poses(run / "vertices.csv").join(list_frames(run))
    build(out, frames).close()
    rng = np.random.default_rng(0)
    with PlaceMemory.open(out) as memory:
        rows = memory.rows.descriptors
        count = PLACES - len(memory)
        first = rng.integers(0, len(rows) - 1, count)
        share = rng.random((count, 1))
        made = (1 - share) * rows[first] + share * rows[first + 1]
        made += 0.6 / np.sqrt(rows.shape[1]) * rng.standard_normal(made.shape)
        memory.add(
            [Frame(f"{i}", "made", i, pose=Pose(200.0 + 0.5 * i, 0.0)) for i in range(count)],
            made.astype(np.float32),
        )


def drive(run: Path, process: int, count: int) -> None:
    """Show frames one after the other, and compare the times."""
    frames, _ = read_poses(run / "vertices.csv").join(list_frames(run))
    pictures = [np.asarray(Picture.fromarray(f.image()).resize((640, 480))) for f in frames]
    rclpy.init()
    node = Node("benchmark")
    answered: list[float] = []
    told: dict[str, str] = {}
    node.create_subscription(
        PoseArray, "/placememory/candidates", lambda _: answered.append(time.monotonic()), 10
    )
    node.create_subscription(PoseWithCovarianceStamped, "/placememory/pose", lambda _: None, 10)

    def learn(message: object) -> None:
        told.update({v.key: v.value for v in message.status[0].values})  # type: ignore[attr-defined]

    node.create_subscription(DiagnosticArray, "/diagnostics", learn, 10)
    camera = node.create_publisher(Image, "image_raw", 1)  # reliable
    wheels = node.create_publisher(Odometry, "odom", qos_profile_sensor_data)
    while not (
        camera.get_subscription_count() and node.count_publishers("/placememory/candidates")
    ):
        rclpy.spin_once(node, timeout_sec=0.1)
    spent, held = [], []
    for i in range(count):
        frame, picture = frames[i % len(frames)], pictures[i % len(frames)]
        message = Image(height=480, width=640, encoding="rgb8", step=1920)
        message.data = array.array("B", picture.tobytes())  # bytes are checked one by one
        stamp = 10**9 + i * 10**8
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        moved = Odometry()
        moved.header.stamp, moved.header.frame_id = message.header.stamp, "odom"
        assert frame.pose is not None
        moved.pose.pose.position.x, moved.pose.pose.position.y = frame.pose.x, frame.pose.y
        x, y, z, w = frame.pose.quaternion or (0.0, 0.0, 0.0, 1.0)
        turned = moved.pose.pose.orientation
        turned.x, turned.y, turned.z, turned.w = x, y, z, w
        seen = len(answered)
        wheels.publish(moved)
        begin = time.monotonic()
        camera.publish(message)
        while len(answered) == seen and time.monotonic() - begin < 1:
            rclpy.spin_once(node, timeout_sec=0.01)
        if len(answered) > seen:
            spent.append(1e3 * (answered[-1] - begin))
        if i in (count // 10, count - 1):
            held.append(megabytes(process))
    while "latency ms" not in told:
        rclpy.spin_once(node, timeout_sec=0.1)
    end = statistics.median(spent[WARM:])
    own = float(told["of it the localizer ms"])
    print(
        f"{len(spent)} of {count} frames answered; image in to answer out {end:.1f} ms (median), "
        f"the localizer's own {own:.1f} ms, in the node {told['latency ms']} ms; "
        f"memory after a tenth of the frames {held[0]:.0f} MB, at the end {held[-1]:.0f} MB"
    )
    rclpy.shutdown()


def megabytes(process: int) -> float:
    """Memory that a process holds."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    main()
