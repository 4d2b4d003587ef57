"""VGG16-NetVLAD whitened by a convolution, in the layout of Patch-NetVLAD; SeqNet on top of it.

Arandjelović et al., CVPR 2016; Hausler, Garg, Xu, Milford, Fischer, "Patch-NetVLAD", CVPR 2021;
Garg and Milford, "SeqNet: Learning Descriptors for Sequence-based Hierarchical Place
Recognition", RA-L 2021.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import normalize

from placememory.encoders._layers import vgg16_trunk
from placememory.encoders._netvlad_pool import NetVLADPool
from placememory.encoders._sequence_net import SequenceNet

CHANNELS = 512


class NetVLADWPCANet(nn.Module):
    """(N, 3, H, W) normalised RGB to (N, dim) of unit length."""

    def __init__(self, words: int = 64, dim: int = 4096) -> None:
        super().__init__()
        self.encoder = vgg16_trunk()
        self.pool = NetVLADPool(CHANNELS, words)
        self.WPCA = nn.Sequential(nn.Conv2d(words * CHANNELS, dim, 1))

    @property
    def projection(self) -> Any:
        """The whitening: weight (dim, words * 512, 1, 1) and bias (dim,)."""
        return self.WPCA[0]

    def vlad(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, words * 512) of unit length, before whitening."""
        result: Tensor = self.pool(self.encoder(x))
        return result

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, dim)."""
        return normalize(self.WPCA(self.vlad(x)[:, :, None, None]).flatten(1), dim=1)


class _TemporalConvolution(nn.Module):
    """The convolution over time under the name it has in the checkpoint."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, width)


class SeqNetNet(SequenceNet):
    """Frame descriptors of NetVLAD-WPCA, convolved over time and averaged; 4096 values each."""

    dim = 4096

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        image = NetVLADWPCANet(dim=self.dim)
        self.encoder, self.pool, self.WPCA = image.encoder, image.pool, image.WPCA
        self.seq_encoder = _TemporalConvolution(self.dim, width)

    def per_frame(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to frame descriptors (N, 4096)."""
        vlad = self.pool(self.encoder(x))[:, :, None, None]
        return normalize(self.WPCA(vlad).flatten(1), dim=1)

    def window(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Frame descriptors (B, L, 4096) to themselves and (B, 4096) of unit length."""
        moments: Tensor = self.seq_encoder.conv(states.transpose(1, 2))
        return states, normalize(moments.mean(dim=-1), dim=-1)

    def alone(self, states: Tensor) -> Tensor:
        """Frame descriptors know no neighbours."""
        return states
