"""``placememory datasets``: the layouts of data sets that can be read."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from placememory.cli import _options as options
from placememory.cli._console import out, print_json, print_table
from placememory.datasets import describe_layout, layouts


def run(
    layout: Annotated[
        str | None, typer.Argument(help="Show how the folder of this layout looks.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the layouts of data sets: for which ones, their licence, and where they come from.

    Example: [b]placememory datasets utm-folders[/b]

    Nothing is downloaded. In a configuration, evaluate finds the layout from the folder.
    """
    found = [describe_layout(name) for name in ([layout] if layout else layouts())]
    if as_json:
        print_json([asdict(info) for info in found])
        return
    if layout:
        out.print(found[0].text, markup=False)
    print_table(
        ("layout", "data sets", "licence", "address"),
        [(i.name, ", ".join(i.data_sets) or "your own", i.licence, i.address) for i in found],
    )
