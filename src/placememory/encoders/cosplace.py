"""The network of CosPlace and EigenPlaces: a trunk, GeM, one linear layer.

Berton, Masone, Caputo, "Rethinking Visual Geo-localization for Large-Scale Applications", CVPR
2022, and Berton, Trivigno, Caputo, Masone, "EigenPlaces", ICCV 2023.
"""

from __future__ import annotations

import re
from typing import cast

from torch import Tensor, nn

from placememory.encoders.card import EncoderInfo, Options
from placememory.encoders.catalogue import GEM_BACKBONES, gem_weights
from placememory.encoders.checkpoint import State, rename_keys
from placememory.encoders.layers import GeM, UnitLength, resnet_trunk, vgg16_trunk
from placememory.encoders.network import Recipe, load_weights, read_whole, read_word
from placememory.encoders.preprocessing import Preprocess

_CHANNELS = {"resnet18": 512, "resnet50": 2048, "resnet101": 2048, "resnet152": 2048, "vgg16": 512}


def recipe(info: EncoderInfo, options: Options) -> Recipe:
    """How ``cosplace`` and ``eigenplaces`` are made; see :class:`Recipe`."""
    backbone = read_word(options, "backbone", tuple(GEM_BACKBONES))
    dim, side = read_whole(options, "dim", 1), read_whole(options, "size", 0)
    return Recipe(
        network=lambda path: load_weights(CosPlaceNet(backbone, dim), path, cosplace_layout),
        preprocess=Preprocess(size=(side, side)) if side else Preprocess(native=True),
        dim=dim,
        published=gem_weights(info.name, backbone, dim),
    )


class CosPlaceNet(nn.Module):
    """(N, 3, H, W) to (N, dim) of unit length."""

    def __init__(self, backbone: str, dim: int) -> None:
        super().__init__()
        self.backbone = vgg16_trunk() if backbone == "vgg16" else resnet_trunk(backbone)
        self.aggregation = nn.Sequential(
            UnitLength(), GeM(), nn.Flatten(), nn.Linear(_CHANNELS[backbone], dim), UnitLength()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to (N, dim)."""
        return cast(Tensor, self.aggregation(self.backbone(x)))


def cosplace_layout(state: State) -> State:
    """The state under the keys of the public release; CaseVPR's ``ep`` files are re-keyed."""
    return rename_keys(state, public_key)


def public_key(key: str) -> str:
    """Key in the public release of a key of CaseVPR's ``ep`` files.

    Example:
        >>> public_key("encoder.4.0.conv1.weight"), public_key("pool.layers.3.bias")
        ('backbone.4.0.conv1.weight', 'aggregation.3.bias')
    """
    key = re.sub(r"^encoder\.", "backbone.", key)
    return re.sub(r"^pool\.layers\.", "aggregation.", key)
