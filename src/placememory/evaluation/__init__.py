"""Measures of how right the answers are; each number comes with its protocol and interval."""

from placememory.evaluation.alignment import FrameCheck, check_frames
from placememory.evaluation.casevpr_json import read_casevpr
from placememory.evaluation.config import (
    DatasetConfig,
    EncoderConfig,
    Evaluation,
    MatcherConfig,
    Pair,
    Pipeline,
    SequenceEvaluation,
    Settings,
    read_evaluation,
    read_sequence_evaluation,
)
from placememory.evaluation.metrics.bootstrap import Interval, block_bootstrap
from placememory.evaluation.metrics.correspondence import (
    CorrespondencePrecision,
    CorrespondencePrecisionResult,
)
from placememory.evaluation.metrics.curves import PrecisionRecall, PrecisionRecallResult
from placememory.evaluation.metrics.decisions import MatchDecisions, MatchDecisionsResult
from placememory.evaluation.metrics.located import LocatedFrames, LocatedResult, ReliabilityBin
from placememory.evaluation.metrics.paired import PairedDifference, PairedDifferenceResult
from placememory.evaluation.metrics.place_recall import PlaceRecall, RecallResult
from placememory.evaluation.metrics.pose_errors import PoseErrors, PoseErrorsResult
from placememory.evaluation.metrics.recall import RetrievalRecall, RetrievalRecallResult
from placememory.evaluation.metrics.sequences import (
    SequenceRecall,
    SequenceRecallResult,
    SequenceWindows,
    build_windows,
    sequence_positives,
)
from placememory.evaluation.plan import Run, runs_of
from placememory.evaluation.runner import Outcome, evaluate
from placememory.evaluation.tables import RunSummary, compare, finished_runs, write_overall
from placememory.evaluation.window_runner import evaluate_sequences

__all__ = [
    "CorrespondencePrecision",
    "CorrespondencePrecisionResult",
    "DatasetConfig",
    "EncoderConfig",
    "Evaluation",
    "FrameCheck",
    "Interval",
    "LocatedFrames",
    "LocatedResult",
    "MatchDecisions",
    "MatchDecisionsResult",
    "MatcherConfig",
    "Outcome",
    "Pair",
    "PairedDifference",
    "PairedDifferenceResult",
    "Pipeline",
    "PlaceRecall",
    "PoseErrors",
    "PoseErrorsResult",
    "PrecisionRecall",
    "PrecisionRecallResult",
    "RecallResult",
    "ReliabilityBin",
    "RetrievalRecall",
    "RetrievalRecallResult",
    "Run",
    "RunSummary",
    "SequenceEvaluation",
    "SequenceRecall",
    "SequenceRecallResult",
    "SequenceWindows",
    "Settings",
    "block_bootstrap",
    "build_windows",
    "check_frames",
    "compare",
    "evaluate",
    "evaluate_sequences",
    "finished_runs",
    "read_casevpr",
    "read_evaluation",
    "read_sequence_evaluation",
    "runs_of",
    "sequence_positives",
    "write_overall",
]
