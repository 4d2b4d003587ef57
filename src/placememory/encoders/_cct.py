"""The Compact Convolutional Transformer for 384 x 384 pixels: 576 tokens of 384 values.

Hassani, Walton, Shah, Abuduweili, Li, Shi, "Escaping the Big Data Paradigm with Compact
Transformers", 2021. Names of the parameters are those of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from placememory.errors import EncoderError

SIDE, DIM, HEADS, HIDDEN = 24, 384, 6, 1152
POSITIONS, HEAD_DIM = SIDE * SIDE, DIM // HEADS


class Tokenizer(nn.Module):
    """Two steps of convolution, ReLU and max-pooling, each of stride 4 in all."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_layers = nn.Sequential(_step(3, 64), _step(64, DIM))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, H / 16 * W / 16, 384), row by row."""
        maps = cast(Tensor, self.conv_layers(x))
        return maps.flatten(2).transpose(1, 2)


def _step(channels: int, filters: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, filters, kernel_size=7, stride=2, padding=3, bias=False),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
    )


class Attention(nn.Module):
    """Self-attention of six heads; a subclass may change how heads attend."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(DIM, 3 * DIM, bias=False)
        self.proj = nn.Linear(DIM, DIM)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, 384) to the same."""
        return self.mix(self.qkv(x))

    def mix(self, qkv: Tensor) -> Tensor:
        """(N, L, 3 * 384) queries, keys and values to (N, L, 384), projected."""
        heads = qkv.reshape(*qkv.shape[:2], 3, HEADS, HEAD_DIM).permute(2, 0, 3, 1, 4)
        mixed = self.attend(*heads.unbind(0))
        return cast(Tensor, self.proj(mixed.transpose(1, 2).flatten(2)))

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Three times (N, 6, L, 64) to (N, 6, L, 64)."""
        return scaled_dot_product_attention(queries, keys, values)


class Block(nn.Module):
    """Attention and two linear layers.

    The second normalisation acts on the residual stream itself, not on a branch of it: the
    normalised tokens are what the output of the linear layers is added to.
    """

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.pre_norm = nn.LayerNorm(DIM)
        self.self_attn = attention
        self.norm1 = nn.LayerNorm(DIM)
        self.linear1 = nn.Linear(DIM, HIDDEN)
        self.linear2 = nn.Linear(HIDDEN, DIM)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, 384) to the same."""
        x = self.norm1(x + self.self_attn(self.pre_norm(x)))
        return x + cast(Tensor, self.linear2(gelu(self.linear1(x))))


class Transformer(nn.Module):
    """Blocks and a final normalisation.

    ``positional_emb`` is for the caller to add, or not. ``attention_pool`` weighs tokens for
    classification; nothing here uses it, but the checkpoints carry it.
    """

    def __init__(self, blocks: Iterable[Block]) -> None:
        super().__init__()
        self.positional_emb = nn.Parameter(torch.zeros(1, POSITIONS, DIM))
        self.attention_pool = nn.Linear(DIM, 1)
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(DIM)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, 384) to the same."""
        for block in self.blocks:
            tokens = block(tokens)
        return cast(Tensor, self.norm(tokens))


class CCT(nn.Module):
    """Tokenizer and transformer, without a classifier.

    Args:
        blocks: Of the transformer, first to last.
    """

    def __init__(self, blocks: Iterable[Block]) -> None:
        super().__init__()
        self.tokenizer = Tokenizer()
        self.classifier = Transformer(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 384, 384) normalised RGB to (N, 576, 384).

        Raises:
            EncoderError: The images have another number of positions than the embeddings.
        """
        tokens = cast(Tensor, self.tokenizer(x))
        if tokens.shape[1] != POSITIONS:
            height, width = x.shape[-2:]
            raise EncoderError(f"this network takes 384 x 384 pixels, not {height} x {width}")
        return cast(Tensor, self.classifier(tokens + self.classifier.positional_emb))
