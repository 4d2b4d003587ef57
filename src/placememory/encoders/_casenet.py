"""CaseNet at both input sizes: infos and encoders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from placememory.encoders._card import EncoderInfo, Option
from placememory.encoders._network import load_weights, network_encoder, one_of, whole
from placememory.encoders._preprocess import RESIZED_ON, Preprocess
from placememory.encoders._sequence import SequenceEncoder
from placememory.encoders._weights import WeightsFile

if TYPE_CHECKING:
    import torch

TYPES = ("bs_d_c", "b_sd_c", "sd_b_c")


def casenet_info(side: int, resize_on: str) -> EncoderInfo:
    """What is known of CaseNet at an input size."""
    return EncoderInfo(
        name=f"casenet-{side}",
        summary="CricaVPR's regions of each frame, in the context of the other frames",
        dim=10752,
        input=f"5 frames of {side}x{side}",
        licence="BSD-2-Clause",
        origin="Li et al., RA-L 2025; github.com/phatli/CaseVPR",
        weights=WeightsFile(
            file=f"casevpr_{side}.pth",
            licence="BSD-2-Clause",
            page="https://github.com/phatli/CaseVPR (the folder of weights its README names)",
        ),
        sequence=True,
        options={"length": 5, "encoder_type": "bs_d_c", "resize_on": resize_on},
    )


def casenet_encoder(
    info: EncoderInfo,
    side: int,
    weights: str | Path | None,
    *,
    device: str,
    precision: str,
    options: dict[str, Option],
) -> SequenceEncoder:
    """Make CaseNet from CaseVPR's own files or from the public CricaVPR release.

    Raises:
        EncoderError: An option is unknown.
        WeightsError: The weights are missing or another network's.
    """
    whole(options, "length", 1)
    kind = one_of(options, "encoder_type", TYPES)

    def network(path: Path | None) -> torch.nn.Module:
        from placememory.encoders._casenet_net import CaseNet, casenet_layout

        return load_weights(CaseNet(kind), path, casenet_layout)

    return network_encoder(
        SequenceEncoder,
        info,
        weights,
        published=info.weights,
        preprocess=Preprocess(
            size=(side, side),
            resize_on=one_of(options, "resize_on", RESIZED_ON),
        ),
        dim=info.dim,
        options=options,
        make=network,
        device=device,
        precision=precision,
    )
