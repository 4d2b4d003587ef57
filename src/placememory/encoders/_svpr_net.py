"""sVPR: two transformers over the tokens of five frames, one over all, one within small patches.

Zhao et al., "Learning Sequence Descriptor based on Spatio-Temporal Attention for Visual Place
Recognition", RA-L 2024 (arXiv 2305.11467). The paper speaks of spatial attention within a frame;
the published network attends to the tokens of all five. Decomposed relative positions are those of
Li et al., "MViTv2: Improved Multiscale Vision Transformers for Classification and Detection",
CVPR 2022.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import fold, one_hot, pad, scaled_dot_product_attention

from placememory.encoders._cct import (
    CCT,
    DIM,
    HEAD_DIM,
    POSITIONS,
    SIDE,
    Attention,
    Block,
    Transformer,
)
from placememory.encoders._netvlad_pool import NetVLADPool, vlad_descriptor
from placememory.encoders._sequence_net import SequenceNet
from placememory.errors import EncoderError

FRAMES = 5
_DEPTH = 4
_PATCH, _STRIDE = 6, 3
_PATCHES = ((SIDE - _PATCH) // _STRIDE + 1) ** 2
_AT_ONCE = 14  # patches attended to together: 140 MB for a window instead of 240 MB, as fast


class RelativeAttention(Attention):
    """Attention in a grid of times, rows and columns that knows how far apart two tokens are.

    To q k / sqrt(64) it adds q R_t + q R_h + q R_w, each R the row of a learned table for the
    distance along one axis. That is one product of longer vectors: queries followed by what they
    say to each time, row and column, and keys followed by ones where their own are. Therefore the
    fused attention applies, and the L x L scores are never stored.
    """

    def __init__(self, grid: tuple[int, int, int]) -> None:
        super().__init__()
        times, rows, columns = self.grid = grid
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * rows - 1, HEAD_DIM))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * columns - 1, HEAD_DIM))
        self.rel_pos_t = nn.Parameter(torch.zeros(2 * times - 1, HEAD_DIM))

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Three times (N, 6, L, 64) to (N, 6, L, 64), L ordered by time, row, column."""
        own = _own_places(self.grid, like=keys).expand(*keys.shape[:2], -1, -1)
        mixed = scaled_dot_product_attention(
            torch.cat([queries * HEAD_DIM**-0.5, self._biases(queries)], dim=-1),
            torch.cat([keys, own], dim=-1),
            pad(values, (0, own.shape[-1])),  # the fused kernel wants values as long as keys
            scale=1.0,
        )
        return mixed[..., :HEAD_DIM]

    def _biases(self, queries: Tensor) -> Tensor:
        """(N, 6, L, 64) to (N, 6, L, times + rows + columns)."""
        placed = queries.reshape(*queries.shape[:2], *self.grid, HEAD_DIM)
        times, rows, columns = self.grid
        parts = (
            torch.einsum("nathwc,tkc->nathwk", placed, _by_distance(self.rel_pos_t, times)),
            torch.einsum("nathwc,hkc->nathwk", placed, _by_distance(self.rel_pos_h, rows)),
            torch.einsum("nathwc,wkc->nathwk", placed, _by_distance(self.rel_pos_w, columns)),
        )
        return torch.cat(parts, dim=-1).flatten(2, 4)


def _by_distance(table: Tensor, length: int) -> Tensor:
    """(2 n - 1, C) rows from distance 1 - n to n - 1, to (n, n, C) by query and key."""
    places = torch.arange(length, device=table.device)
    return table[places[:, None] - places[None, :] + length - 1]


def _own_places(grid: tuple[int, int, int], like: Tensor) -> Tensor:
    """(L, times + rows + columns) of ones and zeros: the time, row and column of each token."""
    axes = (torch.arange(size, device=like.device) for size in grid)
    cells = torch.cartesian_prod(*axes)
    parts = [one_hot(cells[:, axis], size) for axis, size in enumerate(grid)]
    return torch.cat(parts, dim=-1).to(like.dtype)


class PatchAttention(RelativeAttention):
    """Attention within 6 x 6 tokens of all five frames, in 49 patches that overlap.

    A token is in up to four patches, and what it is told in them is added up, not averaged.
    Queries, keys and values have no bias and are made before cutting, once for each token.
    """

    def __init__(self) -> None:
        super().__init__((FRAMES, _PATCH, _PATCH))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 5 * 576, 384) to the same."""
        patches = cut_patches(self.qkv(x))
        return join_patches(torch.cat([self.mix(part) for part in torch.split(patches, _AT_ONCE)]))


def cut_patches(tokens: Tensor) -> Tensor:
    """(B, 5 * 576, C) to (B * 49, 5 * 36, C): 6 x 6 tokens of every frame, 3 apart."""
    channels = tokens.shape[-1]
    maps = tokens.reshape(-1, FRAMES, SIDE, SIDE, channels)
    parts = maps.unfold(2, _PATCH, _STRIDE).unfold(3, _PATCH, _STRIDE)
    ordered = parts.permute(0, 2, 3, 1, 5, 6, 4)
    return ordered.reshape(-1, FRAMES * _PATCH * _PATCH, channels)


def join_patches(patches: Tensor) -> Tensor:
    """(B * 49, 5 * 36, C) to (B, 5 * 576, C): overlapping patches are added, not averaged."""
    channels = patches.shape[-1]
    parts = patches.view(-1, _PATCHES, FRAMES, _PATCH * _PATCH, channels).permute(0, 2, 4, 3, 1)
    columns = parts.reshape(-1, channels * _PATCH * _PATCH, _PATCHES)
    maps = fold(columns, (SIDE, SIDE), _PATCH, stride=_STRIDE)
    return maps.flatten(2).transpose(1, 2).reshape(-1, FRAMES * POSITIONS, channels)


class _Encoder(nn.Module):
    """The sum of a branch that attends to all tokens and one that attends within patches."""

    def __init__(self) -> None:
        super().__init__()
        whole = (FRAMES, SIDE, SIDE)
        self.spatial = CCT(Block(RelativeAttention(whole)) for _ in range(_DEPTH))
        self.temporal = Transformer(Block(PatchAttention()) for _ in range(_DEPTH))

    def forward(self, states: Tensor) -> Tensor:
        """(B, 5, 576, 384) to (B, 5 * 576, 384). The position embeddings are not used."""
        tokens = states.flatten(1, 2)
        return cast(Tensor, self.spatial.classifier(tokens) + self.temporal(tokens))


class SVPRNet(SequenceNet):
    """Convolutional tokens of each frame; both transformers and SeqVLAD for each window.

    Frames are described in windows of five only; there are no descriptors of single frames.

    Attributes:
        dim: Length of a window's descriptor.
    """

    reducible = True

    def __init__(self, words: int = 64) -> None:
        super().__init__()
        self.encoder = _Encoder()
        self.aggregator = NetVLADPool(DIM, words, tokens=True)
        self.dim = words * DIM

    def per_frame(self, x: Tensor) -> Tensor:
        """(N, 3, 384, 384) normalised RGB to the tokens (N, 576, 384).

        Raises:
            EncoderError: The images have another size.
        """
        if tuple(x.shape[-2:]) != (16 * SIDE, 16 * SIDE):
            height, width = x.shape[-2:]
            raise EncoderError(f"sVPR takes 384 x 384 pixels, not {height} x {width}")
        return cast(Tensor, self.encoder.spatial.tokenizer(x))

    def window(self, states: Tensor) -> tuple[None, Tensor]:
        """Tokens (B, 5, 576, 384) to ``None`` and (B, K * 384) of unit length.

        Raises:
            EncoderError: The windows have another length than five frames.
        """
        if tuple(states.shape[1:]) != (FRAMES, POSITIONS, DIM):
            raise EncoderError(f"sVPR takes windows of {FRAMES} frames, not {states.shape[1]}")
        tokens = cast(Tensor, self.encoder(states))
        return None, vlad_descriptor(self.aggregator.sums(tokens.transpose(1, 2)))
