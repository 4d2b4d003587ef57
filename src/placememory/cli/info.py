"""``placememory info``: print the contents of a memory and check that it is complete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from placememory.cli import _options as options
from placememory.cli._console import out, print_json, print_table
from placememory.memory import PlaceMemory, index_recall


def run(
    memory: options.Memory,
    check: Annotated[
        bool, typer.Option("--check", help="Read everything, and compare it with its checksums.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Print places, sessions, encoder and extent of a memory.

    Example: [b]placememory info office.memory --check[/b]

    Opening checks what is searched and filtered; images' descriptors are checked when they are
    used, or all at once by --check.
    """
    with PlaceMemory.open(memory, readonly=True) as opened:
        if check:
            opened.check()
        facts = opened.to_dict()
        facts["index"] = opened.search_settings
        if opened.has_index and len(opened) and (check or opened.manifest.index in ("ivf", "hnsw")):
            facts["recall"] = str(index_recall(opened))
    facts["megabytes"] = _megabytes(memory)
    if check:
        facts["checked"] = "everything is as it was written"
    if as_json:
        print_json(facts)
        return
    sessions, extent = facts.pop("sessions"), facts["extent"]
    if extent is not None:
        parts = [f"{axis} {low:.1f} to {high:.1f} m" for axis, (low, high) in extent.items()]
        facts["extent"] = ", ".join(parts)
    facts["encoder_options"] = ", ".join(f"{k}={v}" for k, v in facts["encoder_options"].items())
    for name, value in facts.items():
        shown = "-" if value in (None, "") else value
        out.print(f"{name.replace('_', ' '):>18}  {shown}")
    print_table(("session", "places"), list(sessions.items()))


def _megabytes(uri: str) -> float | None:
    path = Path(uri.removeprefix("milvus-lite:"))
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return round(sum(p.stat().st_size for p in files) / 1e6, 3) if files else None
