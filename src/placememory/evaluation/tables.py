"""Runs side by side: the overall table with CaseVPR's columns, and comparisons of runs."""

from __future__ import annotations

import csv
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._io import write_csv
from placememory._registry import require
from placememory.errors import InputError
from placememory.evaluation.batch_audit import MARK
from placememory.evaluation.config import System
from placememory.evaluation.output import FRAMES, is_done, read_run
from placememory.evaluation.plan import RunReport
from placememory.metrics.bootstrap import Interval, bootstrap_groups
from placememory.metrics.paired import PairedDifference, PairedDifferenceResult

_LOG = logging.getLogger(__name__)
OVERALL = "overall_results.csv"
COLUMNS = (
    "test_date", "dataset_name", "Loop1_name", "Loop2_name", "frontend_name", "backend_name",
    "pre_name", "loop_number", "additional_info", "precision", "accuracy", "recall", "nTP", "nFP",
    "nTN", "nFN", "numQ", "pos_dist", "gt", "dist_cos_thres", "folder_name", "rank",
    "moves_with_batch",
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
        """Data set, pair, radius and ground truth, without the system."""
        pair, settings = self.config["pair"], self.config["settings"]
        reference = pair["reference"] or pair["query"]
        dataset = self.config["dataset"]
        truth = settings["ground_truth"]
        return dataset["name"], reference, pair["query"], dataset["radius"], truth

    @property
    def variant(self) -> str:
        """Name of the settings; ``""`` for the evaluation's own."""
        return str(self.config["variant"])

    @property
    def plain_system(self) -> str:
        """System, whatever the variant."""
        return System.model_validate(self.config["system"]).name

    @property
    def system(self) -> str:
        """System and variant."""
        return self.plain_system + (f" ({self.variant})" if self.variant else "")

    @property
    def audits(self) -> list[dict[str, Any]]:
        """Batch audits of its encoders; see :class:`BatchAudit`."""
        return list(self.metrics.get("batch_audit", []))

    @property
    def moves(self) -> bool | None:
        """Whether recall moves with the batch; ``None`` where that is not known.

        Known to be ``False`` where the cards say that descriptors do not depend on it.
        """
        if self.audits:
            return any(audit["moves"] for audit in self.audits)
        return False if self.metrics.get("batch_invariant") else None

    @property
    def label(self) -> str:
        """System and variant, marked where recall moves with the batch."""
        return f"{self.system} {MARK}" if self.moves else self.system

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """True and false positives, true and false negatives, by the run's protocol."""
        found = self.metrics.get("published_counts") or self.metrics["decisions"]
        names = ("true_positives", "false_positives", "true_negatives", "false_negatives")
        tp, fp, tn, fn = (int(found[name]) for name in names)
        return tp, fp, tn, fn

    @property
    def precision(self) -> float | None:
        """TP / (TP + FP); ``None`` where there are none, as no frame was answered."""
        tp, fp, _, _ = self.counts
        return tp / (tp + fp) if tp + fp else None

    def nothing_searched(self) -> str | None:
        """Why no frame was searched, where none was, so that there is no precision."""
        warm = self.metrics.get("queries_warming_up", 0)
        small = self.metrics.get("queries_map_too_small", 0)
        if small == 0 or small + warm < self.metrics["queries"]:
            return None
        return (
            f"the map of {self.metrics['places']} places is too small for this matcher and "
            f"protocol: none of {small} frames was searched, and there is no precision"
        )

    def to_dict(self) -> dict[str, Any]:
        """What people compare, with the interval of recall@1 and the counts; shares are 0 to 1."""
        name, reference, query, _, _ = self.question
        row: dict[str, Any] = {
            "dataset": name, "reference": reference, "query": query, "system": self.system,
            "moves_with_the_batch": self.moves,
        }  # fmt: skip
        metrics = self.metrics
        if "strategies" in metrics:
            for strategy, found in metrics["strategies"].items():
                row |= {f"{strategy} recall@{k}": found[f"recall@{k}"]["value"] for k in (1, 5, 10)}
            return {**row, "queries": metrics["windows"]}
        recall, curve = metrics["recall_at_1"], metrics["precision_recall"]
        windows, located = metrics.get("correspondence"), metrics.get("located")
        candidates = next(
            (found for label, found in metrics.items() if label.startswith("candidates")), None
        )
        for k in (1, 5, 10):
            found = None if candidates is None else candidates.get(f"recall@{k}")
            row[f"candidates recall@{k}"] = None if found is None else found["value"]
        return {
            **row,
            "precision": self.precision,
            "recall@1": recall["value"],
            "low": recall["low"],
            "high": recall["high"],
            "average_precision": curve["average_precision"]["value"],
            "recall_at_full_precision": curve["recall_at_full_precision"],
            "window_precision": None if windows is None else windows["window_precision"]["value"],
            "located": None if located is None else located["located"]["value"],
            "precision_of_located": None if located is None else located["precision"]["value"],
            "false_locations": None if located is None else located["false_locations"],
            "off_map": None if located is None else located["off_map"],
            "calibration_error": None if located is None else located["expected_calibration_error"],
            "coverage_95": None if located is None else _coverage(located, "position"),
            "yaw_coverage_95": None if located is None else _coverage(located, "yaw"),
            "median_error_m": None if located is None else located["median_error_m"],
            **self.within_poses(),
            "ms_per_frame": metrics["ms_per_frame_without_encoders"],
            "queries": metrics["queries"],
            "without_match": metrics["queries"] - metrics["queries_with_a_true_match"],
        }

    def within_poses(self) -> dict[str, float]:
        """Shares of queries answered within metres and degrees, where both sides have rotations."""
        errors = self.metrics.get("errors")
        if not errors or not errors["answered_with_rotations"]:
            return {}
        return {f"within {name}": found["value"] for name, found in errors["within"].items()}

    def ranks(self) -> NDArray[np.float64]:
        """Rank of the first correct candidate of each frame that counts and is on the map.

        Infinite where none of the candidates is correct.
        """
        with (self.folder / FRAMES).open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["counted"] == row["on_map"] == "1"]
        return np.array([float(row["rank"] or "inf") for row in rows], np.float64)

    def hits(self) -> tuple[list[int], NDArray[np.float64]]:
        """Frames that count and are on the map, and whether each was answered rightly (0 or 1)."""
        with (self.folder / FRAMES).open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["counted"] == "1"]
        counted = [row for row in rows if row["on_map"] == "1"]
        right = [row["correct"] == "1" and row["answered"] == "1" for row in counted]
        return [int(row["frame"]) for row in counted], np.array(right, dtype=np.float64)


class EvaluationTable:
    """The runs of an evaluation: what became of each, and what people compare.

    Attributes:
        reports: One for each run.
    """

    def __init__(self, reports: Iterable[RunReport]) -> None:
        self.reports = tuple(reports)

    def __len__(self) -> int:
        """How many runs there are."""
        return len(self.reports)

    def __iter__(self) -> Iterator[RunReport]:
        """The reports of the runs."""
        return iter(self.reports)

    def __repr__(self) -> str:
        failed = len(self.errors)
        return f"EvaluationTable({len(self)} runs" + (f", {failed} failed)" if failed else ")")

    @property
    def errors(self) -> dict[str, str]:
        """Why runs failed, by title."""
        return {r.run.title: r.error for r in self.reports if r.error is not None}

    def summaries(self) -> list[RunSummary]:
        """The runs that did not fail."""
        folders = [report.folder for report in self.reports if report.error is None]
        return finished_runs(*folders) if folders else []

    def to_dict(self) -> list[dict[str, Any]]:
        """A row for each run that did not fail; see :meth:`RunSummary.to_dict`."""
        return [summary.to_dict() for summary in self.summaries()]

    def to_frame(self) -> Any:
        """The same as a pandas data frame.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pandas = require("pandas", extra="figures", purpose="Tables of results")
        return pandas.DataFrame(self.to_dict())


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


class OverallTable:
    """The table of all runs of a folder, written anew with every run that is added.

    It has the columns and units of CaseVPR's ``overall_results.csv``: precision is percent,
    accuracy and recall are shares. ``rank`` is by precision among the runs that were asked the
    same; ``pre_name`` is the protocol. Precision is left out where no frame was answered. A last
    column, ``moves_with_batch``, is 1 where recall moves with the batch, see :class:`BatchAudit`.

    Args:
        output: Folder of the runs.
    """

    def __init__(self, output: Path) -> None:
        self.path = output / OVERALL
        self._runs: dict[str, RunSummary] = {}
        for folder in sorted(path.parent for path in output.glob("*/run.json")):
            if is_done(folder):
                try:
                    self._take(folder)
                except InputError as error:
                    _LOG.warning("%s; it is left out of %s", error, OVERALL)

    def add(self, folder: str) -> None:
        """Add a finished run, or replace it, and write the table; runs of windows have no row."""
        if self._take(self.path.parent / folder):
            self.write()

    def _take(self, folder: Path) -> bool:
        run = RunSummary(folder, *read_run(folder))
        if "decisions" in run.metrics:
            self._runs[folder.name] = run
        return "decisions" in run.metrics

    def write(self) -> Path:
        """Write the table."""
        groups: dict[Any, list[RunSummary]] = defaultdict(list)
        for _, run in sorted(self._runs.items()):
            groups[run.question].append(run)
        rows = []
        for members in groups.values():
            ordered = sorted(members, key=lambda run: -(run.precision or 0.0))
            for run in ordered:
                better = sum((o.precision or 0.0) > (run.precision or 0.0) for o in ordered)
                moves = None if run.moves is None else int(run.moves)
                rows.append([*_row(run), better + 1, moves])
        write_csv(self.path, COLUMNS, rows)
        return self.path


def write_overall(output: Path) -> Path:
    """Write the :class:`OverallTable` of a folder.

    Raises:
        InputError: There are no runs.
    """
    finished_runs(output)
    return OverallTable(output).write()


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


@dataclass(frozen=True, slots=True)
class PooledRuns:
    """Runs of one system on several pairs of a data set, such as the cities of MSLS.

    Attributes:
        dataset: Name of the data set.
        system: System and variant, marked as in :attr:`RunSummary.label`.
        pairs: How many pairs of traverses.
        recalls: Recall@1, 5 and 10 of the candidates, over all queries that count.
        mean_of_pairs: Recall@1 with each pair counting the same.
        lowest: Pair with the lowest recall@1, and that recall.
    """

    dataset: str
    system: str
    pairs: int
    recalls: dict[int, Interval]
    mean_of_pairs: Interval
    lowest: tuple[str, float]


def pool_runs(runs: Iterable[RunSummary]) -> list[PooledRuns]:
    """Recall of each system over all pairs of a data set, where it has several.

    Intervals draw blocks within each pair, so they are those of these pairs.
    """
    groups: dict[tuple[str, float, str], list[RunSummary]] = defaultdict(list)
    for run in runs:
        name, reference, query, radius, _ = run.question
        if "decisions" in run.metrics and reference != query:
            groups[name, radius, run.system].append(run)
    pooled = []
    for (name, _, _), members in sorted(groups.items()):
        ranks = [member.ranks() for member in members]
        firsts = [float((part == 1).mean()) if len(part) else 1.0 for part in ranks]
        if len(members) < 2 or not any(len(part) for part in ranks):
            continue
        low = int(np.argmin(firsts))
        pooled.append(
            PooledRuns(
                name,
                next((member.label for member in members if member.moves), members[0].label),
                len(members),
                {k: bootstrap_groups([(p <= k).astype(float) for p in ranks]) for k in (1, 5, 10)},
                bootstrap_groups([(part == 1).astype(float) for part in ranks], equal=True),
                (members[low].question[2], firsts[low]),
            )
        )
    return pooled


def _coverage(located: dict[str, Any], of: str) -> float | None:
    """Share of true positions or yaws inside the 95 % ellipse."""
    ellipses = located["coverage"]["ellipses"]
    found = next(row["value"] for row in ellipses if row["of"] == of and row["ellipse"] == "95 %")
    return None if found is None else float(found)


def _row(run: RunSummary) -> list[Any]:
    tp, fp, tn, fn = run.counts
    total = tp + fp + tn + fn
    system, settings = run.config["system"], run.config["settings"]
    name, reference, query, radius, truth = run.question
    both = [system["encoder"], system["sequence"]]
    front = "+".join(dict.fromkeys(part for part in both if part))
    precision = None if run.precision is None else round(100 * run.precision, 4)
    shares = [(tp + tn) / max(1, total), tp / max(1, tp + fn)]
    return [
        run.metrics["written"], name, reference, query, front,
        system["matcher"] or system["fusion"],
        settings["protocol"], 2, run.config["variant"],
        precision, *(round(share, 6) for share in shares),
        tp, fp, tn, fn, total, radius, _TRUTH[truth], settings["keyframe_threshold"],
        run.folder.name,
    ]  # fmt: skip
