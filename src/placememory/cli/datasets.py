"""``placememory datasets``: the layouts of data sets that can be read, and an audit of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from placememory.cli import _options as options
from placememory.cli._console import Bars, out, print_json, print_table, say
from placememory.cli._groups import ShowOrCommand
from placememory.datasets import describe_layout, layouts, open_dataset
from placememory.errors import SettingError
from placememory.evaluation import DatasetConfig, audit_data, read_evaluation
from placememory.metrics import DEFAULT_RADIUS

app = typer.Typer(
    cls=ShowOrCommand,
    help="List the layouts of data sets that can be read, show one, check a data set.\n\n"
    "Example: [b]placememory datasets utm-folders[/b]\n\n"
    "Example: [b]placememory datasets check data/town[/b]\n\n"
    "Nothing is downloaded. In a configuration, evaluate finds the layout from the folder.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode="rich",
)


@app.callback()
def listing(context: typer.Context) -> None:
    """List the layouts: for which data sets they are, their licence, where these come from."""
    if context.invoked_subcommand is None:
        _print(layouts(), as_json=False)


@app.command()
def show(
    layout: Annotated[
        str | None, typer.Argument(help="Its name; all by default.", show_default=False)
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show how the folder of a layout looks; the name alone does the same."""
    if layout and not as_json:
        out.print(describe_layout(layout).text, markup=False)
    _print([layout] if layout else layouts(), as_json=as_json)


def _print(names: list[str], *, as_json: bool) -> None:
    found = [describe_layout(name) for name in names]
    if as_json:
        print_json([asdict(info) for info in found])
        return
    print_table(
        ("layout", "data sets", "licence", "address"),
        [(i.name, ", ".join(i.data_sets) or "your own", i.licence, i.address) for i in found],
    )


@app.command()
def check(
    what: Annotated[
        Path,
        typer.Argument(
            help="Folder or table of a data set, or the YAML of an evaluation.", show_default=False
        ),
    ],
    layout: Annotated[
        str | None, typer.Option(help="Layout of the folder; found out by default.")
    ] = None,
    radius: Annotated[
        float | None,
        typer.Option(
            help="Metres or frames within which an image is a positive; "
            f"{DEFAULT_RADIUS:g} or what the YAML says.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        int, typer.Option(min=0, help="Images read of each traverse, at most; 0 for none.")
    ] = 10_000,
    as_json: options.AsJson = False,
) -> None:
    """Check a data set before its numbers are believed; the exit code is 1 if something is wrong.

    Example: [b]placememory datasets check data/town[/b]

    Example: [b]placememory datasets check town.yaml --radius 25[/b]

    Looks for images that are in the map and among the queries, queries without a positive,
    directions the map lacks, units that are none, and runs that are not in one frame of reference.
    """
    audits = {}
    for name, dataset in _datasets(what, layout):
        used = dataset if radius is None else dataset.model_copy(update={"radius": radius})
        with Bars() as bars:
            audits[name] = audit_data(used, images=images, progress=bars.update)
    wrong = any(audit.wrong for audit in audits.values())
    if as_json:
        print_json({name: audit.to_dict() for name, audit in audits.items()})
    else:
        for name, audit in audits.items():
            for line in audit.looked_at:
                say(f"{name}: {line}")
            for finding in audit.findings:
                word = "WRONG" if finding.wrong else "note"
                place = f"{name}, {finding.where}"
                out.print(f"{word}  {finding.check}  {place}: {finding.text}", markup=False)
                for example in finding.examples:
                    out.print(f"         such as {example}", markup=False)
        notes = sum(not f.wrong for audit in audits.values() for f in audit.findings)
        say("something is wrong" if wrong else f"nothing is wrong; {notes} notes")
    if wrong:
        raise typer.Exit(1)


def _datasets(what: Path, layout: str | None) -> Iterator[tuple[str, DatasetConfig]]:
    """Data sets by name, of a configuration or of a folder."""
    if what.suffix.lower() in (".yaml", ".yml"):
        if layout is not None:
            raise SettingError(f"{what} says the layout; --layout is for a folder")
        yield from read_evaluation(what).datasets.items()
        return
    name = open_dataset(layout, what).name
    yield name, DatasetConfig(root=what, layout=layout, pairs="all")
