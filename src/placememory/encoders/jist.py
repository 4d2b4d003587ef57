"""``jist``: CosPlace's frame descriptors pooled by a generalised mean (RA-L 2023)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from placememory.encoders._card import EncoderInfo, Option
from placememory.encoders._network import load_weights, plain_encoder, whole
from placememory.encoders._preprocess import Preprocess
from placememory.encoders._sequence import SequenceEncoder
from placememory.encoders._weights import WeightsFile

if TYPE_CHECKING:
    import torch

PREPROCESS = Preprocess(size=(384, 384))
WEIGHTS = WeightsFile(
    file="r18_jist_pretrained.pth",
    licence="MIT",
    page="https://drive.google.com/file/d/1F6eVrR-0LseE-tfbT8Y8WT92_O11lt5o",
)
INFO = EncoderInfo(
    name="jist",
    summary="CosPlace ResNet-18 of each frame, pooled over the frames (not of unit norm)",
    dim=512,
    input="5 frames of 384x384",
    licence="MIT",
    origin="Berton et al., RA-L 2023; github.com/ga1i13o/JIST",
    weights=WEIGHTS,
    sequence=True,
    options={"length": 5},
)


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> SequenceEncoder:
    """See :func:`placememory.encoders.create`."""
    whole(options, "length", 1)
    return plain_encoder(
        SequenceEncoder,
        INFO,
        weights,
        PREPROCESS,
        _network,
        device=device,
        precision=precision,
        options=options,
    )


def _network(path: Path | None) -> torch.nn.Module:
    from placememory.encoders._jist_net import JISTNet

    return load_weights(JISTNet(), path)
