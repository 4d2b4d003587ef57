"""``mixvpr``: ResNet-50 features mixed over all positions (WACV 2023)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from placememory.encoders._card import EncoderInfo, Option
from placememory.encoders._network import NetworkEncoder, load_weights, network_encoder
from placememory.encoders._preprocess import Preprocess
from placememory.encoders._weights import WeightsFile
from placememory.errors import EncoderError

if TYPE_CHECKING:
    import torch

_LAYOUTS = {4096: (1024, 4), 512: (256, 2), 128: (64, 2)}
_DRIVE = {4096: "1vuz3PvnR7vxnDDLQrdHJaOA04SQrtk5L"}
PREPROCESS = Preprocess(size=(320, 320), resize_on="tensor")


def _weights(dim: int) -> WeightsFile | None:
    """The published file of a dimension.

    The authors publish on Google Drive, which asks before it hands out a large file; so the
    address is for a person, and the file is put into the weights folder by hand.
    """
    if dim not in _LAYOUTS:
        return None
    channels, rows = _LAYOUTS[dim]
    return WeightsFile(
        file=f"resnet50_MixVPR_{dim}_channels({channels})_rows({rows}).ckpt",
        licence="none stated by the authors",
        page=f"https://drive.google.com/file/d/{_DRIVE[dim]}" if dim in _DRIVE else _README,
    )


_README = "https://github.com/amaralibey/MixVPR"
INFO = EncoderInfo(
    name="mixvpr",
    summary="feature mixing on ResNet-50, trained on GSV-Cities",
    dim=4096,
    input="320x320",
    licence="none stated by the authors",
    origin="Ali-bey, Chaib-draa, Giguère, WACV 2023; github.com/amaralibey/MixVPR",
    weights=_weights(4096),
    options={"dim": 4096},
)


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> NetworkEncoder:
    """See :func:`placememory.encoders.create`."""
    dim = options["dim"]
    if not isinstance(dim, int) or dim not in _LAYOUTS:
        raise EncoderError(f"mixvpr has the dimensions {', '.join(map(str, _LAYOUTS))}, not {dim}")
    channels, rows = _LAYOUTS[dim]

    def make(path: Path | None) -> torch.nn.Module:
        from placememory.encoders._mixvpr_net import MixVPRNet

        return load_weights(MixVPRNet(channels, rows), path)

    return network_encoder(
        NetworkEncoder,
        INFO,
        weights,
        published=_weights(dim),
        preprocess=PREPROCESS,
        dim=dim,
        options=options,
        make=make,
        device=device,
        precision=precision,
    )
