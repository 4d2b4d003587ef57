"""``placememory merge``: several memories into one."""

from __future__ import annotations

from typing import Annotated

import typer

from placememory.cli import _options as options
from placememory.cli._console import progress, say
from placememory.memory import merge


def run(
    target: options.Memory,
    sources: Annotated[
        list[str], typer.Argument(help="Memories to put together.", show_default=False)
    ],
) -> None:
    """Merge memories of one encoder and one map frame; their sessions are kept apart.

    Example: [b]placememory merge campus.memory north.memory south.memory[/b]
    """
    with progress("Merging") as advance, merge(sources, target, progress=advance) as merged:
        sessions = merged.sessions()
        say(f"{merged.uri}: {len(merged)} places in {len(sessions)} sessions")
