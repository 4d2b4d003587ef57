"""``casenet-322``: hierarchical frame and sequence descriptors at 322 x 322 pixels (RA-L 2025)."""

from __future__ import annotations

from pathlib import Path

from placememory.encoders._card import Option
from placememory.encoders._casenet import casenet_encoder, casenet_info
from placememory.encoders._sequence import SequenceEncoder

SIDE = 322
INFO = casenet_info(SIDE, resize_on="tensor")


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> SequenceEncoder:
    """See :func:`placememory.encoders.create`."""
    return casenet_encoder(INFO, SIDE, weights, device=device, precision=precision, options=options)
