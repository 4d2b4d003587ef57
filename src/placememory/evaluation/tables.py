"""Runs side by side: the overall table with CaseVPR's columns, and comparisons of runs."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._io import write_csv
from placememory.errors import InputError
from placememory.evaluation.config import System
from placememory.evaluation.output import FRAMES, is_done, read_run
from placememory.metrics.paired import PairedDifference, PairedDifferenceResult

OVERALL = "overall_results.csv"
COLUMNS = (
    "test_date", "dataset_name", "Loop1_name", "Loop2_name", "frontend_name", "backend_name",
    "pre_name", "loop_number", "additional_info", "precision", "accuracy", "recall", "nTP", "nFP",
    "nTN", "nFN", "numQ", "pos_dist", "gt", "dist_cos_thres", "folder_name", "rank",
)  # fmt: skip
_TRUTH = {"frame": "s2i", "strict": "s2s_strict", "lax": "s2s_lax"}


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A finished run in a line.

    Attributes:
        folder: Where it is.
        config: As in ``run.json``.
        metrics: As in ``metrics.json``.
    """

    folder: Path
    config: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def question(self) -> tuple[str, str, str, float, str]:
        """What was asked, whoever answers: data set, pair, radius and ground truth."""
        pair, settings = self.config["pair"], self.config["settings"]
        reference = pair["reference"] or pair["query"]
        dataset = self.config["dataset"]
        truth = settings["ground_truth"]
        return dataset["name"], reference, pair["query"], dataset["radius"], truth

    @property
    def system(self) -> str:
        """System and variant."""
        variant = self.config["variant"]
        name = System.model_validate(self.config["system"]).name
        return name + (f" ({variant})" if variant else "")

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """True and false positives, true and false negatives, by the run's protocol."""
        found = self.metrics.get("published_counts") or self.metrics["decisions"]
        names = ("true_positives", "false_positives", "true_negatives", "false_negatives")
        tp, fp, tn, fn = (int(found[name]) for name in names)
        return tp, fp, tn, fn

    def hits(self) -> tuple[list[int], NDArray[np.float64]]:
        """Frames that count and are on the map, and whether each was answered rightly (0 or 1)."""
        with (self.folder / FRAMES).open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["counted"] == "1"]
        counted = [row for row in rows if row["on_map"] == "1"]
        right = [row["correct"] == "1" and row["answered"] == "1" for row in counted]
        return [int(row["frame"]) for row in counted], np.array(right, dtype=np.float64)


def finished_runs(*folders: Path) -> list[RunSummary]:
    """All finished runs in folders, by name; a folder may be a run itself.

    Raises:
        InputError: There is none.
    """
    found: list[RunSummary] = []
    for folder in folders:
        inner = [folder] if is_done(folder) else sorted(p.parent for p in folder.glob("*/run.json"))
        found += [RunSummary(path, *read_run(path)) for path in inner if is_done(path)]
    if not found:
        raise InputError(f"{', '.join(map(str, folders))}: there are no finished runs here")
    return found


def write_overall(output: Path) -> Path:
    """Write the table of all runs, with the columns of CaseVPR's ``overall_results.csv``.

    Precision, accuracy and recall are percent. ``rank`` is by precision among the runs that were
    asked the same; ``pre_name`` is the protocol.

    Raises:
        InputError: There are no runs.
    """
    runs = [run for run in finished_runs(output) if "decisions" in run.metrics]
    groups: dict[Any, list[RunSummary]] = defaultdict(list)
    for run in runs:
        groups[run.question].append(run)
    rows = []
    for members in groups.values():
        ordered = sorted(members, key=lambda run: -_precision(run))
        for run in ordered:
            better = sum(_precision(other) > _precision(run) for other in ordered)
            rows.append([*_row(run), better + 1])
    write_csv(output / OVERALL, COLUMNS, rows)
    return output / OVERALL


def compare(first: RunSummary, second: RunSummary) -> PairedDifferenceResult | None:
    """Paired difference of recall@1 over the frames both searched; ``None`` if there are none."""
    (left, ours), (right, theirs) = first.hits(), second.hits()
    both = sorted(set(left) & set(right))
    if not both:
        return None
    metric = PairedDifference(first.system, second.system)
    positions = [dict(zip(frames, range(len(frames)), strict=True)) for frames in (left, right)]
    metric.update(
        ours[[positions[0][frame] for frame in both]],
        theirs[[positions[1][frame] for frame in both]],
    )
    return metric.compute()


def _precision(run: RunSummary) -> float:
    tp, fp, _, _ = run.counts
    return tp / max(1, tp + fp)


def _row(run: RunSummary) -> list[Any]:
    tp, fp, tn, fn = run.counts
    total = tp + fp + tn + fn
    system, settings = run.config["system"], run.config["settings"]
    name, reference, query, radius, truth = run.question
    both = [system["encoder"], system["sequence"]]
    front = "+".join(dict.fromkeys(part for part in both if part))
    shares = [_precision(run), (tp + tn) / max(1, total), tp / max(1, tp + fn)]
    return [
        run.metrics["written"], name, reference, query, front,
        system["matcher"] or system["fusion"],
        settings["protocol"], 2, run.config["variant"],
        *(round(100 * share, 4) if math.isfinite(share) else None for share in shares),
        tp, fp, tn, fn, total, radius, _TRUTH[truth], settings["keyframe_threshold"],
        run.folder.name,
    ]  # fmt: skip
