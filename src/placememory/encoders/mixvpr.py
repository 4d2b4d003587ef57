"""MixVPR's network: ResNet-50 up to stride 16, feature mixing over positions, two projections.

Ali-bey, Chaib-draa, Giguère, "MixVPR: Feature Mixing for Visual Place Recognition", WACV 2023.
"""

from __future__ import annotations

from typing import Any, cast

import timm
from torch import Tensor, nn
from torch.nn.functional import normalize

from placememory.encoders.card import EncoderInfo, Options
from placememory.encoders.catalogue import MIXVPR_LAYOUTS, mixvpr_weights
from placememory.encoders.network import Recipe, load_weights, read_whole
from placememory.encoders.preprocessing import Preprocess
from placememory.errors import EncoderError

CHANNELS, SIDE, DEPTH = 1024, 20, 4
POSITIONS = SIDE * SIDE


def recipe(info: EncoderInfo, options: Options) -> Recipe:  # noqa: ARG001
    """How ``mixvpr`` is made; see :class:`Recipe`.

    Raises:
        EncoderError: It has no such dimension.
    """
    dim = read_whole(options, "dim", 1)
    if dim not in MIXVPR_LAYOUTS:
        listed = ", ".join(map(str, MIXVPR_LAYOUTS))
        raise EncoderError(f"mixvpr has the dimensions {listed}, not {dim}")
    channels, rows = MIXVPR_LAYOUTS[dim]
    return Recipe(
        network=lambda path: load_weights(MixVPRNet(channels, rows), path),
        preprocess=Preprocess(size=(16 * SIDE, 16 * SIDE), resize_on="tensor"),
        dim=dim,
        published=mixvpr_weights(dim),
    )


class _Trunk(nn.Module):
    """ResNet-50 without its last stage and classifier."""

    def __init__(self) -> None:
        super().__init__()
        network: Any = timm.create_model("resnet50", pretrained=False)
        network.layer4, network.fc = nn.Identity(), nn.Identity()
        self.model: nn.Module = network

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 320, 320) to (N, 1024, 20, 20)."""
        return cast(Any, self.model).forward_features(x)  # type: ignore[no-any-return]


class _Mixer(nn.Module):
    """x + MLP(LayerNorm(x)) over the positions of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.LayerNorm(POSITIONS),
            nn.Linear(POSITIONS, POSITIONS),
            nn.ReLU(),
            nn.Linear(POSITIONS, POSITIONS),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, P) to the same."""
        return x + cast(Tensor, self.mix(x))


class _Aggregator(nn.Module):
    """Mix positions, then project channels and rows."""

    def __init__(self, channels: int, rows: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(*(_Mixer() for _ in range(DEPTH)))
        self.channel_proj = nn.Linear(CHANNELS, channels)
        self.row_proj = nn.Linear(POSITIONS, rows)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, 1024, 20, 20) to (N, channels * rows) of unit length."""
        mixed = self.mix(maps.flatten(2))
        projected = self.channel_proj(mixed.transpose(1, 2)).transpose(1, 2)
        return normalize(self.row_proj(projected).flatten(1), dim=-1)


class MixVPRNet(nn.Module):
    """(N, 3, 320, 320) to (N, channels * rows) of unit length, ordered by channel, then row."""

    def __init__(self, channels: int, rows: int) -> None:
        super().__init__()
        self.backbone = _Trunk()
        self.aggregator = _Aggregator(channels, rows)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 320, 320) normalised RGB to (N, channels * rows)."""
        return cast(Tensor, self.aggregator(self.backbone(x)))
