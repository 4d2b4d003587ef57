"""Pages of the documentation site that are made from the code: ``make docs`` runs this.

The tutorial is the notebook of ``examples``, the changelog the repository's; the reference of the
API has a page for each room with its public names, that of commands what their help says.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import typer
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

from placememory.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "": "What most programs need.",
    "frames": "Images with poses: where they come from and how they are joined.",
    "maps": "Occupancy maps.",
    "encoders": "From images to descriptors.",
    "memory": "The place memory, its stores, and search.",
    "matching": "Sequence matchers.",
    "fusion": "From several frames' candidates to one belief.",
    "geometry": "Verification by local features, and camera poses.",
    "localization": "The Localizer and what it gives.",
    "datasets": "Layouts of data sets.",
    "metrics": "Recall, precision, calibration, errors.",
    "evaluation": "Systems on traverses, with intervals.",
    "training": "Training of encoders.",
    "figures": "Figures and pages.",
    "samples": "Rendered buildings.",
}


@event_priority(100)  # before notebooks are looked for
def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that are made."""

    def add(name: str, content: str) -> None:
        files.append(File.generated(config, name, content=content))

    notebook = File("tutorial.ipynb", str(ROOT / "examples"), config.site_dir, True)
    files.append(notebook)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    add("changelog.md", re.sub(r"\]\(docs/", "](", changelog))
    listed = ["# Python", "", "| module | what it is for |", "|---|---|"]
    for room, what in ROOMS.items():
        module = f"placememory.{room}".rstrip(".")
        listed.append(f"| [`{module}`](api/{module}.md) | {what} |")
        add(f"reference/api/{module}.md", _module_page(module, what))
    add("reference/api.md", "\n".join(listed) + "\n")
    add("reference/commands.md", _commands_page())
    return files


def _module_page(name: str, what: str) -> str:
    """The public names of a module: described where they are defined, else a link there."""
    module = importlib.import_module(name)
    lines, elsewhere = [f"# `{name}`", "", what, ""], []
    own_names = [public for public in vars(module) if not public.startswith("_")]
    for public in getattr(module, "__all__", own_names):
        found = getattr(module, public)
        home = getattr(found, "__module__", None) or ""
        if not home.startswith("placememory") or not hasattr(found, "__qualname__"):
            continue
        path = f"{home}.{found.__qualname__}"
        room = importlib.import_module(_room(home))
        if room is module or public not in getattr(room, "__all__", vars(room)):
            lines += [f"::: {path}", "    options:", f'      heading: "{public}"', ""]
        elif hasattr(module, "__all__"):
            summary = (found.__doc__ or "").strip().splitlines()[:1]
            elsewhere.append(f"| [`{public}`][{path}] | {' '.join(summary)} |")
    if elsewhere:
        lines += ["## Also here", "", "| name | |", "|---|---|", *elsewhere]
    return "\n".join(lines)


def _room(module: str) -> str:
    """The page that describes what a module defines."""
    return ".".join(module.split(".")[:2])


def _commands_page() -> str:
    lines = ["# Commands", ""]
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        lines += _command(f"placememory {name}", command)
    return "\n".join(lines)


def _command(name: str, command: Any) -> list[str]:
    lines = [f"## `{name}`", "", _plain(command.help), ""]
    for inner, part in getattr(command, "commands", {}).items():
        lines += _command(f"{name} {inner}", part)
    shown = [p for p in command.params if not getattr(p, "hidden", False)]
    if shown:
        lines += ["| option | meaning |", "|---|---|"]
        for parameter in shown:
            names = ", ".join(f"`{n}`" for n in (*parameter.opts, *parameter.secondary_opts))
            if parameter.param_type_name == "argument":
                names = f"`{(parameter.name or '').upper()}`"
            told = re.sub(r"\s+", " ", _plain(getattr(parameter, "help", None))).replace("|", "\\|")
            lines.append(f"| {names} | {told} |")
    return [*lines, ""]


def _plain(text: str | None) -> str:
    """Help without the markup of terminals."""
    return re.sub(r"\[/?b\]", "`", text or "")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The notebook of the repository is a page here."""
    return re.sub(r"\(((?:\.\./)*)\.\./examples/tutorial\.ipynb\)", r"(\1tutorial.ipynb)", markdown)
