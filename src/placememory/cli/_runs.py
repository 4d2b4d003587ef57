"""Finished runs as rows of a table."""

from __future__ import annotations

from typing import Any

from placememory.experiments import RunSummary

COLUMNS = (
    "data set", "map", "query", "pipeline", "precision %", "R@1 %", "95%", "AP %",
    "R@100%P %", "window %", "ms", "queries", "no match",
)  # fmt: skip


def summary_row(run: RunSummary) -> list[Any]:
    """What people compare, with the interval of recall@1 and the counts."""
    name, reference, query, _, _ = run.question
    metrics = run.metrics
    tp, fp, _, _ = run.counts
    recall = metrics["recall_at_1"]
    curve, windows = metrics["precision_recall"], metrics.get("correspondence")
    return [
        name,
        reference,
        query,
        run.answerer,
        _percent(tp / max(1, tp + fp)),
        _percent(recall["value"]),
        f"{_percent(recall['low'])} to {_percent(recall['high'])}",
        _percent(curve["average_precision"]["value"]),
        _percent(curve["recall_at_full_precision"]),
        None if windows is None else _percent(windows["window_precision"]["value"]),
        metrics["ms_per_query_without_encoders"],
        metrics["queries"],
        metrics["queries"] - metrics["queries_with_a_true_match"],
    ]


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.1f}"
