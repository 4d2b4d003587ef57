"""The files of a run: configuration, a row for each frame, metrics, figures."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from placememory._io import write_csv, write_json
from placememory._version import __version__
from placememory.datasets import Traverse
from placememory.errors import InputError
from placememory.evaluation.match import Matched
from placememory.evaluation.plan import Run
from placememory.evaluation.score import COLUMNS, FrameScores, metrics_of, score_frames
from placememory.metrics.bootstrap import block_bootstrap

METRICS, CONFIG, FRAMES = "metrics.json", "run.json", "frames.csv"


def is_done(folder: Path) -> bool:
    """Whether a run is there and whole: its metrics are written last."""
    return (folder / METRICS).is_file()


def write_run(
    run: Run, output: Path, reference: Traverse, query: Traverse, matched: Matched, *, figures: bool
) -> Path:
    """Score a run and write its folder.

    Args:
        run: What was run.
        output: Folder of all runs.
        reference: Traverse of the map.
        query: Traverse of the queries.
        matched: What the pipeline gave.
        figures: Whether to draw.

    Returns:
        The folder: ``run.json``, ``frames.csv``, figures, and ``metrics.json``, written last.

    Raises:
        PlaceMemoryError: The folder cannot be written to.
        MissingExtraError: Figures are asked for, and Matplotlib is not installed.
    """
    folder = output / run.folder
    query = _answered(query, len(matched.results))
    scores = score_frames(
        matched.results,
        reference,
        query,
        run.dataset.radius,
        ground_truth=run.settings.ground_truth,
        searchable=matched.searchable,
    )
    found = metrics_of(
        scores,
        matched.results,
        reference,
        query,
        radius=run.dataset.radius,
        radii=run.dataset.radii,
        protocol=run.settings.protocol,
    )
    write_json(folder / CONFIG, {**run.to_dict(), "software": f"placememory {__version__}"})
    write_csv(folder / FRAMES, COLUMNS, scores.rows(reference, query))
    if figures:
        _draw(folder, run, scores, found)
    write_json(folder / METRICS, _facts(run, scores, matched, found))
    return folder


def read_run(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Configuration and metrics of a run.

    Raises:
        InputError: The folder holds no whole run.
    """
    try:
        texts = [(folder / name).read_text(encoding="utf-8") for name in (CONFIG, METRICS)]
        config, metrics = (json.loads(text) for text in texts)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: this is no finished run ({error})") from error
    return config, metrics


def _answered(query: Traverse, count: int) -> Traverse:
    """The frames for which there are results: all, but where the published code stops early."""
    if count == len(query):
        return query
    tolerances = None if query.tolerances is None else query.tolerances[:count]
    return Traverse(
        query.name,
        query.frames[:count],
        query.positions[:count],
        query.unit,
        query.frame_numbers[:count],
        tolerances,
    )


def _facts(
    run: Run, scores: FrameScores, matched: Matched, found: dict[str, Any]
) -> dict[str, Any]:
    results = matched.results
    warming = scores.skipped.count("warming-up")
    facts: dict[str, Any] = {
        "title": run.title,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "queries": len(results),
        "queries_warming_up": warming,
        "queries_with_a_true_match": int(scores.has_match.sum()),
        "ms_per_query_without_encoders": round(1e3 * matched.seconds / max(1, len(results)), 3),
        "recall_at_1": _recall(scores),
        "score_kind": next((r.match.score_kind for r in results if r.match), None),
        **{name: result.to_dict() for name, result in found.items()},
    }
    if matched.counts is not None:  # the published code's own count, which the tables are made of
        names = ("true_positives", "false_positives", "true_negatives", "false_negatives")
        facts["published_counts"] = dict(zip(names, matched.counts, strict=True))
    return facts


def _recall(scores: FrameScores) -> dict[str, Any]:
    """Share of the searched frames with a true match whose best answer is right."""
    counted = scores.searched & scores.has_match
    found = block_bootstrap(scores.right[counted].astype(np.float64))
    return {"counted": int(counted.sum()), **found.to_dict()}


def _draw(folder: Path, run: Run, scores: FrameScores, found: dict[str, Any]) -> None:
    from placememory import figures

    flags = (scores.right, scores.accepted, scores.has_match)
    path = figures.draw_sequence(scores.reference, *flags, title=run.title)
    figures.save(path, folder / "matches.png")
    curve = figures.draw_result(found["precision_recall"], title=run.title)
    figures.save(curve, folder / "precision-recall.png")
