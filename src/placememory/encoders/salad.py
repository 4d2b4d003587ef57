"""``salad``: DINOv2 features assigned to clusters by optimal transport (CVPR 2024)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from placememory.encoders._card import EncoderInfo, Option
from placememory.encoders._network import NetworkEncoder, load_weights, plain_encoder
from placememory.encoders._preprocess import Preprocess
from placememory.encoders._weights import WeightsFile

if TYPE_CHECKING:
    import torch

PREPROCESS = Preprocess(size=(322, 322), resize_on="tensor")
WEIGHTS = WeightsFile(
    file="dino_salad.ckpt",
    licence="GPL-3.0",
    url="https://github.com/serizba/salad/releases/download/v1.0.0/dino_salad.ckpt",
)
INFO = EncoderInfo(
    name="salad",
    summary="optimal-transport aggregation of DINOv2 ViT-B/14, trained on GSV-Cities",
    dim=8448,
    input="322x322",
    licence="weights GPL-3.0",
    origin="Izquierdo and Civera, CVPR 2024; github.com/serizba/salad",
    weights=WEIGHTS,
)


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> NetworkEncoder:
    """See :func:`placememory.encoders.create`."""
    return plain_encoder(
        NetworkEncoder,
        INFO,
        weights,
        PREPROCESS,
        _network,
        device=device,
        precision=precision,
        options=options,
    )


def _network(path: Path | None) -> torch.nn.Module:
    from placememory.encoders._salad_net import SaladNet

    return load_weights(SaladNet(), path)
