"""CaseNet: CricaVPR's network with the frames of a sequence in the place of the other images.

Li et al., "CaseVPR: Correlation-Aware Sequential Embedding for Sequence-to-Frame Visual Place
Recognition", RA-L 2025.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from placememory.encoders._checkpoint import State, renamed
from placememory.encoders._crica_net import DIM, RegionContext, adapted_dinov2, square_maps
from placememory.encoders._sequence_net import SequenceNet

ENCODER_TYPES = ("bs_d_c", "b_sd_c", "sd_b_c")


class CaseNet(SequenceNet):
    """Frames (N, 3, S, S) to frame descriptors and a sequence descriptor, both 10752 long.

    Args:
        encoder_type: What attends to what: ``bs_d_c``, each region to itself in the other frames
            (as published); ``b_sd_c``, nothing at all; ``sd_b_c``, all regions of all frames.

    Attributes:
        mixes_sequences: Whether ``bs_d_c`` and ``b_sd_c`` also attend across the sequences of a
            batch, as in the published training. Then a descriptor depends on the batch.
    """

    dim = DIM

    def __init__(self, encoder_type: str) -> None:
        super().__init__()
        self.encoder = adapted_dinov2()
        self.pooling = RegionContext()
        self.encoder_type = encoder_type
        self.mixes_sequences = False

    def per_frame(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) to the 14 regions of each frame (N, 14, 768)."""
        return self.pooling.regions(*square_maps(self.encoder, x))

    def window(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Regions (B, L, 14, 768) to (B, L, 10752) and (B, 10752), of unit length."""
        context = self._context(states).flatten(2)
        return normalize(context, dim=-1), normalize(context.mean(dim=1), dim=-1)

    def alone(self, states: Tensor) -> Tensor:
        """Regions (N, 14, 768) to (N, 10752), each frame without the others."""
        return normalize(self.pooling.apart(states).flatten(1), dim=-1)

    def _context(self, states: Tensor) -> Tensor:
        """(B, L, 14, 768) to the same; the axis along which attention runs comes first."""
        count, frames, regions = states.shape[:3]
        correlate = self.pooling.correlate
        if self.encoder_type == "sd_b_c":
            mixed = correlate(states.flatten(1, 2).transpose(0, 1)).transpose(0, 1)
            return torch.unflatten(mixed, 1, (frames, regions))
        if self.encoder_type == "bs_d_c":
            if self.mixes_sequences:
                return torch.unflatten(correlate(states.flatten(0, 1)), 0, (count, frames))
            mixed = correlate(states.transpose(0, 1).flatten(1, 2))
            return torch.unflatten(mixed, 1, (count, regions)).transpose(0, 1)
        if self.mixes_sequences:
            return torch.unflatten(correlate(states.flatten(1, 2)), 1, (frames, regions))
        return torch.unflatten(self.pooling.apart(states.flatten(0, 1)), 0, (count, frames))


def casenet_layout(state: State) -> State:
    """The state under CaseNet's keys; ``pool.*`` files and the CricaVPR release are re-keyed.

    In the release ``encoder`` is the transformer over regions, here it is the backbone.
    """
    released = any(key.startswith("backbone.") for key in state)
    return renamed(state, _from_release if released else _from_casevpr)


def _from_release(key: str) -> str:
    if key.startswith("backbone."):
        return "encoder." + key.removeprefix("backbone.")
    return "pooling." + key


def _from_casevpr(key: str) -> str:
    return "pooling." + key.removeprefix("pool.") if key.startswith("pool.") else key
