"""Evaluations: encoders and matchers on data sets, every run with its protocol, in a folder."""

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
from placememory.evaluation.plan import Run, runs_of
from placememory.evaluation.runner import Outcome, evaluate
from placememory.evaluation.tables import RunSummary, compare, finished_runs, write_overall
from placememory.evaluation.window_runner import evaluate_sequences

__all__ = [
    "DatasetConfig",
    "EncoderConfig",
    "Evaluation",
    "MatcherConfig",
    "Outcome",
    "Pair",
    "Pipeline",
    "Run",
    "RunSummary",
    "SequenceEvaluation",
    "Settings",
    "compare",
    "evaluate",
    "evaluate_sequences",
    "finished_runs",
    "read_casevpr",
    "read_evaluation",
    "read_sequence_evaluation",
    "runs_of",
    "write_overall",
]
