"""``placememory evaluate-sequences``: sequence encoders alone, by the windows they find."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from placememory.cli import _options as options
from placememory.cli._casevpr_flags import CasevprCommand
from placememory.cli._console import Bars, print_json, print_table, say, warn
from placememory.cli.evaluate import BatchAuditOption, audit_mode, plan, say_what_was_there
from placememory.cli.results import say_what_moves
from placememory.compat.casevpr import device_of, read_casevpr_sequences
from placememory.evaluation import (
    RunReport,
    evaluate,
    finished_runs,
    read_window_evaluation,
)
from placememory.evaluation.batch_audit import MARK

COMMAND = CasevprCommand


def run(
    config: Annotated[Path, typer.Argument(help="YAML, or CaseVPR's JSON.", show_default=False)],
    paths: Annotated[
        Path | None,
        typer.Option(help="For CaseVPR's JSON: YAML that says where data sets and weights are."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do all again, cached or not.")] = False,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Keep descriptors.")] = True,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Write pages of failures.")] = True,
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda, cuda:1 or mps; by default what the JSON says, else cpu."),
    ] = None,
    batch_audit: BatchAuditOption = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all, run nothing.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Retrieve windows by their sequence descriptors: recall@1, 5, 10 by ground-truth strategy.

    Example: [b]placememory evaluate-sequences windows.yaml[/b]

    Example: [b]placememory evaluate-sequences example_eval.json --paths paths.yaml[/b]

    Each run has a folder with its configuration, predictions.json, metrics.json and failures.html.
    """
    is_json = config.suffix.lower() == ".json"
    evaluations = (
        read_casevpr_sequences(config, paths) if is_json else [read_window_evaluation(config)]
    )
    if dry_run:
        plan(evaluations)
        return
    where = device or (device_of(config) if is_json else None) or "cpu"
    reports: list[RunReport] = []
    with Bars() as bars:
        for evaluation in evaluations:
            reports += evaluate(
                evaluation,
                devices=[where],
                fresh=fresh,
                audit=audit_mode(batch_audit),
                command=shlex.join(["placememory", *sys.argv[1:]]),
                cached=cache,
                figures=page,
                progress=bars.update,
            )
    for report in reports:
        if report.error is not None:
            warn(f"{report.run.title}: {report.error}")
    done = [_facts(report.folder) for report in reports if report.error is None]
    if as_json:
        print_json(done)
    else:
        print_table(_COLUMNS, [row for facts in done for row in _rows(facts)])
        if done:
            say_what_moves(finished_runs(*(Path(facts["folder"]) for facts in done)))
        for output in dict.fromkeys(evaluation.output for evaluation in evaluations):
            say(f"pages and predictions: {output}")
    say_what_was_there(reports)
    if len(done) < len(reports):
        raise typer.Exit(1)


_COLUMNS = ("run", "right is", "R@1 %", "R@5 %", "R@10 %", "95% of R@1", "windows", "no match")


def _facts(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return {"folder": str(folder), **facts}


def _rows(facts: dict[str, Any]) -> list[list[Any]]:
    moves = any(audit["moves"] for audit in facts.get("batch_audit", ()))
    marked = f" {MARK}" if moves else ""
    return [
        [
            facts["title"] + marked,
            name,
            *(f"{100 * found[f'recall@{k}']['value']:.1f}" for k in (1, 5, 10)),
            f"{100 * found['recall@1']['low']:.1f} to {100 * found['recall@1']['high']:.1f}",
            found["queries"],
            found["without_match"],
        ]
        for name, found in facts["strategies"].items()
    ]
