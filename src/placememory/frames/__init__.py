"""Frames and poses: images with poses and stamps, from folders, videos, cameras and bags."""

from placememory.frames.bags import (
    BagInfo,
    list_bag,
    read_bag_info,
    read_bag_poses,
    read_bag_transform,
    stream_bag,
)
from placememory.frames.frame import Frame, FrameImages, Image
from placememory.frames.geographic import Origin, change_origin, fit_origin, local_poses
from placememory.frames.images import as_frame, as_rgb, map_ahead, read_ahead, read_image
from placememory.frames.keyframes import sample_evenly, select_keyframes
from placememory.frames.levels import Levels, measure_levels
from placememory.frames.pose import Pose, read_transform
from placememory.frames.poses import JoinReport, PoseRecord, PoseTable, read_poses
from placememory.frames.selection import FrameSelection, log_join
from placememory.frames.sources import list_frames, resolve_frames
from placememory.frames.trajectory import PoseTrack, RelativeMotion, Trajectory

__all__ = [
    "BagInfo",
    "Frame",
    "FrameImages",
    "FrameSelection",
    "Image",
    "JoinReport",
    "Levels",
    "Origin",
    "Pose",
    "PoseRecord",
    "PoseTable",
    "PoseTrack",
    "RelativeMotion",
    "Trajectory",
    "as_frame",
    "as_rgb",
    "change_origin",
    "fit_origin",
    "list_bag",
    "list_frames",
    "local_poses",
    "log_join",
    "map_ahead",
    "measure_levels",
    "read_ahead",
    "read_bag_info",
    "read_bag_poses",
    "read_bag_transform",
    "read_image",
    "read_poses",
    "read_transform",
    "resolve_frames",
    "sample_evenly",
    "select_keyframes",
    "stream_bag",
]
