"""The files of a run: configuration, a row for each frame, metrics, figures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from placememory._io import read_json, replacing, write_csv, write_json
from placememory._types import Rows
from placememory._version import __version__
from placememory.errors import InputError
from placememory.evaluation.batch_audit import MARK, AuditMode, BatchAudit
from placememory.evaluation.content import Content, describe_code
from placememory.evaluation.plan import Question, Run
from placememory.evaluation.score import COLUMNS, Scores
from placememory.evaluation.windows import WindowScores

METRICS, CONFIG, FRAMES = "metrics.json", "run.json", "frames.csv"
PREDICTIONS, PAGE, RETRIEVED = "predictions.json", "failures.html", "retrieval.npz"


def is_done(folder: Path) -> bool:
    """Whether a run is there and whole: its metrics are written last."""
    return (folder / METRICS).is_file()


def is_current(folder: Path, content: Content, audit: AuditMode = "auto") -> bool:
    """Whether a run is there, whole, and still holds: all it depends on is as it was.

    A run without the batch audit that is asked for does not hold.
    """
    if content.key is None or not is_done(folder):
        return False
    try:
        metrics = read_run(folder)[1]
    except InputError:  # damaged: it is run again
        return False
    due = audit == "all" or (audit == "auto" and not metrics.get("batch_invariant", True))
    return metrics.get("content") == content.key and (not due or "batch_audit" in metrics)


@dataclass(frozen=True, slots=True)
class About:
    """What the files of a run say beside its numbers.

    Attributes:
        batch_invariant: Whether the cards of all encoders say that there is none.
        audits: Batch audits that were made.
        command: What made the run.
        descriptors: Digests of the descriptors of ``map`` and ``query``.
    """

    batch_invariant: bool = True
    audits: tuple[BatchAudit, ...] = ()
    command: str = ""
    descriptors: tuple[str, str] = ("", "")

    def mark(self, title: str) -> str:
        """A title, marked where recall moves with the batch."""
        return f"{title} {MARK}" if any(audit.moves for audit in self.audits) else title

    def to_dict(self) -> dict[str, Any]:
        """As ``metrics.json`` has it."""
        audits = {"batch_audit": [audit.to_dict() for audit in self.audits]} if self.audits else {}
        digests = dict(zip(("map", "query"), self.descriptors, strict=True))
        return {"batch_invariant": self.batch_invariant, **audits, "descriptors": digests}


def write_run(
    run: Run,
    output: Path,
    scores: Scores,
    content: Content,
    *,
    figures: bool,
    about: About = About(),
) -> Path:
    """Write the folder of an online run.

    Args:
        run: What was run.
        output: Folder of all runs.
        scores: Its answers beside the truth.
        content: What they depend on.
        figures: Whether to draw.
        about: What its files say beside its numbers.

    Returns:
        The folder: ``run.json``, ``frames.csv``, figures, and ``metrics.json``, written last.

    Raises:
        PlaceMemoryError: The folder cannot be written to.
        MissingExtraError: Figures are asked for, and Matplotlib is not installed.
    """
    folder = output / run.folder
    found = scores.metrics(run.dataset, run.settings.protocol)
    _begin(run, folder, content, about.command)
    write_csv(folder / FRAMES, COLUMNS, scores.rows())
    if scores.answers.retrieved is not None:
        _write_retrieved(folder / RETRIEVED, scores.answers.retrieved)
    if figures:
        _draw(folder, run, scores, found, about)
    write_json(folder / METRICS, {**_facts(run, scores, found, content), **about.to_dict()})
    return folder


def write_windows(
    run: Run,
    output: Path,
    question: Question,
    scores: WindowScores,
    content: Content,
    *,
    page: bool,
    about: About = About(),
) -> Path:
    """Write the folder of a run over windows.

    Returns:
        The folder: ``run.json``, ``predictions.json``, a page of failures, and ``metrics.json``.

    Raises:
        PlaceMemoryError: The folder cannot be written to.
    """
    folder, query, database = output / run.folder, question.query, question.reference
    _begin(run, folder, content, about.command)
    write_json(folder / PREDICTIONS, scores.predictions(query, database))
    if page:
        from placememory.figures import ShownWindow, write_sequence_page

        found = scores.found
        first = scores.results[run.settings.strategies[0]]
        write_sequence_page(
            folder / PAGE,
            title=about.mark(run.title),
            summary=[(f"recall@{k}", r.percent(), "") for k, r in first.recalls.items()],
            notes=[first.protocol],
            windows=[
                ShownWindow(
                    query=[query.frames[row] for row in found.query.frames[i]],
                    found=[
                        database.frames[row] for row in found.database.frames[found.ranked[i, 0]]
                    ],
                    distance=float(found.distances[i, 0]),
                    right=bool(scores.correct[i]),
                    has_match=bool(scores.on_map[i]),
                )
                for i in range(len(found.query))
            ],
        )
    write_json(
        folder / METRICS,
        {
            "title": run.title,
            "written": _now(),
            "content": content.key,
            "windows": len(scores.found.query),
            "database_windows": len(scores.found.database),
            "strategies": {name: result.to_dict() for name, result in scores.results.items()},
            **about.to_dict(),
        },
    )
    return folder


def read_run(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Configuration and metrics of a run.

    Raises:
        InputError: The folder holds no whole run.
    """
    try:
        config, metrics = (read_json(folder / name, InputError) for name in (CONFIG, METRICS))
    except InputError as error:
        raise InputError(f"{folder}: this is no finished run ({error})") from error
    return config, metrics


def _write_retrieved(path: Path, retrieved: list[tuple[int, Rows]]) -> None:
    """``frames`` (W,) and ``paths`` (W, K, T) int64 rows of the reference, -1 where there is none.

    Best first, the newest frame last in each.
    """
    shape = np.max([rows.shape for _, rows in retrieved], axis=0) if retrieved else (0, 0)
    paths = np.full((len(retrieved), *shape), -1, np.int64)
    for i, (_, rows) in enumerate(retrieved):
        paths[i, : len(rows)] = rows
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, frames=[frame for frame, _ in retrieved], paths=paths)


def _begin(run: Run, folder: Path, content: Content, command: str) -> None:
    """Take back the end of an older run, so that a cut is no whole run, and say what is run."""
    (folder / METRICS).unlink(missing_ok=True)
    facts = {
        "weights": content.weights,
        "software": f"placememory {__version__}",
        "code": describe_code(),
        "command": command,
    }
    write_json(folder / CONFIG, {**run.to_dict(), **facts})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _facts(run: Run, scores: Scores, found: dict[str, Any], content: Content) -> dict[str, Any]:
    answers, question = scores.answers, scores.question
    facts: dict[str, Any] = {
        "title": run.title,
        "written": _now(),
        "content": content.key,
        "queries": len(answers),
        "queries_warming_up": answers.skipped.count("warming-up"),
        "queries_map_too_small": answers.skipped.count("map-too-small"),
        "queries_with_a_true_match": int(scores.on_map.sum()),
        "queries_not_counted": int((~question.counted).sum()),
        "places": len(question.rows),
        "ms_per_frame_without_encoders": round(1e3 * answers.seconds / max(1, len(answers)), 3),
        "recall_at_1": scores.recall_at_1(),
        "score_kind": answers.score_kind,
        **{name: result.to_dict() for name, result in found.items()},
    }
    if answers.estimates:
        facts["queries_in_the_map"] = sum(e.in_memory is not None for e in answers.estimates)
    if answers.published is not None:  # the published code's own count, made into its tables
        names = ("true_positives", "false_positives", "true_negatives", "false_negatives")
        facts["published_counts"] = dict(zip(names, answers.published, strict=True))
    return facts


def _draw(folder: Path, run: Run, scores: Scores, found: dict[str, Any], about: About) -> None:
    from placememory import figures

    title = about.mark(run.title)
    rows = np.where(scores.answers.rows >= 0, scores.question.rows[scores.answers.rows], -1)
    flags = (scores.correct & scores.on_map, scores.answers.answered, scores.on_map)
    path = figures.draw_sequence(rows, *flags, title=title)
    figures.save(path, folder / "matches.png")
    curve = figures.draw_result(found["precision_recall"], title=title)
    figures.save(curve, folder / "precision-recall.png")
    if "located" in found:
        reliability = figures.draw_reliability({about.mark(run.system_name): found["located"]})
        figures.save(reliability, folder / "reliability.png")
