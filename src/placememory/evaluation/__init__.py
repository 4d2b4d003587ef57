"""Measures of how right the answers are; each number comes with its protocol and interval."""

from placememory.evaluation.alignment import FrameCheck, check_frames
from placememory.evaluation.bootstrap import Interval, block_bootstrap
from placememory.evaluation.metrics import PlaceRecall, RecallResult

__all__ = [
    "FrameCheck",
    "Interval",
    "PlaceRecall",
    "RecallResult",
    "block_bootstrap",
    "check_frames",
]
