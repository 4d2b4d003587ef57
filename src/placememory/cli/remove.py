"""``placememory remove``: take a session out of a memory."""

from __future__ import annotations

from typing import Annotated

import typer

from placememory.cli import _options as options
from placememory.cli._console import say
from placememory.memory import PlaceMemory


def run(
    memory: options.Memory,
    session: Annotated[str, typer.Option(help="Name of the session.", show_default=False)],
) -> None:
    """Remove a session from a memory.

    Example: [b]placememory remove office.memory --session run1[/b]
    """
    with PlaceMemory.open(memory) as opened:
        count = opened.remove(session)
        say(f"{opened.uri}: removed {count} places of session {session!r}, {len(opened)} are left")
