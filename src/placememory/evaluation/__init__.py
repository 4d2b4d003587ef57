"""Evaluations: systems on data sets, run by the Localizer, each run in a folder of its own."""

from placememory.evaluation.batch_audit import (
    AuditMode,
    BatchAudit,
    audit_batches,
    describe_audit,
)
from placememory.evaluation.config import (
    DatasetConfig,
    EncoderConfig,
    Evaluation,
    MatcherConfig,
    Pair,
    Positives,
    Settings,
    System,
    read_evaluation,
    read_window_evaluation,
)
from placememory.evaluation.plan import Run, RunReport, runs_of
from placememory.evaluation.runner import evaluate
from placememory.evaluation.tables import (
    EvaluationTable,
    RunSummary,
    compare,
    finished_runs,
    write_overall,
)

__all__ = [
    "AuditMode",
    "BatchAudit",
    "DatasetConfig",
    "EncoderConfig",
    "Evaluation",
    "EvaluationTable",
    "MatcherConfig",
    "Pair",
    "Positives",
    "Run",
    "RunReport",
    "RunSummary",
    "Settings",
    "System",
    "audit_batches",
    "compare",
    "describe_audit",
    "evaluate",
    "finished_runs",
    "read_evaluation",
    "read_window_evaluation",
    "runs_of",
    "write_overall",
]
