"""``boq-dinov2``: learned queries on DINOv2 ViT-B/14 features (CVPR 2024)."""

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

PREPROCESS = Preprocess(size=(322, 322), interpolation="bicubic", resize_on="tensor")
WEIGHTS = WeightsFile(
    file="boq_dinov2_12288.pth",
    licence="MIT",
    url="https://github.com/amaralibey/Bag-of-Queries/releases/download/v1.0/dinov2_12288.pth",
)
INFO = EncoderInfo(
    name="boq-dinov2",
    summary="bag of learned queries on DINOv2 ViT-B/14, trained on GSV-Cities; has attention maps",
    dim=12288,
    input="322x322",
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

    return load_weights(BoQNet("dinov2"), path)
