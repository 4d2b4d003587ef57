"""``placememory reproduce``: the published tables of other systems, run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from placememory._io import write_csv
from placememory.cli import _options as options
from placememory.cli._console import Bars, print_json, print_table, say, warn
from placememory.compat.casevpr import Cell, Reproduction
from placememory.errors import SettingError

_TABLE = "reproduced.csv"


def run(
    system: Annotated[str, typer.Argument(help="Whose tables: casevpr.", show_default=False)],
    weights: Annotated[
        Path, typer.Option(help="Folder of the weights, under their own names.", show_default=False)
    ],
    data: Annotated[
        Path,
        typer.Option(
            help="Folder of oxford_robotcar, oxford_robotcar_v, img_ntu and nordland.",
            show_default=False,
        ),
    ],
    only: Annotated[
        list[str] | None, typer.Option(help="Only this row, as CaseVPR224_ft; may be repeated.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Say what is missing.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path(
        "output/reproduce-casevpr"
    ),
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    devices: Annotated[str, typer.Option(help="Of the encoders, as cpu or cuda:0,cuda:1.")] = "cpu",
    as_json: options.AsJson = False,
) -> None:
    """Run the published tables of a system again, beside the published numbers.

    Example: [b]placememory reproduce casevpr --weights models --data datasets --check[/b]

    Example: [b]placememory reproduce casevpr --weights models --data datasets --only JIST[/b]

    What is missing is left out and named. All numbers are in reproduced.csv, beside the runs; runs
    that are there already, of the same weights and data, are not run again.
    """
    if system != "casevpr":
        raise SettingError(f"there are tables of casevpr, not of {system!r}")
    made = Reproduction(weights, data, only=only or (), output=output)
    missing = made.missing()
    for line in missing:
        warn(line)
    if check:
        say(f"{len(made.rows)} rows; {len(missing) or 'no'} files or data sets are missing")
        if missing:
            raise typer.Exit(1)
        return
    with Bars() as bars:
        cells = made.run(
            workers=workers,
            devices=[device.strip() for device in devices.split(",")],
            progress=bars.update,
        )
    found = [cell.to_dict() for cell in cells]
    write_csv(made.output / _TABLE, list(found[0]), [list(row.values()) for row in found])
    if as_json:
        print_json(found)
    else:
        print_table(_COLUMNS, [_row(cell) for cell in cells])
    run_again = sum(cell.obtained is not None for cell in cells)
    agree = sum(bool(cell.agrees) for cell in cells)
    say(
        f"{run_again} of {len(cells)} numbers were run; of these the published one is in the 95% "
        f"interval of {agree}: {made.output / _TABLE}"
    )
    if run_again < len(cells):
        raise typer.Exit(1)


_COLUMNS = (
    "table", "row", "data set", "", "published %", "obtained %", "95%", "difference", "not run",
)  # fmt: skip


def _row(cell: Cell) -> list[object]:
    interval = None if cell.low is None else f"{cell.low:.2f} to {cell.high:.2f}"
    return [
        cell.row.table, cell.row.name, cell.column.name, cell.measure, cell.published,
        cell.obtained, interval, cell.difference, cell.why,
    ]  # fmt: skip
