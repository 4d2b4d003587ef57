"""``cliquemining``: SALAD's network trained with mined cliques of places (ECCV 2024)."""

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
    file="cliquemining.ckpt",
    licence="GPL-3.0",
    page="https://drive.google.com/file/d/1B06ysb-Wjb4KDcNrl-7pyj1mJve1jqdk",
)
INFO = EncoderInfo(
    name="cliquemining",
    summary="SALAD's network trained on cliques of hard places of GSV-Cities and MSLS",
    dim=8448,
    input="322x322",
    licence="weights GPL-3.0",
    origin="Izquierdo and Civera, ECCV 2024; github.com/serizba/cliquemining",
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
