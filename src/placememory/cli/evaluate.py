"""``placememory evaluate``: systems on data sets, from a file."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

import typer

from placememory.cli._casevpr_flags import CasevprCommand
from placememory.cli._console import Bars, print_json, print_table, say, warn
from placememory.cli.results import print_runs
from placememory.compat.casevpr import explain_small_maps, read_casevpr, run_published
from placememory.errors import SettingError
from placememory.evaluation import (
    AuditMode,
    Evaluation,
    RunReport,
    evaluate,
    finished_runs,
    read_evaluation,
    runs_of,
    write_overall,
)
from placememory.evaluation.content import missing_weights
from placememory.evaluation.online import localize_run
from placememory.evaluation.plan import read_traverse

COMMAND = CasevprCommand
BatchAuditOption = Annotated[
    str,
    typer.Option(
        help="Encode again at batch 1, 16 and shuffled, and mark systems whose recall moves: "
        "auto (encoders whose card says that descriptors depend on the batch), all or off."
    ),
]


def audit_mode(word: str) -> AuditMode:
    """The word of ``--batch-audit``.

    Raises:
        SettingError: It is another word.
    """
    modes: tuple[AuditMode, ...] = get_args(AuditMode)
    for mode in modes:
        if word == mode:
            return mode
    raise SettingError(f"--batch-audit is auto, all or off, not {word!r}")


def run(
    config: Annotated[Path, typer.Argument(help="YAML, or CaseVPR's JSON.", show_default=False)],
    paths: Annotated[
        Path | None,
        typer.Option(help="For CaseVPR's JSON: YAML that says where data sets and weights are."),
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="For CaseVPR's JSON: casevpr, as published, or default.")
    ] = "casevpr",
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that describe long traverses, match and score.")
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Describe on the workers of this Dask scheduler, tcp://HOST:8786.",
            show_default=False,
        ),
    ] = None,
    devices: Annotated[str, typer.Option(help="Of the encoders, as cpu or cuda:0,cuda:1.")] = "cpu",
    fresh: Annotated[bool, typer.Option("--fresh", help="Do all again, cached or not.")] = False,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Keep descriptors.")] = True,
    figures: Annotated[bool, typer.Option("--figures/--no-figures", help="Draw each run.")] = True,
    batch_audit: BatchAuditOption = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all, run nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Run every system on every pair of traverses; finished runs are skipped.

    Example: [b]placememory evaluate corridor.yaml[/b]

    Example: [b]placememory evaluate batch_tests.json --paths paths.yaml[/b]

    Each run has a folder with its configuration, a row for each frame, metrics and figures; all
    together are in overall_results.csv.
    """
    evaluations = _read(config, paths, protocol)
    if dry_run:
        plan(evaluations)
        return
    outcomes: list[RunReport] = []
    for evaluation in evaluations:
        with Bars() as bars:
            outcomes += evaluate(
                evaluation,
                workers=workers,
                scheduler=scheduler,
                devices=[device.strip() for device in devices.split(",")],
                fresh=fresh,
                cached=cache,
                figures=figures,
                audit=audit_mode(batch_audit),
                command=shlex.join(["placememory", *sys.argv[1:]]),
                answer=run_published if _is_published(evaluation) else localize_run,
                progress=bars.update,
            )
    _print_outcomes(outcomes, as_json=as_json)


def _is_published(evaluation: Evaluation) -> bool:
    """Whether CaseVPR's own code is to be reproduced, windows excepted."""
    return evaluation.settings.protocol == "casevpr" and any(
        system.kind == "online" for system in evaluation.systems
    )


def _read(config: Path, paths: Path | None, protocol: str) -> list[Evaluation]:
    if config.suffix.lower() != ".json":
        return [read_evaluation(config)]
    if paths is None:
        raise SettingError(f"{config} does not say where its data sets are; give --paths FILE.yaml")
    if protocol not in ("casevpr", "default"):
        raise SettingError(f"--protocol is casevpr or default, not {protocol!r}")
    return read_casevpr(config, paths, "casevpr" if protocol == "casevpr" else "default")


def plan(evaluations: list[Evaluation]) -> None:
    """Print the runs, and what they lack; read every traverse, run nothing.

    Raises:
        DatasetError: A traverse cannot be read.
    """
    runs = [run for evaluation in evaluations for run in runs_of(evaluation)]
    for run in runs:
        for split in (run.map_name, run.pair.query):
            read_traverse(run.dataset, split)
    print_table(
        ("run", "protocol", "folder"),
        [[run.title, run.settings.protocol, run.folder] for run in runs],
    )
    missing = missing_weights(runs)
    for line in missing:
        warn(line)
    for line in explain_small_maps(runs):
        warn(line)
    known = "all data sets, encoders, matchers and fusions are known"
    lacking = f", {len(missing)} files of weights are missing" if missing else ""
    say(f"{len(runs)} runs; {known}{lacking}")


def _print_outcomes(outcomes: list[RunReport], *, as_json: bool) -> None:
    for outcome in outcomes:
        if outcome.error is not None:
            warn(f"{outcome.run.title}: {outcome.error}")
    done = [outcome for outcome in outcomes if outcome.error is None]
    summaries = finished_runs(*(outcome.folder for outcome in done)) if done else []
    if as_json:
        print_json([{"folder": str(s.folder), **s.config, **s.metrics} for s in summaries])
    for summary in summaries:
        if explained := summary.nothing_searched():
            warn(f"{summary.metrics['title']}: {explained}")
        if same := summary.metrics.get("queries_in_the_map"):
            warn(
                f"{summary.metrics['title']}: {same} of {summary.metrics['queries']} frames are in "
                "the map itself: these numbers say nothing about another run; pair traverses that "
                "share no images"
            )
    if not as_json and summaries:
        print_runs(summaries)
    for output in {outcome.folder.parent for outcome in done}:
        say(f"all runs: {write_overall(output)}")
    say_what_was_there(outcomes)
    if len(done) < len(outcomes):
        raise typer.Exit(1)


def say_what_was_there(outcomes: Sequence[RunReport]) -> None:
    """Say how many runs were there already, with all they depend on as it was."""
    done = [outcome for outcome in outcomes if outcome.error is None]
    before = sum(outcome.done_before for outcome in done)
    if before:
        say(
            f"{before} of {len(outcomes)} runs were there already, of the same weights and "
            "data; --fresh does them again"
        )
