"""CricaVPR: DINOv2 with adapters, 14 regions of an image, and attention across images.

Lu, Lan, Zhang, Jiang, Wang, Yuan, "CricaVPR: Cross-image Correlation-aware Representation
Learning for Visual Place Recognition", CVPR 2024.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn.functional import normalize

from placememory.encoders._checkpoint import State, renamed
from placememory.encoders._dinov2 import CHANNELS, DinoV2
from placememory.encoders._layers import GeM, UnitLength
from placememory.errors import EncoderError

REGIONS = 14
DIM = REGIONS * CHANNELS
_INNER = 384
_HALVES = (slice(0, 8), slice(8, None))
_THIRDS = (slice(0, 5), slice(5, 11), slice(11, None))


class _ConvNorm(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, channels_in: int, channels: int, side: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, side, padding=side // 2)
        self.bn = nn.BatchNorm2d(channels, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


class _Adapter(nn.Module):
    """Convolutions at three scales over the patches, between two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.D_fc1 = nn.Linear(CHANNELS, _INNER)
        self.D_fc2 = nn.Linear(_INNER, CHANNELS)
        self.branch1 = _ConvNorm(_INNER, 192, 1)
        self.branch2 = nn.Sequential(_ConvNorm(_INNER, 24, 1), _ConvNorm(24, 96, 3))
        self.branch3 = nn.Sequential(_ConvNorm(_INNER, 24, 1), _ConvNorm(24, 96, 5))

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, 1 + P, 768) to the same; the class token bypasses the convolutions."""
        inner = torch.relu(self.D_fc1(tokens))
        side = math.isqrt(inner.shape[1] - 1)
        grid = torch.unflatten(inner[:, 1:].transpose(1, 2), 2, (side, side))
        mixed = torch.cat([self.branch1(grid), self.branch2(grid), self.branch3(grid)], dim=1)
        both = torch.cat([inner[:, :1], mixed.flatten(2).transpose(1, 2)], dim=1)
        return self.D_fc2(both + inner)  # type: ignore[no-any-return]


class AdaptedBlock(Block):
    """A transformer block with an adapter beside its MLP."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.adapter = _Adapter()

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """Tokens (N, 1 + P, 768) to the same."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        normed = self.norm2(x)
        return x + self.ls2(self.mlp(normed) + 0.2 * self.adapter(normed))  # type: ignore[no-any-return]


class RegionContext(nn.Module):
    """Regions of an image, and the transformer in which regions of several images meet."""

    def __init__(self) -> None:
        super().__init__()
        self.aggregation = nn.Sequential(UnitLength(), GeM(), nn.Flatten())
        layer = nn.TransformerEncoderLayer(CHANNELS, 16, dim_feedforward=2048, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)

    def regions(self, token: Tensor, maps: Tensor) -> Tensor:
        """Class token (N, 768) and map (N, 768, S, S) to (N, 14, 768).

        The order is class token, 2 x 2 regions, 3 x 3 regions. Where they are cut is written for
        a map of 16 x 16 and kept for others, as in the release; at 23 x 23 the last ones are large.
        """
        cuts = [
            (rows, columns) for parts in (_HALVES, _THIRDS) for rows in parts for columns in parts
        ]
        pooled = [self.aggregation(maps[:, :, rows, columns]) for rows, columns in cuts]
        return torch.stack([token, *pooled], dim=1)

    def correlate(self, regions: Tensor) -> Tensor:
        """(T, R, 768) to the same: for each of R, attention over the T along the first axis."""
        context: Tensor = self.encoder(regions)
        return context

    def apart(self, regions: Tensor) -> Tensor:
        """(N, 14, 768) to the same, each image on its own: attention over a single element."""
        context = self.correlate(regions.flatten(0, 1)[None])[0]
        return torch.unflatten(context, 0, regions.shape[:2])


def adapted_dinov2() -> DinoV2:
    """DINOv2 with an adapter in every block; it takes square images only."""
    return DinoV2(block=AdaptedBlock)


def square_maps(backbone: DinoV2, x: Tensor) -> tuple[Tensor, Tensor]:
    """Class token and map of square images.

    Raises:
        EncoderError: The images are not square.
    """
    if x.shape[-1] != x.shape[-2]:
        raise EncoderError(f"this encoder takes square input, not {x.shape[-2]}x{x.shape[-1]}")
    return backbone.maps(x)


class CricaVPRNet(RegionContext):
    """(N, 3, S, S) to (N, 10752) of unit length.

    Attributes:
        together: Whether the images of a batch attend to each other, as published; their
            descriptors then depend on the batch. Otherwise each image is described alone.
    """

    def __init__(self, *, together: bool) -> None:
        super().__init__()
        self.backbone = adapted_dinov2()
        self.together = together

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) normalised RGB to (N, 10752)."""
        regions = self.regions(*square_maps(self.backbone, x))
        context = self.correlate(regions) if self.together else self.apart(regions)
        return normalize(context.flatten(1), dim=-1)


def cricavpr_layout(state: State) -> State:
    """The state under the keys of the CricaVPR release; CaseVPR's ``crica.pth`` is re-keyed."""
    if any(key.startswith("backbone.") for key in state):
        return state
    return renamed(state, _release_key)


def _release_key(key: str) -> str:
    """``encoder.*`` is the backbone and ``pool.*`` or ``pooling.*`` the rest in CaseVPR's files."""
    if key.startswith("encoder."):
        return "backbone." + key.removeprefix("encoder.")
    return key.removeprefix("pool.").removeprefix("pooling.")
