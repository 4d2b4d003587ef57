"""``megaloc``: SALAD with wider clusters and a projection, trained on five data sets (2025)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from placememory.encoders._card import EncoderInfo, Option
from placememory.encoders._network import NetworkEncoder, load_weights, plain_encoder, whole
from placememory.encoders._preprocess import Preprocess
from placememory.encoders._weights import WeightsFile

if TYPE_CHECKING:
    import torch

WEIGHTS = WeightsFile(
    file="megaloc.safetensors",
    licence="MIT",
    url="https://huggingface.co/gberton/MegaLoc/resolve/main/model.safetensors",
)
INFO = EncoderInfo(
    name="megaloc",
    summary="SALAD aggregation of DINOv2, projected; trained on five data sets together",
    dim=8448,
    input="the image as it is, in multiples of 14, or size x size",
    licence="MIT",
    origin="Berton and Masone, CVPR workshops 2025; github.com/gmberton/MegaLoc",
    weights=WEIGHTS,
    options={"size": 0},
)


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> NetworkEncoder:
    """See :func:`placememory.encoders.create`."""
    return plain_encoder(
        NetworkEncoder,
        INFO,
        weights,
        _preprocess(whole(options, "size", 0)),
        _network,
        device=device,
        precision=precision,
        options=options,
    )


def _preprocess(side: int) -> Preprocess:
    """Resized after normalisation, as in the release; it reports its results at 322."""
    if side:
        return Preprocess(size=(side, side), resize_on="normalised")
    return Preprocess(native=True, multiple=14, resize_on="normalised")


def _network(path: Path | None) -> torch.nn.Module:
    from placememory.encoders._salad_net import MegaLocNet

    return load_weights(MegaLocNet(), path)
