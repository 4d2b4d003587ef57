"""ROS bags: frames, poses and odometry of rosbag2 (SQLite, MCAP) and ROS 1 recordings.

What follows the data comes from the package ``rosbags``; no ROS is needed.
"""

from placememory.frames.bags.images import list_bag, stream_bag
from placememory.frames.bags.open import IMAGE_TYPES, BagInfo, BagTopic, OpenBag, read_bag_info
from placememory.frames.bags.poses import (
    bag_to_join,
    pose_topics,
    read_bag_poses,
    read_bag_transform,
)
from placememory.frames.bags.storage import find_bag, is_bag

__all__ = [
    "IMAGE_TYPES",
    "BagInfo",
    "BagTopic",
    "OpenBag",
    "bag_to_join",
    "find_bag",
    "is_bag",
    "list_bag",
    "pose_topics",
    "read_bag_info",
    "read_bag_poses",
    "read_bag_transform",
    "stream_bag",
]
