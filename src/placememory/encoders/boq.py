"""Bag-of-Queries: learned queries attend to the feature map.

Ali-bey, Chaib-draa, Giguère, "BoQ: A Place is Worth a Bag of Learnable Queries", CVPR 2024.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from placememory.encoders.card import EncoderInfo, Options
from placememory.encoders.dinov2 import CHANNELS, DinoV2
from placememory.encoders.layers import resnet_trunk
from placememory.encoders.network import Recipe, TorchEncoder, load_weights
from placememory.encoders.preprocessing import Preprocess
from placememory.frames import Image

QUERIES, ROWS, LAYERS = 64, 32, 2
_HEAD_CHANNELS = 64
_SIDES = {"dinov2": 322, "resnet50": 384}


def recipe(info: EncoderInfo, options: Options) -> Recipe:  # noqa: ARG001
    """How ``boq-dinov2`` and ``boq-resnet50`` are made; see :class:`Recipe`."""
    backbone = info.name.removeprefix("boq-")
    side = _SIDES[backbone]
    return Recipe(
        network=lambda path: load_weights(BoQNet(backbone), path),
        preprocess=Preprocess(size=(side, side), interpolation="bicubic", resize_on="tensor"),
        dim=info.dim,
        published=info.weights,
        kind=BoQEncoder,
    )


class BoQEncoder(TorchEncoder):
    """Bag-of-Queries as an encoder that also shows where its queries look."""

    def attention(self, image: Image) -> NDArray[np.float32]:
        """Where each query of each block looks in an image.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            (2, 64, rows, columns) float32, each map summing to one; a cell is 14 pixels of the
            resized image for DINOv2, 16 for ResNet-50.

        Raises:
            ImageError: It is no image.
        """
        [x] = self._inputs([image])
        network: Any = self._module
        maps: NDArray[np.float32] = self._device.run(network.attention, x)[0].float().cpu().numpy()
        return maps


class _QueryBlock(nn.Module):
    """Encode the features, let the queries attend to each other, then to the features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        heads = channels // _HEAD_CHANNELS
        self.encoder = nn.TransformerEncoderLayer(
            channels, heads, dim_feedforward=4 * channels, dropout=0.0, batch_first=True
        )
        self.queries = nn.Parameter(torch.randn(1, QUERIES, channels))
        self.self_attn = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.norm_q = nn.LayerNorm(channels)
        self.cross_attn = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.norm_out = nn.LayerNorm(channels)

    def look(self) -> Tensor:
        """The queries (1, Q, C) after they looked at each other; they depend on no image."""
        together: Tensor = (
            self.queries
            + self.self_attn(self.queries, self.queries, self.queries, need_weights=False)[0]
        )
        return self.norm_q(together)  # type: ignore[no-any-return]

    def forward(self, features: Tensor, *, weights: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """Features (N, P, C) to features, answers (N, Q, C) and attention (N, Q, P)."""
        features = self.encoder(features)
        queries = self.look().expand(len(features), -1, -1)
        answers, attention = self.cross_attn(queries, features, features, need_weights=weights)
        return features, self.norm_out(answers), attention


class _Aggregator(nn.Module):
    """Two query blocks over a reduced map; their answers projected over the queries."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.proj_c = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.norm_input = nn.LayerNorm(channels)
        self.boqs = nn.ModuleList(_QueryBlock(channels) for _ in range(LAYERS))
        self.fc = nn.Linear(LAYERS * QUERIES, ROWS)

    def forward(self, maps: Tensor, *, weights: bool) -> tuple[Tensor, list[Tensor]]:
        """(N, C, H, W) to (N, channels * 32) of unit length and LAYERS x (N, Q, H, W)."""
        features = self.norm_input(self.proj_c(maps).flatten(2).transpose(1, 2))
        answers, attentions = [], []
        for block in self.boqs:
            features, answer, attention = block(features, weights=weights)
            answers.append(answer)
            if attention is not None:
                attentions.append(attention.unflatten(2, tuple(maps.shape[-2:])))
        projected = self.fc(torch.cat(answers, dim=1).transpose(1, 2))
        return normalize(projected.flatten(1), dim=-1), attentions


class _ResNetTrunk(nn.Module):
    """ResNet-50 without its last stage."""

    def __init__(self) -> None:
        super().__init__()
        self.net = resnet_trunk("resnet50")[:-1]

    def maps(self, x: Tensor) -> Tensor:
        features: Tensor = self.net(x)
        return features


class _DinoTrunk(nn.Module):
    """DINOv2's patches before the last norm."""

    def __init__(self) -> None:
        super().__init__()
        self.dino = DinoV2()

    def maps(self, x: Tensor) -> Tensor:
        return self.dino.maps(x, norm=False)[1]


class BoQNet(nn.Module):
    """(N, 3, H, W) to (N, channels * 32) of unit length, ordered by channel, then row.

    Args:
        backbone: ``resnet50`` (1024 to 512 channels) or ``dinov2`` (768 to 384).
    """

    def __init__(self, backbone: str) -> None:
        super().__init__()
        resnet = backbone == "resnet50"
        self.backbone: Any = _ResNetTrunk() if resnet else _DinoTrunk()
        self.aggregator = _Aggregator(*((1024, 512) if resnet else (CHANNELS, 384)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to (N, channels * 32)."""
        descriptors: Tensor = self.aggregator(self.backbone.maps(x), weights=False)[0]
        return descriptors

    def attention(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 2, 64, rows, columns): where each query of each block looks."""
        attentions: list[Tensor] = self.aggregator(self.backbone.maps(x), weights=True)[1]
        return torch.stack(attentions, dim=1)
