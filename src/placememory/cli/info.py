"""``placememory info``: what is in a memory, and is it whole?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from placememory.cli import _options as options
from placememory.cli._common import out, print_json, print_table
from placememory.memory import PlaceMemory, index_recall


def run(memory: options.Memory, as_json: options.AsJson = False) -> None:
    """Print places, sessions, encoder and extent of a memory, after checking that it is whole.

    Example: [b]placememory info office.memory[/b]
    """
    with PlaceMemory.open(memory, readonly=True) as opened:
        facts = _facts(opened)
    if as_json:
        print_json(facts)
        return
    sessions = facts.pop("sessions")
    for name, value in facts.items():
        out.print(
            f"{name.replace('_', ' '):>18}  {value if value is not None else '-'}", markup=False
        )
    print_table(("session", "places"), list(sessions.items()))


def _facts(memory: PlaceMemory) -> dict[str, Any]:
    manifest, positions = memory.manifest, memory.rows.positions
    posed = positions[~np.isnan(positions[:, 0])]
    extent = None
    if len(posed):
        low, high = posed.min(axis=0), posed.max(axis=0)
        extent = f"x {low[0]:.1f} to {high[0]:.1f} m, y {low[1]:.1f} to {high[1]:.1f} m"
    return {
        "address": memory.uri,
        "made_by": manifest.software,
        "places": len(memory),
        "with_a_pose": len(posed),
        "extent": extent,
        "map_frame": manifest.frame_id,
        "map": manifest.map_yaml,
        "encoder": memory.card.name,
        "encoder_hash": memory.card.hash,
        "encoder_options": ", ".join(f"{k}={v}" for k, v in memory.card.options.items()) or None,
        "descriptors_depend_on_the_batch": not memory.card.batch_invariant,
        "descriptor": f"{manifest.dim} x {manifest.dtype}",
        "sequence_descriptor": manifest.sequence_dim,
        "megabytes": _megabytes(memory.uri),
        "index": str(index_recall(memory)) if memory.has_index and len(memory) else None,
        "sessions": memory.sessions(),
    }


def _megabytes(uri: str) -> float | None:
    path = Path(uri.removeprefix("milvus-lite:"))
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return round(sum(p.stat().st_size for p in files) / 1e6, 3) if files else None
