"""``placememory export``: a memory's descriptors as an hloc feature file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from placememory.cli import _options as options
from placememory.cli._common import say
from placememory.memory import PlaceMemory
from placememory.memory.features_h5 import FeatureWriter


def run(
    memory: options.Memory,
    out: Annotated[Path, typer.Option("--out", help="The .h5 file.", show_default=False)],
    half: options.Half = True,
) -> None:
    """Write the descriptors of a memory as hloc reads them: NAME/global_descriptor.

    Example: [b]placememory export office.memory --out global-feats.h5[/b]

    With several sessions the names are SESSION/NAME.
    """
    with PlaceMemory.open(memory, readonly=True) as opened:
        several = len(opened.sessions()) > 1
        names = [f"{p.session}/{p.name}" if several else p.name for p in opened.places]
        with FeatureWriter(out, opened.card, dtype="float16" if half else "float32") as writer:
            writer.add(names, opened.descriptors)
    say(f"{out}: {len(names)} descriptors")
