"""Pose files: one reader per format, one file per reader.

Every reader module has ``matches(path, head)``, which tells from the name and the first lines
whether a file has its format, and ``read(path)``, which returns a :class:`PoseTable`.
"""

from placememory.frames.poses._read import formats, read_poses
from placememory.frames.poses._table import JoinReport, PoseRecord, PoseTable

__all__ = ["JoinReport", "PoseRecord", "PoseTable", "formats", "read_poses"]
