"""VLAD: how far the local features of an image lie from the words of a vocabulary.

Jégou, Douze, Schmid, Pérez, "Aggregating local descriptors into a compact image representation",
CVPR 2010; intra-normalisation from Arandjelović and Zisserman, "All about VLAD", CVPR 2013.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot


def local_features(maps: Tensor, local: nn.Linear | None = None) -> Tensor:
    """Local features of a feature map.

    Each position is brought to unit length, the outermost ring is left out (zero padding spoils
    it), the rest is averaged over 2x2 neighbours, and brought to unit length again. Maps with
    fewer than four positions a side keep their ring and are not averaged.

    Args:
        maps: (N, C, H, W) of any float type.
        local: Learned map of the features, whose result is of unit length again.

    Returns:
        (N, L, C) float32, unit rows; L = (H - 3) (W - 3) in general.
    """
    features = normalize(maps.permute(0, 2, 3, 1).float(), dim=-1)
    if min(features.shape[1:3]) >= 4:
        inner = features[:, 1:-1, 1:-1]
        top, bottom = inner[:, :-1], inner[:, 1:]
        features = normalize(
            top[:, :, :-1] + top[:, :, 1:] + bottom[:, :, :-1] + bottom[:, :, 1:], dim=-1
        )
    features = features.flatten(1, 2)
    return features if local is None else normalize(local(features), dim=-1)


def vlad(features: Tensor, words: Tensor) -> Tensor:
    """Aggregate local features.

    Args:
        features: (N, L, C) float32.
        words: (K, C) float32.

    Returns:
        (N, K * C) float32: per word the sum of differences of the features that are nearest to
        it, each word's part of unit length (or zero), the whole of unit length.
    """
    nearness = features @ words.T - 0.5 * words.square().sum(dim=1)
    membership = one_hot(nearness.argmax(dim=-1), len(words)).to(features.dtype)
    sums = membership.transpose(1, 2) @ features
    residuals = sums - membership.sum(dim=1)[:, :, None] * words
    return normalize(normalize(residuals, dim=-1).flatten(1), dim=-1)


class VladNet(nn.Module):
    """A trunk and its vocabulary in one: normalised input (N, 3, H, W) to (N, K * C)."""

    def __init__(self, trunk: nn.Module, words: Tensor, local: nn.Linear | None = None) -> None:
        super().__init__()
        self.trunk = trunk
        self.local = local
        self.register_buffer("words", words)

    def forward(self, x: Tensor) -> Tensor:
        """See :func:`vlad`."""
        return vlad(local_features(self.trunk(x), self.local), cast(Tensor, self.words))


def as_tensor(words: object, device: torch.device) -> Tensor:
    """A vocabulary (K, C) as float32 on a device."""
    return torch.as_tensor(words, dtype=torch.float32, device=device)
