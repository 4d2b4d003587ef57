"""Run CaseVPR's published tables again, and put what comes out beside what was published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from placememory._registry import unknown_name
from placememory._types import TitledProgress
from placememory.compat.casevpr.evaluation_json import plan_batch
from placememory.compat.casevpr.names import Paths, Place
from placememory.compat.casevpr.pipeline import run_published
from placememory.compat.casevpr.published import COLUMNS, FOLDERS, ROWS, Column, Row
from placememory.compat.casevpr.sequences_json import plan_sequences
from placememory.datasets import open_dataset
from placememory.errors import PlaceMemoryError, SettingError
from placememory.evaluation import (
    Evaluation,
    RunReport,
    RunSummary,
    evaluate,
    finished_runs,
    runs_of,
)
from placememory.evaluation.content import missing_weights
from placememory.evaluation.online import localize_run

_HERE = Path("reproduce-casevpr.json")
_DATA = "the processed data that the README of github.com/phatli/CaseVPR names"
_PARAMETERS = {
    "ds": 5, "thresh_out": 100, "stp_gap": 14, "matching_K": 5, "matching_KK": 4,
    "dist_cos_thres": 1, "search_nonkeyframe": True, "sim": "cos",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A number of the tables.

    Attributes:
        row: Of the table.
        column: Data set.
        measure: ``precision``, ``R@1``, ``R@5`` or ``R@10``.
        published: Percent.
        obtained: Percent; ``None`` where it was not run.
        low: Lower end of its 95 % interval.
        high: Upper end.
        why: Why it was not run, or what is to be known of it.
    """

    row: Row
    column: Column
    measure: str
    published: float
    obtained: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""

    @property
    def difference(self) -> float | None:
        """Obtained minus published, in points."""
        return None if self.obtained is None else round(self.obtained - self.published, 2)

    @property
    def agrees(self) -> bool | None:
        """Whether the published number is in the interval; ``None`` where it was not run."""
        if self.low is None or self.high is None:
            return None
        return self.low <= self.published <= self.high

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for CSV and JSON."""
        return {
            "table": self.row.table, "row": self.row.name, "column": self.column.name,
            "measure": self.measure, "published": self.published, "obtained": self.obtained,
            "low": self.low, "high": self.high, "difference": self.difference,
            "agrees": self.agrees, "why": self.why,
        }  # fmt: skip


class Reproduction:
    """CaseVPR's tables, or some rows of them, on weights and data in the authors' layouts.

    Args:
        weights: Folder of the files of weights, under CaseVPR's names.
        data: Folder of ``oxford_robotcar``, ``oxford_robotcar_v``, ``img_ntu`` and ``nordland``.
        only: Names of rows, such as ``CaseVPR224_ft``; all by default. One that is in both
            tables is run in both.
        output: Folder for the runs.

    Raises:
        SettingError: No row has one of the names.

    Example:
        >>> made = Reproduction(Path("models"), Path("data"), only=["JIST"])
        >>> [(row.table, row.front) for row in made.rows]
        [('sequences', 'jist'), ('frames', 'none+jist')]
    """

    def __init__(
        self,
        weights: Path,
        data: Path,
        *,
        only: Sequence[str] = (),
        output: Path = Path("output/reproduce-casevpr"),
    ) -> None:
        known = {row.name.lower() for row in ROWS}
        for name in only:
            if name.lower() not in known:
                names = list(dict.fromkeys(row.name for row in ROWS))
                raise SettingError(unknown_name("no row of CaseVPR is called", name, names))
        wanted = {name.lower() for name in only} or known
        self.rows = tuple(row for row in ROWS if row.name.lower() in wanted)
        self.output = output.resolve()
        self._where = Paths(
            datasets={name: Place(root=data.resolve() / f) for name, f in FOLDERS.items()},
            weights=weights.resolve(),
            output=self.output,
            cache=self.output / "descriptors",
            base=Path.cwd(),
        )
        self._absent = {column.name: self._why_absent(column) for column in COLUMNS}

    def missing(self) -> list[str]:
        """Files of weights and data that are missing, and where they are to be had, a line each."""
        evaluations = [one for row in self.rows for one in self._plan(row, COLUMNS)]
        runs = [run for evaluation in evaluations for run in runs_of(evaluation)]
        wanted = [column for column in COLUMNS if any(column.name in r.values for r in self.rows)]
        data = [f"{c.name}: {why} ({_DATA})" for c in wanted if (why := self._absent[c.name])]
        return [*missing_weights(runs), *data]

    def run(
        self,
        *,
        workers: int = 1,
        devices: Sequence[str] = ("cpu",),
        progress: TitledProgress | None = None,
    ) -> list[Cell]:
        """Run what can be run; runs that are there are taken as they are.

        Args:
            workers: As of :func:`placememory.evaluate`.
            devices: As of :func:`placememory.evaluate`.
            progress: As of :func:`placememory.evaluate`.

        Returns:
            Every number of the rows, row by row, obtained or with the reason why not.
        """
        cells = []
        for row in self.rows:
            columns = [column for column in COLUMNS if column.name in row.values]
            there = [column for column in columns if not self._absent[column.name]]
            reports: dict[str, RunReport] = {}
            for evaluation, column in zip(self._plan(row, there), there, strict=True):
                [reports[column.name]] = evaluate(
                    evaluation,
                    workers=workers,
                    devices=devices,
                    figures=False,
                    answer=run_published if row.table == "frames" else localize_run,
                    progress=progress,
                )
            for column in columns:
                cells += self._cells(row, column, reports.get(column.name))
        return cells

    def _plan(self, row: Row, columns: Sequence[Column]) -> list[Evaluation]:
        """An evaluation for each column."""
        columns = [column for column in columns if column.name in row.values]
        if row.table == "frames":
            return [plan_batch(_batch(row, column), self._where, _HERE)[0] for column in columns]
        return [
            plan_sequences(_windows(row, column), self._where, _HERE, self.output)[0]
            for column in columns
        ]

    def _why_absent(self, column: Column) -> str:
        """Why a column's data cannot be read; ``""`` if it can."""
        layout = "nordland" if column.dataset == "nordland" else "robotcar"
        try:
            dataset = open_dataset(layout, self._where.datasets[column.dataset].root)
            for split in (column.reference, column.query):
                dataset.traverse(split)
        except PlaceMemoryError as error:
            return str(error)
        return ""

    def _cells(self, row: Row, column: Column, report: RunReport | None) -> list[Cell]:
        measures = ("precision",) if row.table == "frames" else ("R@1", "R@5", "R@10")
        cells = [
            Cell(row, column, measure, value)
            for measure, value in zip(measures, row.values[column.name], strict=True)
        ]
        if report is None or report.error is not None:
            why = self._absent[column.name] if report is None else str(report.error)
            return [replace(cell, why=why) for cell in cells]
        [found] = finished_runs(report.folder)
        return [_obtained(cell, found) for cell in cells]


def _obtained(cell: Cell, found: RunSummary) -> Cell:
    """A cell with what a run gave."""
    if cell.row.table == "frames":
        share, interval = found.precision, found.metrics["recall_at_1"]
        if share is None:
            return replace(cell, why=found.nothing_searched() or "no frame was answered")
    else:
        interval = found.metrics["strategies"]["lax"][f"recall@{cell.measure[2:]}"]
        share = interval["value"]
    if share is None:
        return replace(cell, why="no query has a match")
    ends = (_percent(interval["low"]), _percent(interval["high"]))
    return replace(cell, obtained=_percent(share), low=ends[0], high=ends[1])


def _percent(share: float) -> float:
    return round(100 * share, 2)


def _batch(row: Row, column: Column) -> dict[str, Any]:
    """As ``batch_tests.json``, with one system on one data set."""
    test = {
        "ds_name": column.dataset, "l1": [column.reference], "l2": [column.query],
        "positive_dist": column.radius,
    }  # fmt: skip
    return {
        "test_lst": [test],
        "pipeline_lst": [{"fe_lst": [row.front], "be_lst": [row.back]}],
        "default_settings": {"seperate_ds": True, "default_seqbackend_params": _PARAMETERS},
    }


def _windows(row: Row, column: Column) -> dict[str, Any]:
    """As ``example_eval.json``, with one model on one data set."""
    split = column.reference.partition("/")[0]
    data = {
        "dataset_path": column.dataset, "split": split, "seq_length": 5,
        "val_posDistThr": column.radius, "seq_gt_strategy": "lax",
    }  # fmt: skip
    return {
        "experiment": {"name": "sequences"},
        "model_variants": {row.name: {"model": {"seq_encoder": row.front}}},
        "dataset_variants": {column.name: {"data": data}},
    }
