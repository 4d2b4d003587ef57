"""The application: every command, in the order of its use."""

from __future__ import annotations

import logging
import os
from collections import UserDict
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from placememory._version import __version__
from placememory.cli._console import LogHandler

_MODULES = {
    "demo": "demo",
    "build": "build",
    "query": "query",
    "localize": "localize",
    "calibrate": "calibrate",
    "figures": "figures",
    "ros": "ros",
    "serve": "serve",
    "loops": "loops",
    "info": "info",
    "evaluate": "evaluate",
    "evaluate-sequences": "evaluate_sequences",
    "train": "train",
    "results": "results",
    "extract": "extract",
    "pairs": "pairs",
    "export": "export",
    "copy": "copying",
    "merge": "merge",
    "prune": "prune",
    "compress": "compress",
    "upgrade": "upgrade",
    "remove": "remove",
    "encoders": "encoders",
    "datasets": "datasets",
}


class _Commands(UserDict[str, Any]):
    """Commands by name; each is imported when it is asked for, so that a query starts at once."""

    def __getitem__(self, name: str) -> Any:
        module = import_module(f"placememory.cli.{self.data[name]}")
        if not hasattr(module, "app"):
            one = typer.Typer(add_completion=False, rich_markup_mode="rich")
            one.command(name)(module.run)
            return typer.main.get_command(one)
        group = typer.main.get_command(module.app)
        group.name = name
        return group


class _Group(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands(_MODULES)


app = typer.Typer(
    name="placememory",
    cls=_Group,
    help="A sense of place for robots: images with poses become a memory that answers where a "
    "camera is.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


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
