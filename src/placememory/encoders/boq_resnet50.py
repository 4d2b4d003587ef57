"""``boq-resnet50``: learned queries on ResNet-50 features (CVPR 2024)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from placememory.encoders._boq import BoQEncoder
from placememory.encoders._card import EncoderInfo, Option
from placememory.encoders._network import load_weights, plain_encoder
from placememory.encoders._preprocess import Preprocess
from placememory.encoders._weights import WeightsFile

if TYPE_CHECKING:
    import torch

PREPROCESS = Preprocess(size=(384, 384), interpolation="bicubic", resize_on="tensor")
WEIGHTS = WeightsFile(
    file="boq_resnet50_16384.pth",
    licence="MIT",
    url="https://github.com/amaralibey/Bag-of-Queries/releases/download/v1.0/resnet50_16384.pth",
)
INFO = EncoderInfo(
    name="boq-resnet50",
    summary="bag of learned queries on ResNet-50, trained on GSV-Cities; has attention maps",
    dim=16384,
    input="384x384",
    licence="MIT",
    origin="Ali-bey, Chaib-draa, Giguère, CVPR 2024; github.com/amaralibey/Bag-of-Queries",
    weights=WEIGHTS,
)


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> BoQEncoder:
    """See :func:`placememory.encoders.create`."""
    return plain_encoder(
        BoQEncoder,
        INFO,
        weights,
        PREPROCESS,
        _network,
        device=device,
        precision=precision,
        options=options,
    )


def _network(path: Path | None) -> torch.nn.Module:
    from placememory.encoders._boq_net import BoQNet

    return load_weights(BoQNet("resnet50"), path)
