"""``placememory copy``: a memory from one store into another."""

from __future__ import annotations

from typing import Annotated

import typer

from placememory.cli import _options as options
from placememory.cli._console import progress, say
from placememory.memory import copy, import_collection


def run(
    source: options.Memory,
    target: Annotated[str, typer.Argument(help="Address of the copy.", show_default=False)],
    index: options.IndexKind = None,
    collection: Annotated[
        bool,
        typer.Option(
            "--collection",
            help="The source is a collection of image_name, vertex_id, pose_x, pose_y and a vector "
            "in a Milvus server, made by another program.",
        ),
    ] = False,
) -> None:
    """Copy a memory bit for bit, say from a file to a Milvus server; resumes if interrupted.

    Example: [b]placememory copy office.memory http://localhost:19530/office[/b]
    """
    make = import_collection if collection else copy
    with progress("Copying") as advance, make(source, target, progress=advance) as copied:
        say(f"{copied.uri}: {len(copied)} places")
    if index is not None:
        options.say_index(target, index)
