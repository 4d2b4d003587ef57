"""``seqvlad``: NetVLAD over the local features of all frames of a window (RA-L 2022)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from placememory.encoders._card import EncoderInfo, Option
from placememory.encoders._network import load_weights, network_encoder, one_of, whole
from placememory.encoders._preprocess import Preprocess
from placememory.encoders._sequence import SequenceEncoder
from placememory.encoders._weights import WeightsFile

if TYPE_CHECKING:
    import torch

PREPROCESS = Preprocess(size=(384, 384))
DIMS = {"vgg16": 32768, "cct384": 24576, "r18l3": 16384}
WEIGHTS = {
    "vgg16": WeightsFile(
        file="vgg16_seqvlad.pth",
        licence="BSD-2-Clause",
        page="https://github.com/phatli/CaseVPR (the folder of weights its README names)",
    ),
    "cct384": WeightsFile(
        file="cct384_seqvlad_msls.pth",
        licence="MIT",
        page="https://drive.google.com/file/d/16n6CL2t-asQ_tf8x4ZyJT_Y4UQQedsxh",
    ),
}
INFO = EncoderInfo(
    name="seqvlad",
    summary="one NetVLAD over the local features of all frames; a PCA may stand behind it",
    dim=DIMS["vgg16"],
    input="5 frames of 384x384",
    licence="MIT; weights of vgg16 BSD-2-Clause",
    origin="Mereu, Trivigno, Berton, Masone, Caputo, RA-L 2022; "
    "github.com/vandal-vpr/vg-transformers",
    weights=WEIGHTS["vgg16"],
    sequence=True,
    options={"length": 5, "backbone": "vgg16"},
)


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> SequenceEncoder:
    """See :func:`placememory.encoders.create`."""
    whole(options, "length", 1)
    backbone = one_of(options, "backbone", tuple(DIMS))

    def network(path: Path | None) -> torch.nn.Module:
        from placememory.encoders._seqvlad_net import SeqVLADNet

        return load_weights(SeqVLADNet(backbone), path)

    return network_encoder(
        SequenceEncoder,
        INFO,
        weights,
        published=WEIGHTS.get(backbone),
        preprocess=PREPROCESS,
        dim=DIMS[backbone],
        options=options,
        make=network,
        device=device,
        precision=precision,
    )
