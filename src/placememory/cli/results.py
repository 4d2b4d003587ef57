"""Finished runs as rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from placememory.cli import _options as options
from placememory.cli._console import Bars, print_json, print_table, say, warn
from placememory.cli._groups import ShowOrCommand
from placememory.compat.casevpr import CasevprEvaluation, run_published
from placememory.errors import SettingError
from placememory.evaluation import (
    RunSummary,
    Settings,
    compare,
    describe_audit,
    finished_runs,
    pool_runs,
)
from placememory.evaluation.batch_audit import MARK
from placememory.evaluation.claims import Maker, Verification, read_claims, record, verify

COLUMNS = (
    "data set", "map", "query", "system", "precision %", "R@1 %", "95%", "AP %", "R@100%P %",
    "window %", "located %", "of them right %", "off the map", "ms", "queries", "no match",
)  # fmt: skip
_WINDOW_COLUMNS = (
    "run", "right is", "R@1 %", "R@5 %", "R@10 %", "95% of R@1", "windows", "no match",
)  # fmt: skip


def summary_row(run: RunSummary) -> list[Any]:
    """What people compare, with the interval of recall@1 and the counts."""
    row = {**run.to_dict(), "system": run.label}
    off = row["off_map"]
    wrong = None if not off else f"{round((row['false_locations'] or 0) * off)} of {off}"
    return [
        *(row[name] for name in ("dataset", "reference", "query", "system")),
        _percent(row["precision"]),
        _percent(row["recall@1"]),
        None if row["low"] is None else f"{_percent(row['low'])} to {_percent(row['high'])}",
        *(_percent(row[name]) for name in (
            "average_precision", "recall_at_full_precision", "window_precision", "located",
            "precision_of_located",
        )),
        wrong,
        *(row[name] for name in ("ms_per_frame", "queries", "without_match")),
    ]  # fmt: skip


def print_runs(runs: Sequence[RunSummary]) -> None:
    """Print all that people compare, with the marks of the batch audits and what they mean."""
    online = [run for run in runs if "strategies" not in run.metrics]
    windows = [run for run in runs if "strategies" in run.metrics]
    if online:
        print_table(COLUMNS, [summary_row(run) for run in online])
        _print_more(online)
    if windows:
        print_table(_WINDOW_COLUMNS, [row for run in windows for row in _window_rows(run)])
    _say_what_moves(runs)


def _window_rows(run: RunSummary) -> list[list[Any]]:
    """A row for each ground truth of windows."""
    title = run.metrics["title"] + (f" {MARK}" if run.moves else "")
    rows = []
    for name, found in run.metrics["strategies"].items():
        recalls = [found[f"recall@{k}"] for k in (1, 5, 10)]
        low, high = (_percent(recalls[0][end]) for end in ("low", "high"))
        interval = None if low is None else f"{low} to {high}"
        values = [_percent(recall["value"]) for recall in recalls]
        rows.append([title, name, *values, interval, found["queries"], found["without_match"]])
    return rows


def _print_more(runs: Sequence[RunSummary]) -> None:
    """Print what the table of runs has no room for: poses, and several cities together."""
    posed = [run for run in runs if run.within_poses()]
    if posed:
        limits = list(posed[0].within_poses())
        say("answers within metres and degrees, of the queries with a true pose:")
        print_table(
            ("data set", "query", "system", *(f"{name} %" for name in limits)),
            [
                [run.question[0], run.question[2], run.label,
                 *(_percent(run.within_poses().get(name)) for name in limits)]
                for run in posed
            ],
        )  # fmt: skip
    if pooled := pool_runs(runs):
        say("candidates, all pairs of a data set together (blocks are drawn within each pair):")
        columns = ("data set", "pairs", "queries", "system", "R@1", "R@5", "R@10", "mean of pairs",
                   "lowest")  # fmt: skip
        print_table(
            columns,
            [
                [one.dataset, one.pairs, one.recalls[1].count, one.system,
                 *(found.percent() for found in one.recalls.values()),
                 one.mean_of_pairs.percent(), f"{one.lowest[0]} {100 * one.lowest[1]:.1f}"]
                for one in pooled
            ],
        )  # fmt: skip


def _say_what_moves(runs: Iterable[RunSummary]) -> None:
    """Say what the mark of systems means, where one has it, with the numbers of the audits."""
    marked = [run for run in runs if run.moves]
    if marked:
        say(f"{MARK}: recall depends on the images encoded together; compare nothing with it:")
    for line in dict.fromkeys(describe_audit(audit) for run in marked for audit in run.audits):
        say(f"  {line}")


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.1f}"


app = typer.Typer(
    cls=ShowOrCommand,
    help="Print finished runs side by side; write and verify results files.\n\n"
    "Example: [b]placememory results output/evaluation --baseline lite-vlad[/b]\n\n"
    "Example: [b]placememory results verify results.json[/b]",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)


@app.command()
def show(
    folders: Annotated[list[Path], typer.Argument(help="Outputs, or single runs.")],
    baseline: Annotated[
        str | None,
        typer.Option(
            help="System, as encoder/matcher/fusion, that the others are compared with; without a "
            "variant in brackets, each with that of its own variant."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Print finished runs side by side, and how far apart two systems are on the same frames.

    Example: [b]placememory results output/evaluation --baseline lite-vlad[/b]

    The word show may be left out. A difference comes with a 95% interval over the frames that both
    searched, drawn in blocks.
    """
    runs = sorted(finished_runs(*folders), key=lambda run: (run.question, run.system))
    if as_json:
        print_json([{"folder": str(run.folder), **run.config, **run.metrics} for run in runs])
        return
    print_runs(runs)
    if baseline is not None:
        _differences([run for run in runs if "strategies" not in run.metrics], baseline)


def _differences(runs: list[RunSummary], baseline: str) -> None:
    if not any(baseline in (run.system, run.plain_system) for run in runs):
        known = ", ".join(sorted({run.system for run in runs}))
        raise SettingError(f"no run is of the system {baseline!r}; there are: {known}")
    rows = []
    for run in runs:
        for base in runs:
            same = baseline == base.plain_system and base.variant == run.variant
            if (
                (base.system == baseline or same)
                and base.question == run.question
                and base is not run
            ):
                found = compare(run, base)
                if found is None:
                    continue
                name, _, query, _, _ = run.question
                gap = found.difference
                interval = f"[{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
                rows.append(
                    [name, query, run.label, f"{100 * gap.value:+.1f}", interval,
                     found.first_higher, found.second_higher, "yes" if found.differs else "no"]
                )  # fmt: skip
    base_moves = any(run.moves and baseline in (run.system, run.plain_system) for run in runs)
    shown = f"{baseline} {MARK}" if base_moves else baseline
    say(f"recall@1 against {shown}, in points, over the frames that both searched:")
    columns = ("data set", "query", "system", "difference", "95%", "won", "lost", "differs")
    print_table(columns, rows)


@app.command("record")
def record_runs(
    folders: Annotated[list[Path], typer.Argument(help="Outputs, or single runs.")],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("results.json"),
) -> None:
    """Write a results file that anyone can verify: numbers with hashes of all they are made of.

    Example: [b]placememory results record output/evaluation --out results.json[/b]

    It has, for each run, its configuration and command, SHA-256 of data, weights, descriptors and
    source code, and the numbers.
    """
    with Bars() as bars:
        path = record(finished_runs(*folders), out, maker=maker_of, progress=bars.update)
    say(f"{len(read_claims(path))} runs: {path}")


@app.command("verify")
def verify_runs(
    file: Annotated[Path, typer.Argument(help="From placememory results record.")],
    root: Annotated[
        list[str] | None,
        typer.Option(help="Where a data set is here, as NAME=PATH.", show_default=False),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="By how much a number may differ; 0.001 is 0.1 %.")
    ] = 0.0,
    rerun: Annotated[
        bool, typer.Option("--run/--hashes", help="Make the runs again, or only compare hashes.")
    ] = True,
    as_json: options.AsJson = False,
) -> None:
    """Verify a results file: hash data and weights, make each run again, compare every number.

    Example: [b]placememory results verify results.json --root town=data/manifest.csv[/b]

    The exit code is 1 if a run does not hold: other data or weights, or a number that comes out
    otherwise. Descriptors may differ in their last bits on another processor; that is printed.
    """
    roots = dict(_root(text) for text in root or ())
    found = []
    with Bars() as bars:
        for claim in read_claims(file):
            found.append(
                verify(claim, maker=maker_of, roots=roots, tolerance=tolerance, rerun=rerun,
                       progress=bars.update)
            )  # fmt: skip
    if as_json:
        print_json([one.to_dict() for one in found])
    else:
        words = {True: "same", False: "other", None: None}
        print_table(
            ("run", "data", "weights", "descriptors", "code", "numbers"),
            [
                [one.title, words[one.data], words[one.weights], words[one.descriptors],
                 words[one.code], _judge(one)]
                for one in found
            ],
        )  # fmt: skip
        for one in found:
            for name, claimed, here in one.differences:
                warn(f"{one.title}: {name} is {claimed} in the file and {here} here")
            if one.error is not None:
                warn(f"{one.title}: {one.error}")
    holding = sum(one.holds for one in found)
    say(f"{holding} of {len(found)} runs hold" + ("" if rerun else ", by their hashes alone"))
    if holding < len(found):
        raise typer.Exit(1)


def maker_of(config: Mapping[str, Any]) -> Maker:
    """CaseVPR's own code for its protocol, the Localizer else."""
    if set(config["settings"]) <= set(Settings.model_fields):
        return Maker()
    return Maker(CasevprEvaluation, run_published)


def _judge(one: Verification) -> str | None:
    if one.differences:
        return f"{len(one.differences)} differ"
    return None if one.descriptors is None else "same"


def _root(text: str) -> tuple[str, Path]:
    name, sign, path = text.partition("=")
    if not sign:
        raise SettingError(f"--root is NAME=PATH, not {text!r}")
    return name, Path(path).resolve()
