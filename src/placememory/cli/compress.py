"""``placememory compress``: a memory with shorter descriptors."""

from __future__ import annotations

from typing import Annotated

import typer

from placememory.cli import _options as options
from placememory.cli._console import progress, say
from placememory.memory import compress, show_address


def run(
    memory: options.Memory,
    target: Annotated[str, typer.Argument(help="Address of the new memory.", show_default=False)],
    dim: Annotated[int, typer.Option(help="Numbers of a descriptor.")],
    dtype: Annotated[str, typer.Option(help="float32, or float16 for half the file.")] = "float32",
    radius: Annotated[float, typer.Option(help="Metres within which an answer is right.")] = 2.0,
) -> None:
    """Keep the principal components of the descriptors, and print what it costs in recall.

    Example: [b]placememory compress office.memory short.memory --dim 512 --dtype float16[/b]

    The memory itself stays as it is. The components are part of the new memory's encoder, so it is
    queried and added to as before.
    """
    with progress("Compressing") as advance:
        report = compress(memory, target, dim, dtype=dtype, radius=radius, progress=advance)
    say(f"{show_address(target)}: {report}")
