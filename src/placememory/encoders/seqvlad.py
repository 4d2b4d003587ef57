"""SeqVLAD and sVPR: one NetVLAD over the local features of all frames of a window.

Mereu, Trivigno, Berton, Masone, Caputo, "Learning Sequential Descriptors for Sequence-based Visual
Place Recognition", RA-L 2022. sVPR has two transformers over the tokens of five frames in front of
it, one over all, one within small patches: Zhao et al., "Learning Sequence Descriptor based on
Spatio-Temporal Attention for Visual Place Recognition", RA-L 2024 (arXiv 2305.11467). The paper
speaks of spatial attention within a frame; the published network attends to the tokens of all five.

Both may use the Compact Convolutional Transformer for 384 x 384 pixels, 576 tokens of 384 values:
Hassani, Walton, Shah, Abuduweili, Li, Shi, "Escaping the Big Data Paradigm with Compact
Transformers", 2021. Decomposed relative positions are those of Li et al., "MViTv2: Improved
Multiscale Vision Transformers for Classification and Detection", CVPR 2022. Names of the
parameters are those of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import fold, gelu, one_hot, pad, scaled_dot_product_attention

from placememory.encoders.card import EncoderInfo, Options
from placememory.encoders.catalogue import SEQVLAD_WEIGHTS
from placememory.encoders.layers import SequenceNet, resnet_trunk, vgg16_trunk
from placememory.encoders.network import Recipe, load_weights, read_whole, read_word
from placememory.encoders.preprocessing import Preprocess
from placememory.encoders.sequence import SequenceEncoder
from placememory.encoders.vlad import NetVLADPool, vlad_descriptor
from placememory.errors import EncoderError

WORDS = 64
SIDE, DIM, HEADS, HIDDEN = 24, 384, 6, 1152
POSITIONS, HEAD_DIM = SIDE * SIDE, DIM // HEADS


def recipe(info: EncoderInfo, options: Options) -> Recipe:
    """How ``seqvlad`` and ``svpr`` are made; see :class:`Recipe`."""
    make = partial(Recipe, preprocess=Preprocess(size=(384, 384)), kind=SequenceEncoder)
    if info.name == "svpr":
        read_whole(options, "length", FRAMES, FRAMES)
        return make(
            network=lambda path: load_weights(SVPRNet(), path),
            dim=info.dim,
            published=info.weights,
        )
    read_whole(options, "length", 1)
    backbone = read_word(options, "backbone", tuple(CHANNELS))
    return make(
        network=lambda path: load_weights(SeqVLADNet(backbone), path),
        dim=WORDS * CHANNELS[backbone],
        published=SEQVLAD_WEIGHTS.get(backbone),
    )


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


CHANNELS = {"vgg16": 512, "cct384": DIM, "r18l3": 256}
_CCT_BLOCKS = 8


class SeqVLADNet(SequenceNet):
    """Residual sums of each frame, added up over a window of any length.

    Since sums of residuals add, a window costs an addition and a normalisation once the sums of
    its frames are there.

    Args:
        backbone: ``vgg16`` (to conv5_3), ``cct384`` (8 blocks, 384 x 384 pixels only) or
            ``r18l3`` (ResNet-18 to its third stage).
        words: K, the number of clusters.

    Attributes:
        dim: Length of a descriptor, of a frame and of a window alike.

    Raises:
        EncoderError: The backbone is unknown.
    """

    reducible = True

    def __init__(self, backbone: str, words: int = WORDS) -> None:
        super().__init__()
        self._tokens = backbone == "cct384"
        self.encoder = _encoder(backbone)
        self.aggregator = NetVLADPool(CHANNELS[backbone], words, tokens=self._tokens)
        self.dim = words * CHANNELS[backbone]

    def per_frame(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to the sums of residuals (N, K, C), not normalised."""
        features = cast(Tensor, self.encoder(x))
        return self.aggregator.sums(features.transpose(1, 2) if self._tokens else features)

    def window(self, states: Tensor) -> tuple[None, Tensor]:
        """Sums (B, L, K, C) to ``None`` and (B, K * C) of unit length."""
        return None, vlad_descriptor(states.sum(dim=1))

    def alone(self, states: Tensor) -> Tensor:
        """Sums (N, K, C) to each frame's own NetVLAD descriptor (N, K * C) of unit length."""
        return vlad_descriptor(states)


def _encoder(backbone: str) -> nn.Module:
    """(N, 3, H, W) to (N, C, H', W'), or to tokens (N, L, C) for ``cct384``."""
    if backbone == "vgg16":
        return vgg16_trunk()
    if backbone == "cct384":
        return CCT(Block(Attention()) for _ in range(_CCT_BLOCKS))
    if backbone == "r18l3":
        return resnet_trunk("resnet18")[:7]
    raise EncoderError(f"SeqVLAD has no backbone {backbone!r}; it has: {', '.join(CHANNELS)}")


FRAMES = 5
_DEPTH = 4
_PATCH, _STRIDE = 6, 3
_PATCHES = ((SIDE - _PATCH) // _STRIDE + 1) ** 2
_AT_ONCE = 14  # patches attended to together: 140 MB for a window instead of 240 MB, as fast


class RelativeAttention(Attention):
    """Attention in a grid of times, rows and columns that knows how far apart two tokens are.

    To q k / sqrt(64) it adds q R_t + q R_h + q R_w, each R the row of a learned table for the
    distance along one axis. That is one product of longer vectors: queries followed by their
    biases for each time, row and column, and keys followed by ones where their own are.
    Therefore the fused attention applies, and the L x L scores are never stored.
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

    A token is in up to four patches; its outputs are added up, not averaged.
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

    def __init__(self, words: int = WORDS) -> None:
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
