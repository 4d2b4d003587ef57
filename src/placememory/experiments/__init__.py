"""Evaluations: encoders and matchers on data sets, every run with its protocol, in a folder."""

from placememory.experiments._config import (
    DatasetConfig,
    EncoderConfig,
    Evaluation,
    MatcherConfig,
    Pair,
    Pipeline,
    Settings,
    read_evaluation,
)
from placememory.experiments._plan import Run, runs_of
from placememory.experiments._runner import Outcome, evaluate
from placememory.experiments._table import RunSummary, compare, finished_runs, write_overall
from placememory.experiments._window_config import (
    SequenceEvaluation,
    read_sequence_evaluation,
)
from placememory.experiments._window_runner import evaluate_sequences
from placememory.experiments.casevpr_json import read_casevpr

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
