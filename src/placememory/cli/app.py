"""The application: every command, in the order of its use."""

from __future__ import annotations

import logging
import os
from typing import Annotated

import typer

from placememory._version import __version__
from placememory.cli import (
    build,
    calibrate,
    copying,
    demo,
    encoders,
    evaluate,
    evaluate_sequences,
    export,
    extract,
    figures,
    info,
    localize,
    merge,
    pairs,
    prune,
    query,
    remove,
    results,
    train,
    upgrade,
)
from placememory.cli._console import LogHandler

app = typer.Typer(
    name="placememory",
    help="A sense of place for robots: images with poses become a memory that answers where a "
    "camera is.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.run)
app.command("build")(build.run)
app.command("query")(query.run)
app.command("localize")(localize.run)
app.command("calibrate")(calibrate.run)
app.command("figures")(figures.run)
app.command("info")(info.run)
app.command("evaluate")(evaluate.run)
app.command("evaluate-sequences")(evaluate_sequences.run)
app.command("train")(train.run)
app.command("results")(results.run)
app.command("extract")(extract.run)
app.command("pairs")(pairs.run)
app.command("export")(export.run)
app.command("copy")(copying.run)
app.command("merge")(merge.run)
app.command("prune")(prune.run)
app.command("upgrade")(upgrade.run)
app.command("remove")(remove.run)
app.add_typer(encoders.app, name="encoders")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"placememory {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Download nothing; or set PLACEMEMORY_OFFLINE=1.")
    ] = False,
) -> None:
    """A sense of place for robots."""
    log = logging.getLogger("placememory")
    if not log.handlers:
        log.addHandler(LogHandler())
        log.setLevel(logging.INFO)
    if offline:
        os.environ["PLACEMEMORY_OFFLINE"] = "1"
