"""VLAD: how far the local features of images lie from the words of a vocabulary.

Jégou, Douze, Schmid, Pérez, "Aggregating local descriptors into a compact image representation",
CVPR 2010; intra-normalisation from Arandjelović and Zisserman, "All about VLAD", CVPR 2013; soft
assignment from Arandjelović, Gronat, Torii, Pajdla, Sivic, "NetVLAD: CNN architecture for weakly
supervised place recognition", CVPR 2016.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from placememory._types import Vectors
from placememory.errors import EncoderError

_SHARE = 0.01  # of the second-nearest word in the first soft assignment


def residual_sums(features: Tensor, shares: Tensor, words: Tensor) -> Tensor:
    """For each word the sum of the residuals of the features, weighted by their shares in it.

    The sum of a (x - c) over positions is a x^T - (sum of a) c, so memory grows with words x
    channels only, not with positions as well. The sums of several images add up to the sums of
    all their local features, which is what a sequence descriptor needs.

    Args:
        features: (N, L, C) x.
        shares: (N, L, K) a.
        words: (K, C) c.

    Returns:
        (N, K, C).
    """
    return shares.transpose(1, 2) @ features - shares.sum(dim=1)[:, :, None] * words


def vlad_descriptor(sums: Tensor) -> Tensor:
    """(N, K, C) sums to (N, K * C) of unit length, word by word, in their dtype.

    Each word is brought to unit length before the whole, so that no word outweighs the others.
    Sums of zero stay zero, in half precision too, where the norm's lower bound would vanish.
    """
    words = normalize(_widen(sums), dim=-1)
    return normalize(words.flatten(-2), dim=-1).to(sums.dtype)


def vlad(features: Tensor, words: Tensor) -> Tensor:
    """VLAD with hard assignment: each feature counts for the word that is nearest to it.

    Args:
        features: (N, L, C) float32.
        words: (K, C) float32.

    Returns:
        (N, K * C) float32 of unit length.
    """
    nearness = features @ words.T - 0.5 * words.square().sum(dim=1)
    shares = one_hot(nearness.argmax(dim=-1), len(words)).to(features.dtype)
    return vlad_descriptor(residual_sums(features, shares, words))


def start_assignment(words: Vectors, features: Vectors) -> tuple[float, Vectors]:
    """Weights of the soft assignment that start it nearly hard.

    Alpha is chosen so that the second-nearest cluster gets a hundredth of the weight of the
    nearest one, at the mean gap between the two.

    Args:
        words: (K, C).
        features: (N, C) local features, unit rows.

    Returns:
        Alpha, and the weights (K, C): alpha times the unit words.

    Raises:
        EncoderError: All clusters are equally near to all features.
    """
    units = words / np.linalg.norm(words, axis=1, keepdims=True).clip(1e-12)
    nearness = np.sort(features @ units.T, axis=1)
    gap = float((nearness[:, -1] - nearness[:, -2]).mean())
    if not gap > 0:
        raise EncoderError("the clusters cannot be distinguished on these images; give more images")
    alpha = -math.log(_SHARE) / gap
    return alpha, (alpha * units).astype(np.float32)


class NetVLADPool(nn.Module):
    """VLAD with soft assignment, learned.

    Args:
        channels: C, of the local features.
        words: K, the number of clusters.
        tokens: Whether the checkpoint holds the assignment as (K, C, 1), for token sequences,
            instead of (K, C, 1, 1), for feature maps. What is computed is the same.
    """

    def __init__(self, channels: int, words: int = 64, *, tokens: bool = False) -> None:
        super().__init__()
        convolution = nn.Conv1d if tokens else nn.Conv2d
        self.conv = convolution(channels, words, kernel_size=1, bias=False)
        self.centroids = nn.Parameter(torch.zeros(words, channels))

    def start(self, words: Vectors, features: Vectors) -> None:
        """Set words (K, C) and their assignment; see :func:`start_assignment`."""
        _, weights = start_assignment(words, features)
        with torch.no_grad():
            self.centroids.copy_(torch.from_numpy(words))
            self.conv.weight.copy_(torch.from_numpy(weights).view_as(self.conv.weight))

    def sums(self, features: Tensor) -> Tensor:
        """(N, C, L) or (N, C, H, W) features to (N, K, C) sums of residuals, in their dtype.

        The features may have any length; it is taken off here. Half precision is widened inside,
        because the residuals are small differences of large sums.
        """
        units = normalize(_widen(features).flatten(2), dim=1)
        shares = (_widen(self.conv.weight).flatten(1) @ units).softmax(dim=1)
        sums = residual_sums(units.transpose(1, 2), shares.transpose(1, 2), _widen(self.centroids))
        return sums.to(features.dtype)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, L) or (N, C, H, W) to the NetVLAD descriptors (N, K * C) of unit length."""
        return vlad_descriptor(self.sums(features))


def _widen(x: Tensor) -> Tensor:
    """At least float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
