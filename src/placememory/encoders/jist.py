"""JIST: CosPlace's descriptors of the frames, pooled by a generalised mean.

Berton, Trivigno, Caputo, Masone, "JIST: Joint Image and Sequence Training for Sequential Visual
Place Recognition", RA-L 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from placememory.encoders.card import EncoderInfo, Options
from placememory.encoders.cosplace import CosPlaceNet
from placememory.encoders.layers import SequenceNet
from placememory.encoders.network import Recipe, load_weights, read_whole
from placememory.encoders.preprocessing import Preprocess
from placememory.encoders.sequence import SequenceEncoder


def recipe(info: EncoderInfo, options: Options) -> Recipe:
    """How ``jist`` is made; see :class:`Recipe`."""
    read_whole(options, "length", 1)
    return Recipe(
        network=lambda path: load_weights(JISTNet(), path),
        preprocess=Preprocess(size=(384, 384)),
        dim=info.dim,
        published=info.weights,
        kind=SequenceEncoder,
    )


class _SeqGeM(nn.Module):
    """Generalised mean over the frames; negative values are clamped to almost zero."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), 3.0))
        self.floor = 1e-6

    def forward(self, frames: Tensor) -> Tensor:
        """(B, L, D) to (B, D)."""
        return frames.clamp(min=self.floor).pow(self.p).mean(dim=1).pow(1.0 / self.p)


class JISTNet(SequenceNet):
    """Frames (N, 3, H, W) to frame descriptors and a sequence descriptor, both 512 long.

    The sequence descriptor is not of unit length, as published.
    """

    dim = 512
    unit = False

    def __init__(self) -> None:
        super().__init__()
        self.model = CosPlaceNet("resnet18", self.dim)
        self.seq_gem = _SeqGeM()

    def per_frame(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to frame descriptors (N, 512)."""
        descriptors: Tensor = self.model(x)
        return descriptors

    def window(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Frame descriptors (B, L, 512) to themselves and (B, 512)."""
        return states, self.seq_gem(states)

    def alone(self, states: Tensor) -> Tensor:
        """Frame descriptors know no neighbours."""
        return states
