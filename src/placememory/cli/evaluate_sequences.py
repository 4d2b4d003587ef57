"""``placememory evaluate-sequences``: sequence encoders alone, by the windows they find."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from placememory.cli import _options as options
from placememory.cli._casevpr_flags import CasevprCommand
from placememory.cli._console import Bars, print_json, say, warn
from placememory.cli.evaluate import BatchAuditOption, audit_mode, plan, say_what_was_there
from placememory.cli.results import print_runs
from placememory.compat.casevpr import device_of, read_casevpr_sequences
from placememory.evaluation import (
    RunReport,
    evaluate,
    finished_runs,
    read_window_evaluation,
)

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
    done = [report.folder for report in reports if report.error is None]
    summaries = finished_runs(*done) if done else []
    if as_json:
        print_json([{"folder": str(run.folder), **run.metrics} for run in summaries])
    else:
        print_runs(summaries)
        for output in dict.fromkeys(evaluation.output for evaluation in evaluations):
            say(f"pages and predictions: {output}")
    say_what_was_there(reports)
    if len(done) < len(reports):
        raise typer.Exit(1)
