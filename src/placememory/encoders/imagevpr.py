"""ImAge: learned tokens that join DINOv2's last blocks are the descriptor; there is no aggregator.

Lu, Jin, Lan, Zhang, Liu, Wang, Yuan, "Towards Implicit Aggregation: Robust Image Representation
for Place Recognition in the Transformer Era", NeurIPS 2025. It is called ``imagevpr`` here, because
nobody would take its own name for that of an encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from placememory.encoders.card import EncoderInfo, Options
from placememory.encoders.catalogue import IMAGEVPR_WEIGHTS
from placememory.encoders.dinov2 import CHANNELS, DinoV2
from placememory.encoders.network import Recipe, load_weights, read_word
from placememory.encoders.preprocessing import Preprocess

TOKENS, JOIN = 8, 8
_REGISTERS = 4


def recipe(info: EncoderInfo, options: Options) -> Recipe:
    """How ``imagevpr`` is made; see :class:`Recipe`."""
    trained_on = read_word(options, "trained_on", tuple(IMAGEVPR_WEIGHTS))
    return Recipe(
        network=lambda path: load_weights(ImAgeNet(), path),
        preprocess=Preprocess(size=(322, 322), resize_on="normalised"),
        dim=info.dim,
        published=IMAGEVPR_WEIGHTS[trained_on],
    )


class ImAgeNet(nn.Module):
    """(N, 3, H, W), sides multiples of 14, to (N, 6144) of unit length, token by token.

    Attributes:
        join: Number of the block before which the aggregation tokens join the others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = DinoV2(registers=_REGISTERS)
        self.learnable_aggregation_tokens = nn.Parameter(torch.randn(1, TOKENS, CHANNELS))
        self.join = JOIN

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to (N, 6144)."""
        tokens = self.backbone.embed(x)
        for number, block in enumerate(self.backbone.stages):
            if number == self.join:
                joined = self.learnable_aggregation_tokens.expand(len(x), -1, -1)
                tokens = torch.cat([joined, tokens], dim=1)
            tokens = block(tokens)
        return normalize(self.backbone.norm(tokens[:, :TOKENS]).flatten(1), dim=1)
