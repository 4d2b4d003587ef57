"""Frames and poses: what goes into a place memory, and what is asked of it."""

from placememory.frames._frame import Frame, FrameImages, Image
from placememory.frames._pose import Pose
from placememory.frames.images import read_image
from placememory.frames.poses import JoinReport, PoseRecord, PoseTable, read_poses
from placememory.frames.reading import read_ahead
from placememory.frames.sources import list_frames

__all__ = [
    "Frame",
    "FrameImages",
    "Image",
    "JoinReport",
    "Pose",
    "PoseRecord",
    "PoseTable",
    "list_frames",
    "read_ahead",
    "read_image",
    "read_poses",
]
