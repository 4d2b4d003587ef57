"""``placememory prune``: a smaller memory with the places that matter."""

from __future__ import annotations

from typing import Annotated

import typer

from placememory.cli import _options as options
from placememory.cli._console import say
from placememory.memory import prune, show_address


def run(
    memory: options.Memory,
    target: Annotated[str, typer.Argument(help="Address of the new memory.", show_default=False)],
    places: Annotated[int | None, typer.Option(help="Places to keep.")] = None,
    megabytes: Annotated[float | None, typer.Option(help="Or: size of the descriptors.")] = None,
    radius: Annotated[float, typer.Option(help="Metres within which places are one spot.")] = 2.0,
) -> None:
    """Keep the places that best represent the others, and print what it costs in recall.

    Example: [b]placememory prune office.memory small.memory --places 500[/b]

    The memory itself stays as it is.
    """
    report = prune(memory, target, places=places, megabytes=megabytes, radius=radius)
    say(f"{show_address(target)}: {report}")
