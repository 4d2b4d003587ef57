"""``netvlad-wpca``: VGG16-NetVLAD whitened by a convolution, the layout of Patch-NetVLAD."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from placememory.encoders._card import EncoderInfo, Option
from placememory.encoders._network import NetworkEncoder, load_weights, network_encoder, whole
from placememory.encoders._preprocess import Preprocess
from placememory.encoders._weights import WeightsFile

if TYPE_CHECKING:
    import torch

PREPROCESS = Preprocess(size=(480, 640))
_TRAININGS = {64: "pitts", 16: "mapillary"}
_DIMS = (128, 512, 4096)
_ADDRESS = "https://huggingface.co/TobiasRobotics/Patch-NetVLAD/resolve/main"


def _weights(dim: int, words: int) -> WeightsFile | None:
    """The published file: 64 words were trained on Pitts30k, 16 on Mapillary."""
    if dim not in _DIMS or words not in _TRAININGS:
        return None
    file = f"{_TRAININGS[words]}_WPCA{dim}.pth.tar"
    return WeightsFile(file=file, licence="MIT", url=f"{_ADDRESS}/{file}")


INFO = EncoderInfo(
    name="netvlad-wpca",
    summary="VGG16-NetVLAD trained on Pitts30k (64 words) or Mapillary (16), whitened",
    dim=4096,
    input="480x640",
    licence="MIT",
    origin="Arandjelović et al., CVPR 2016; release of Patch-NetVLAD",
    weights=_weights(4096, 64),
    options={"dim": 4096, "words": 64},
)


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> NetworkEncoder:
    """See :func:`placememory.encoders.create`."""
    dim, words = whole(options, "dim", 1), whole(options, "words", 1)

    def network(path: Path | None) -> torch.nn.Module:
        from placememory.encoders._netvlad_wpca_net import NetVLADWPCANet

        return load_weights(NetVLADWPCANet(words, dim), path)

    return network_encoder(
        NetworkEncoder,
        INFO,
        weights,
        published=_weights(dim, words),
        preprocess=PREPROCESS,
        dim=dim,
        options=options,
        make=network,
        device=device,
        precision=precision,
    )
