"""CosPlace and EigenPlaces: one network, two trainings; their files, infos and encoders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from placememory.encoders._card import EncoderInfo, Option
from placememory.encoders._network import (
    NetworkEncoder,
    load_weights,
    network_encoder,
    one_of,
    whole,
)
from placememory.encoders._preprocess import Preprocess
from placememory.encoders._weights import WeightsFile

if TYPE_CHECKING:
    import torch

_NAMES = {
    "resnet18": "ResNet18",
    "resnet50": "ResNet50",
    "resnet101": "ResNet101",
    "resnet152": "ResNet152",
    "vgg16": "VGG16",
}
_REPOSITORIES = {"cosplace": "CosPlace", "eigenplaces": "EigenPlaces"}
_DIMS = {
    "cosplace": {
        "resnet18": (32, 64, 128, 256, 512),
        "resnet50": (32, 64, 128, 256, 512, 1024, 2048),
        "resnet101": (32, 64, 128, 256, 512, 1024, 2048),
        "resnet152": (32, 64, 128, 256, 512, 1024, 2048),
        "vgg16": (64, 128, 256, 512),
    },
    "eigenplaces": {
        "resnet18": (256, 512),
        "resnet50": (128, 256, 512, 2048),
        "resnet101": (128, 256, 512, 2048),
        "vgg16": (512,),
    },
}


def gem_weights(method: str, backbone: str, dim: int) -> WeightsFile | None:
    """The published file of a backbone and a dimension; ``None`` if there is none.

    Example:
        >>> gem_weights("cosplace", "resnet18", 512).url.rsplit("/", 1)[1]
        'ResNet18_512_cosplace.pth'
    """
    if dim not in _DIMS[method].get(backbone, ()):
        return None
    file = f"{_NAMES[backbone]}_{dim}_{method}.pth"
    return WeightsFile(
        file=file,
        licence="MIT",
        url=f"https://github.com/gmberton/{_REPOSITORIES[method]}/releases/download/v1.0/{file}",
    )


def gem_info(method: str, *, summary: str, origin: str) -> EncoderInfo:
    """What is known of one of the two methods."""
    return EncoderInfo(
        name=method,
        summary=summary,
        dim=512,
        input="the image as it is, or size x size",
        licence="MIT",
        origin=f"{origin}; github.com/gmberton/{_REPOSITORIES[method]}",
        weights=gem_weights(method, "resnet18", 512),
        options={"backbone": "resnet18", "dim": 512, "size": 0},
    )


def gem_encoder(
    info: EncoderInfo,
    weights: str | Path | None,
    *,
    device: str,
    precision: str,
    options: dict[str, Option],
) -> NetworkEncoder:
    """Make an encoder of one of the two methods.

    Raises:
        EncoderError: The backbone is unknown, or an option is no whole number.
        WeightsError: There are no published weights for these options, or a file is wrong.
    """
    backbone = one_of(options, "backbone", tuple(_NAMES))
    dim, side = whole(options, "dim", 1), whole(options, "size", 0)

    def make(path: Path | None) -> torch.nn.Module:
        from placememory.encoders._cosplace_net import CosPlaceNet, cosplace_layout

        return load_weights(CosPlaceNet(backbone, dim), path, cosplace_layout)

    return network_encoder(
        NetworkEncoder,
        info,
        weights,
        published=gem_weights(info.name, backbone, dim),
        preprocess=Preprocess(size=(side, side)) if side else Preprocess(native=True),
        dim=dim,
        options=options,
        make=make,
        device=device,
        precision=precision,
    )
