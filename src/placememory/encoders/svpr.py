"""``svpr``: spatial and temporal transformers over the frames, then SeqVLAD (sVPR)."""

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
    file="svpr_pretrained.pth",
    licence="none stated by the authors",
    page="https://github.com/tiev-tongji/Spatio-Temporal-SeqVPR (checkpoints/ours/msls.pth)",
)
INFO = EncoderInfo(
    name="svpr",
    summary="spatio-temporal transformer over all patches of 5 frames, SeqVLAD; windows only",
    dim=24576,
    input="5 frames of 384x384",
    licence="none stated by the authors",
    origin="Zhao et al., Spatio-Temporal-SeqVPR; github.com/tiev-tongji/Spatio-Temporal-SeqVPR",
    weights=WEIGHTS,
    sequence=True,
    options={"length": 5},
)


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> SequenceEncoder:
    """See :func:`placememory.encoders.create`."""
    whole(options, "length", 5, 5)
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
    from placememory.encoders._svpr_net import SVPRNet

    return load_weights(SVPRNet(), path)
