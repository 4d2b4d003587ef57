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

_PANELS = {
    "Map": "demo build info copy merge remove prune compress upgrade",
    "Localise": "query localize calibrate figures",
    "Robots and services": "ros serve loops",
    "Research": "evaluate evaluate-sequences results reproduce train encoders datasets",
    "Files of others": "extract pairs export",
}
_PANEL_OF = {name: panel for panel, names in _PANELS.items() for name in names.split()}
_MODULES = {"copy": "copying", "evaluate-sequences": "evaluate_sequences"}


class _Commands(UserDict[str, Any]):
    """Commands by name; each is imported when it is asked for, so that a query starts at once."""

    def __getitem__(self, name: str) -> Any:
        panel = self.data[name]
        module = import_module(f"placememory.cli.{_MODULES.get(name, name)}")
        if not hasattr(module, "app"):
            one = typer.Typer(add_completion=False, rich_markup_mode="rich")
            kind = getattr(module, "COMMAND", None)
            one.command(name, cls=kind, rich_help_panel=panel)(module.run)
            command = typer.main.get_command(one)
        else:
            command = typer.main.get_command(module.app)
            command.name = name
        command.rich_help_panel = panel  # type: ignore[attr-defined]
        return command


class _Group(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands(_PANEL_OF)


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
