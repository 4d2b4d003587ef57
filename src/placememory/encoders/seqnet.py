"""``seqnet``: NetVLAD-WPCA descriptors convolved over time (RA-L 2021)."""

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

PREPROCESS = Preprocess(size=(480, 640))
WEIGHTS = WeightsFile(
    file="netvladwpca4096_seqnet.pth",
    licence="BSD-2-Clause",
    page="https://github.com/phatli/CaseVPR (the folder of weights its README names)",
)
INFO = EncoderInfo(
    name="seqnet",
    summary="NetVLAD-WPCA of each frame, convolved over time and averaged",
    dim=4096,
    input="5 frames of 480x640",
    licence="MIT; weights BSD-2-Clause",
    origin="Garg and Milford, RA-L 2021; as in github.com/phatli/CaseVPR",
    weights=WEIGHTS,
    sequence=True,
    options={"length": 5},
)


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> SequenceEncoder:
    """See :func:`placememory.encoders.create`."""
    whole(options, "length", 3)
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
    from placememory.encoders._netvlad_wpca_net import SeqNetNet

    return load_weights(SeqNetNet(), path)
