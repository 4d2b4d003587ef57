"""DINOv2's vision transformers with the published keys, on timm's.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", TMLR 2024; registers:
Darcet et al., "Vision Transformers Need Registers", ICLR 2024.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, cast

import torch
from timm.layers.mlp import Mlp
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import interpolate, silu

from placememory.errors import EncoderError

PATCH = 14
_TRAINED_SIDE = 37
_OFFSET = 0.1


class Size(NamedTuple):
    """How large a transformer is; ``gated`` ones have another kind of MLP."""

    channels: int
    depth: int
    heads: int
    gated: bool = False


SIZES = {
    "vits14": Size(384, 12, 6),
    "vitb14": Size(768, 12, 12),
    "vitl14": Size(1024, 24, 16),
    "vitg14": Size(1536, 40, 24, gated=True),
}
CHANNELS = SIZES["vitb14"].channels


class _GatedMlp(nn.Module):
    """The MLP of ViT-G: one half of the hidden values scales the other."""

    def __init__(self, in_features: int, hidden_features: int, **_: Any) -> None:
        super().__init__()
        hidden = -(-(hidden_features * 2 // 3) // 8) * 8
        self.w12 = nn.Linear(in_features, 2 * hidden)
        self.w3 = nn.Linear(hidden, in_features)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(silu(gate) * value)  # type: ignore[no-any-return]


class DinoV2(VisionTransformer):
    """(N, 3, H, W), sides multiples of 14, to tokens.

    Args:
        size: One of :data:`SIZES`.
        mask_token: Whether the checkpoint holds the mask token, which only the training used.
        registers: Count of tokens without position between the class token and the patches.
        block: Class of the transformer's blocks.

    Attributes:
        prefix: Count of tokens before the patches.
    """

    def __init__(
        self,
        size: str = "vitb14",
        *,
        mask_token: bool = True,
        registers: int = 0,
        block: type[nn.Module] = Block,
    ) -> None:
        channels, depth, heads, gated = SIZES[size]
        super().__init__(
            img_size=_TRAINED_SIDE * PATCH,
            patch_size=PATCH,
            num_classes=0,
            global_pool="",
            embed_dim=channels,
            depth=depth,
            num_heads=heads,
            init_values=1.0,
            dynamic_img_size=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            block_fn=block,
            weight_init="skip",
            mlp_layer=_GatedMlp if gated else Mlp,
        )
        self.prefix = 1 + registers
        nn.init.trunc_normal_(cast(Tensor, self.pos_embed), std=0.02)
        nn.init.normal_(cast(Tensor, self.cls_token), std=1e-6)
        if registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, registers, channels))
        if mask_token:
            self.mask_token = nn.Parameter(torch.zeros(1, channels))

    def _pos_embed(self, x: Tensor) -> Tensor:
        """Patches (N, rows, columns, C) to tokens (N, prefix + rows * columns, C)."""
        rows, columns = int(x.shape[1]), int(x.shape[2])
        embedding = cast(Tensor, self.pos_embed)
        positions = grid_positions(embedding[:, 1:], rows, columns)
        before = [cast(Tensor, self.cls_token) + embedding[:, :1]]
        if self.prefix > 1:
            before.append(self.register_tokens)
        prefix = torch.cat(before, dim=1).expand(len(x), -1, -1)
        return torch.cat([prefix, x.flatten(1, 2) + positions], dim=1)

    @property
    def stages(self) -> list[Any]:
        """The blocks in order, each tokens to tokens."""
        return list(cast(Any, self.blocks))

    def embed(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to the tokens (N, prefix + P, C) before the first block.

        Raises:
            EncoderError: A side is no multiple of 14.
        """
        height, width = int(x.shape[-2]), int(x.shape[-1])
        if height % PATCH or width % PATCH:
            raise EncoderError(f"DINOv2 takes sides that are multiples of 14, not {height}x{width}")
        return self._pos_embed(cast(Any, self.patch_embed)(x))

    def tokens(self, x: Tensor, *, norm: bool = True) -> Tensor:
        """(N, 3, H, W) to (N, prefix + P, C): class token, registers, patches row by row.

        Args:
            x: Normalised RGB.
            norm: Whether the last LayerNorm is applied.

        Raises:
            EncoderError: A side is no multiple of 14.
        """
        tokens = cast(Any, self.blocks)(self.embed(x))
        return cast(Tensor, self.norm(tokens)) if norm else cast(Tensor, tokens)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """See :meth:`tokens`."""
        return self.tokens(x)

    def maps(self, x: Tensor, *, norm: bool = True) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) to the class token (N, C) and the map (N, C, H / 14, W / 14)."""
        return self.split(self.tokens(x, norm=norm), x)

    def split(self, tokens: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of images to the class token and the map, as :meth:`maps` gives them.

        Args:
            tokens: (N, prefix + P, C).
            x: The images (N, 3, H, W).
        """
        rows, columns = int(x.shape[-2]) // PATCH, int(x.shape[-1]) // PATCH
        patches = tokens[:, self.prefix :].transpose(1, 2)
        return tokens[:, 0], torch.unflatten(patches, 2, (rows, columns))


def grid_positions(embedding: Tensor, rows: int, columns: int) -> Tensor:
    """Position embeddings of the 37 x 37 patches of training, resampled to another grid.

    As in the release, the grid is resampled by a scale factor with an offset of 0.1, not to a
    size, which shifts it a little and shows in every descriptor.

    Args:
        embedding: (1, 1369, C).
        rows: Of the new grid.
        columns: Of the new grid.

    Returns:
        (1, rows * columns, C).
    """
    if rows == columns == _TRAINED_SIDE:
        return embedding
    grid = torch.unflatten(embedding, 1, (_TRAINED_SIDE, _TRAINED_SIDE)).permute(0, 3, 1, 2)
    scales = ((rows + _OFFSET) / _TRAINED_SIDE, (columns + _OFFSET) / _TRAINED_SIDE)
    resampled = interpolate(grid.float(), scale_factor=scales, mode="bicubic", antialias=False)
    return resampled.flatten(2).transpose(1, 2).to(embedding.dtype)
