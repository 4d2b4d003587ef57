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
from placememory.evaluation.data_audit import DataAudit, Finding, audit_data
from placememory.evaluation.plan import Run, RunReport, runs_of
from placememory.evaluation.runner import evaluate
from placememory.evaluation.tables import (
    EvaluationTable,
    PooledRuns,
    RunSummary,
    compare,
    finished_runs,
    pool_runs,
    write_overall,
)

__all__ = [
    "AuditMode",
    "BatchAudit",
    "DataAudit",
    "DatasetConfig",
    "EncoderConfig",
    "Evaluation",
    "EvaluationTable",
    "Finding",
    "MatcherConfig",
    "Pair",
    "PooledRuns",
    "Positives",
    "Run",
    "RunReport",
    "RunSummary",
    "Settings",
    "System",
    "audit_batches",
    "audit_data",
    "compare",
    "describe_audit",
    "evaluate",
    "finished_runs",
    "pool_runs",
    "read_evaluation",
    "read_window_evaluation",
    "runs_of",
    "write_overall",
]
