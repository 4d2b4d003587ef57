"""``cosplace``: ResNet or VGG16 with GeM, trained by classification of places (CVPR 2022)."""

from __future__ import annotations

from pathlib import Path

from placememory.encoders._card import Option
from placememory.encoders._gem import gem_encoder, gem_info
from placememory.encoders._network import NetworkEncoder

INFO = gem_info(
    "cosplace",
    summary="GeM and a linear layer on ResNet or VGG16, trained on SF-XL",
    origin="Berton, Masone, Caputo, CVPR 2022",
)


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> NetworkEncoder:
    """See :func:`placememory.encoders.create`."""
    return gem_encoder(INFO, weights, device=device, precision=precision, options=options)
