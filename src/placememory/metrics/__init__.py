"""Metrics: fed step by step, computed at any time; each number with its protocol and interval."""

from placememory.metrics.alignment import FrameCheck, check_frames
from placememory.metrics.bootstrap import Interval, block_bootstrap, bootstrap_groups, wilson
from placememory.metrics.correspondence import (
    CorrespondencePrecision,
    CorrespondencePrecisionResult,
)
from placememory.metrics.coverage import Coverage, CoverageResult, pose_error
from placememory.metrics.curves import PrecisionRecall, PrecisionRecallResult
from placememory.metrics.decisions import MatchDecisions, MatchDecisionsResult
from placememory.metrics.located import LocatedFrames, LocatedResult, ReliabilityBin
from placememory.metrics.paired import PairedDifference, PairedDifferenceResult
from placememory.metrics.pose_errors import PoseErrors, PoseErrorsResult
from placememory.metrics.recall import Recall, RecallResult
from placememory.metrics.sequences import SequenceWindows, build_windows, sequence_truth
from placememory.metrics.truth import DEFAULT_RADIUS, GroundTruth, Outcome, is_correct

__all__ = [
    "DEFAULT_RADIUS",
    "CorrespondencePrecision",
    "CorrespondencePrecisionResult",
    "Coverage",
    "CoverageResult",
    "FrameCheck",
    "GroundTruth",
    "Interval",
    "LocatedFrames",
    "LocatedResult",
    "MatchDecisions",
    "MatchDecisionsResult",
    "Outcome",
    "PairedDifference",
    "PairedDifferenceResult",
    "PoseErrors",
    "PoseErrorsResult",
    "PrecisionRecall",
    "PrecisionRecallResult",
    "Recall",
    "RecallResult",
    "ReliabilityBin",
    "SequenceWindows",
    "block_bootstrap",
    "bootstrap_groups",
    "build_windows",
    "check_frames",
    "is_correct",
    "pose_error",
    "sequence_truth",
    "wilson",
]
