"""DINOv2's ViT-B/14 with the published keys, on timm's vision transformer.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", TMLR 2024.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import interpolate

from placememory.errors import EncoderError

PATCH, CHANNELS = 14, 768
_TRAINED_SIDE = 37
_OFFSET = 0.1


class DinoV2(VisionTransformer):
    """ViT-B/14: (N, 3, H, W), sides multiples of 14, to tokens.

    Args:
        mask_token: Whether the checkpoint holds the mask token, which only the training used.
        block: Class of the transformer's blocks.
    """

    def __init__(self, *, mask_token: bool = True, block: type[nn.Module] = Block) -> None:
        super().__init__(
            img_size=_TRAINED_SIDE * PATCH,
            patch_size=PATCH,
            num_classes=0,
            global_pool="",
            embed_dim=CHANNELS,
            depth=12,
            num_heads=12,
            init_values=1.0,
            dynamic_img_size=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            block_fn=block,
            weight_init="skip",
        )
        nn.init.trunc_normal_(cast(Tensor, self.pos_embed), std=0.02)
        nn.init.normal_(cast(Tensor, self.cls_token), std=1e-6)
        if mask_token:
            self.mask_token = nn.Parameter(torch.zeros(1, CHANNELS))

    def _pos_embed(self, x: Tensor) -> Tensor:
        """Patches (N, rows, columns, C) to tokens (N, 1 + rows * columns, C) with positions."""
        rows, columns = int(x.shape[1]), int(x.shape[2])
        embedding = cast(Tensor, self.pos_embed)
        positions = grid_positions(embedding[:, 1:], rows, columns)
        class_token = (cast(Tensor, self.cls_token) + embedding[:, :1]).expand(len(x), -1, -1)
        return torch.cat([class_token, x.flatten(1, 2) + positions], dim=1)

    def tokens(self, x: Tensor, *, norm: bool = True) -> Tensor:
        """(N, 3, H, W) to (N, 1 + P, 768): class token, then patches row by row.

        Args:
            x: Normalised RGB.
            norm: Whether the last LayerNorm is applied.

        Raises:
            EncoderError: A side is no multiple of 14.
        """
        height, width = int(x.shape[-2]), int(x.shape[-1])
        if height % PATCH or width % PATCH:
            raise EncoderError(f"DINOv2 takes sides that are multiples of 14, not {height}x{width}")
        tokens = cast(Any, self.blocks)(self._pos_embed(cast(Any, self.patch_embed)(x)))
        return cast(Tensor, self.norm(tokens)) if norm else cast(Tensor, tokens)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """See :meth:`tokens`."""
        return self.tokens(x)

    def maps(self, x: Tensor, *, norm: bool = True) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) to the class token (N, 768) and the map (N, 768, H / 14, W / 14)."""
        tokens = self.tokens(x, norm=norm)
        rows, columns = int(x.shape[-2]) // PATCH, int(x.shape[-1]) // PATCH
        return tokens[:, 0], torch.unflatten(tokens[:, 1:].transpose(1, 2), 2, (rows, columns))


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
