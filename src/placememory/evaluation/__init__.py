"""Measures of how right the answers are; each number comes with its protocol and interval."""

from placememory.evaluation.alignment import FrameCheck, check_frames
from placememory.evaluation.bootstrap import Interval, block_bootstrap
from placememory.evaluation.correspondence import (
    CorrespondencePrecision,
    CorrespondencePrecisionResult,
)
from placememory.evaluation.curves import PrecisionRecall, PrecisionRecallResult
from placememory.evaluation.decisions import MatchDecisions, MatchDecisionsResult
from placememory.evaluation.located import LocatedFrames, LocatedResult, ReliabilityBin
from placememory.evaluation.metrics import PlaceRecall, RecallResult
from placememory.evaluation.paired import PairedDifference, PairedDifferenceResult
from placememory.evaluation.pose_errors import PoseErrors, PoseErrorsResult
from placememory.evaluation.recall import RetrievalRecall, RetrievalRecallResult
from placememory.evaluation.sequences import (
    SequenceRecall,
    SequenceRecallResult,
    SequenceWindows,
    build_windows,
    sequence_positives,
)

__all__ = [
    "CorrespondencePrecision",
    "CorrespondencePrecisionResult",
    "FrameCheck",
    "Interval",
    "LocatedFrames",
    "LocatedResult",
    "MatchDecisions",
    "MatchDecisionsResult",
    "PairedDifference",
    "PairedDifferenceResult",
    "PlaceRecall",
    "PoseErrors",
    "PoseErrorsResult",
    "PrecisionRecall",
    "PrecisionRecallResult",
    "RecallResult",
    "ReliabilityBin",
    "RetrievalRecall",
    "RetrievalRecallResult",
    "SequenceRecall",
    "SequenceRecallResult",
    "SequenceWindows",
    "block_bootstrap",
    "build_windows",
    "check_frames",
    "sequence_positives",
]
