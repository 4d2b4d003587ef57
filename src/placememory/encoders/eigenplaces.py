"""``eigenplaces``: the network of CosPlace, trained to see a place from all sides (ICCV 2023)."""

from __future__ import annotations

from pathlib import Path

from placememory.encoders._card import Option
from placememory.encoders._gem import gem_encoder, gem_info
from placememory.encoders._network import NetworkEncoder

INFO = gem_info(
    "eigenplaces",
    summary="GeM and a linear layer on ResNet or VGG16, trained on SF-XL for changes of viewpoint",
    origin="Berton, Trivigno, Caputo, Masone, ICCV 2023",
)


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> NetworkEncoder:
    """See :func:`placememory.encoders.create`."""
    return gem_encoder(INFO, weights, device=device, precision=precision, options=options)
