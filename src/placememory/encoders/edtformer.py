"""EDTformer: queries decode the features of DINOv2, which a thin side branch adapts.

Jin, Lu, Hu, Yuan, Liu, "EDTformer: An Efficient Decoder Transformer for Visual Place Recognition",
TCSVT 2025.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, normalize

from placememory.encoders.card import EncoderInfo, Options
from placememory.encoders.dinov2 import CHANNELS, DinoV2
from placememory.encoders.network import Recipe, load_weights
from placememory.encoders.preprocessing import Preprocess

QUERIES, COLUMNS, ROWS, LAYERS = 64, 256, 16, 2
_HIDDEN, _HEADS, _SHARE = 4, 16, 0.5


def recipe(info: EncoderInfo, options: Options) -> Recipe:  # noqa: ARG001
    """How ``edtformer`` is made; see :class:`Recipe`."""
    return Recipe(
        network=lambda path: load_weights(EDTformerNet(), path),
        preprocess=Preprocess(size=(322, 322), resize_on="normalised"),
        dim=info.dim,
        published=info.weights,
    )


class _Adapter(nn.Module):
    """A correction through four channels; its share of 0.5 is not in the file."""

    def __init__(self) -> None:
        super().__init__()
        self.D_fc1 = nn.Linear(CHANNELS, _HIDDEN)
        self.D_fc2 = nn.Linear(_HIDDEN, CHANNELS)
        self.share = _SHARE

    def forward(self, x: Tensor) -> Tensor:
        return x + self.share * self.D_fc2(gelu(self.D_fc1(x)))  # type: ignore[no-any-return]


class _Adapted(DinoV2):
    """DINOv2 with a side state, to which each block's output is added; it sees nothing of it."""

    def __init__(self) -> None:
        super().__init__()
        self.adapters = nn.ModuleList(_Adapter() for _ in self.stages)

    def tokens(self, x: Tensor, *, norm: bool = True) -> Tensor:
        """See :meth:`DinoV2.tokens`; these are those of the side state."""
        tokens = side = self.embed(x)
        for block, adapter in zip(self.stages, self.adapters, strict=True):
            tokens = block(tokens)
            side = adapter(side + tokens)
        return cast(Tensor, self.norm(side)) if norm else side


class _Layer(nn.Module):
    """Queries attend to each other, then to the memory; there is no MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(CHANNELS, _HEADS, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(CHANNELS, _HEADS, batch_first=True)
        self.norm1 = nn.LayerNorm(CHANNELS)
        self.norm2 = nn.LayerNorm(CHANNELS)

    def look(self, queries: Tensor) -> Tensor:
        """Queries (N, Q, C) after they looked at each other."""
        together = self.self_attn(queries, queries, queries, need_weights=False)[0]
        return self.norm1(queries + together)  # type: ignore[no-any-return]

    def read(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Queries (N, Q, C) after they looked at the memory (N, P, C)."""
        found = self.multihead_attn(queries, memory, memory, need_weights=False)[0]
        return self.norm2(queries + found)  # type: ignore[no-any-return]


class _Decoder(nn.Module):
    """The layers under the name they have in the file."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Queries (1, Q, C) and memory (N, P, C) to (N, Q, C).

        The first look of the queries at each other depends on no image.
        """
        for layer in cast("list[_Layer]", self.layers):
            queries = layer.read(layer.look(queries).expand(len(memory), -1, -1), memory)
        return queries


class EDTformerNet(nn.Module):
    """(N, 3, H, W), sides multiples of 14, to (N, 4096) of unit length, by channel, then row."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = _Adapted()
        self.queries = nn.Parameter(torch.randn(1, QUERIES, CHANNELS))
        self.fc = nn.Linear(CHANNELS, CHANNELS)
        self.decoder = _Decoder()
        self.channel_proj = nn.Linear(CHANNELS, COLUMNS)
        self.row_proj = nn.Linear(QUERIES, ROWS)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to (N, 4096)."""
        memory = self.fc(self.backbone.tokens(x))  # the class token is part of it
        answers = self.channel_proj(self.decoder(self.queries, memory))
        return normalize(self.row_proj(answers.transpose(1, 2)).flatten(1), dim=1)
