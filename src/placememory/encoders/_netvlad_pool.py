"""NetVLAD's residual sums, kept apart from their normalisation so that frames can be added.

Arandjelović, Gronat, Torii, Pajdla, Sivic, "NetVLAD: CNN architecture for weakly supervised place
recognition", CVPR 2016.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class NetVLADPool(nn.Module):
    """Soft assignment of local features to words, and the sum of the residuals of each word.

    The sum of a (x - c) over positions is a x^T - (sum of a) c, so memory grows with words x
    channels only, not with positions as well. The sums of several images add up to the sums of
    all their local features, which is what a sequence descriptor needs.

    Args:
        channels: C, of the local features.
        words: K, the number of clusters.
        tokens: Whether the checkpoint keeps the assignment as (K, C, 1), for token sequences,
            instead of (K, C, 1, 1), for feature maps. What is computed is the same.
    """

    def __init__(self, channels: int, words: int = 64, *, tokens: bool = False) -> None:
        super().__init__()
        convolution = nn.Conv1d if tokens else nn.Conv2d
        self.conv = convolution(channels, words, kernel_size=1, bias=False)
        self.centroids = nn.Parameter(torch.zeros(words, channels))

    def sums(self, features: Tensor) -> Tensor:
        """(N, C, L) or (N, C, H, W) features to (N, K, C) sums of residuals, in their dtype.

        The features may have any length; it is taken off here. Half precision is widened inside,
        because the residuals are small differences of large sums.
        """
        units = normalize(_wide(features).flatten(2), dim=1)
        shares = (_wide(self.conv.weight).flatten(1) @ units).softmax(dim=1)
        masses = shares.sum(dim=-1)[..., None]
        sums = shares @ units.transpose(1, 2) - masses * _wide(self.centroids)
        return sums.to(features.dtype)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, L) or (N, C, H, W) to the NetVLAD descriptors (N, K * C) of unit length."""
        return vlad_descriptor(self.sums(features))


def vlad_descriptor(sums: Tensor) -> Tensor:
    """(N, K, C) sums to (N, K * C) of unit length, word by word, in their dtype.

    Each word is brought to unit length before the whole, so that no word outweighs the others.
    Sums of zero stay zero, in half precision too, where the norm's lower bound would vanish.
    """
    words = normalize(_wide(sums), dim=-1)
    return normalize(words.flatten(-2), dim=-1).to(sums.dtype)


def _wide(x: Tensor) -> Tensor:
    """At least float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
