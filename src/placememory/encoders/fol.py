"""FoL's global descriptor: optimal transport in which attended patches avoid the dust bin.

Wang, Chen et al., "Focus on Local: Finding Reliable Discriminative Regions for Visual Place
Recognition", AAAI 2025. Its local features, for re-ranking, are not computed here.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from placememory.encoders.card import EncoderInfo, Options
from placememory.encoders.catalogue import FOL_WEIGHTS
from placememory.encoders.dinov2 import PATCH, SIZES, DinoV2
from placememory.encoders.network import Recipe, load_weights, read_whole, read_word
from placememory.encoders.preprocessing import Preprocess
from placememory.encoders.salad import OptimalTransport
from placememory.errors import EncoderError

_CLUSTER_DIM = 128
_LEAST_ATTENTION = 0.01


def recipe(info: EncoderInfo, options: Options) -> Recipe:
    """How ``fol`` is made; see :class:`Recipe`.

    Raises:
        EncoderError: The size is no multiple of 14.
    """
    backbone = read_word(options, "backbone", tuple(FOL_WEIGHTS))
    side = read_whole(options, "size", 9 * PATCH)
    if side % PATCH:
        raise EncoderError(f"size is a multiple of {PATCH}, not {side}")
    return Recipe(
        network=lambda path: load_weights(FoLNet(backbone), path),
        preprocess=Preprocess(size=(side, side), resize_on="normalised"),
        dim=info.dim,
        published=FOL_WEIGHTS[backbone],
    )


class Aggregator(OptimalTransport):
    """Class token (N, C), map (N, C, H, W) and attention (N, H * W) to (N, 8448)."""

    def forward(self, token: Tensor, maps: Tensor, attention: Tensor) -> Tensor:
        """The dust bin takes a patch the less, the more the class token attends to it."""
        return self.aggregate(token, maps, 1.0 - attention[:, None])


class _Trunk(nn.Module):
    """DINOv2 under the name it has in the release, and what its last block attends to."""

    def __init__(self, size: str) -> None:
        super().__init__()
        self.model = DinoV2(size)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 3, H, W) to class token, map and attention (N, P); small attention is zero."""
        tokens = self.model.embed(x)
        *before, last = self.model.stages
        for block in before:
            tokens = block(tokens)
        attention = self._attention(last, tokens)
        token, maps = self.model.split(self.model.norm(last(tokens)), x)
        return token, maps, torch.where(attention < _LEAST_ATTENTION, 0.0, attention)

    def _attention(self, block: Any, tokens: Tensor) -> Tensor:
        """Of the class token to each patch, summed over the heads of a block."""
        count, _, channels = tokens.shape
        heads = block.attn.num_heads
        normed = block.norm1(tokens)
        query, key, _ = block.attn.qkv(normed).chunk(3, dim=-1)
        query = query[:, 0].reshape(count, heads, 1, channels // heads)
        key = key.reshape(count, -1, heads, channels // heads).permute(0, 2, 3, 1)
        shares = ((query * block.attn.scale) @ key).softmax(dim=-1)
        return cast(Tensor, shares[:, :, 0, self.model.prefix :].sum(dim=1))


class FoLNet(nn.Module):
    """(N, 3, H, W), sides multiples of 14, more than 64 patches, to (N, 8448) of unit length.

    ``upconv`` and ``upconv2`` are in the file for the local features, and are not used.
    """

    def __init__(self, backbone: str) -> None:
        super().__init__()
        channels = SIZES[backbone].channels
        self.backbone = _Trunk(backbone)
        self.aggregator = Aggregator(_CLUSTER_DIM, channels)
        self.upconv = nn.ConvTranspose2d(channels, 256, 3)
        self.upconv2 = nn.ConvTranspose2d(256, 128, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to (N, 8448)."""
        descriptors: Tensor = self.aggregator(*self.backbone(x))
        return descriptors
