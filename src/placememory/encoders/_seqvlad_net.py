"""SeqVLAD: one NetVLAD over the local features of all frames of a sequence.

Mereu, Trivigno, Berton, Masone, Caputo, "Learning Sequential Descriptors for Sequence-based Visual
Place Recognition", RA-L 2022.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from placememory.encoders._cct import CCT, DIM, Attention, Block
from placememory.encoders._layers import resnet_trunk, vgg16_trunk
from placememory.encoders._netvlad_pool import NetVLADPool, vlad_descriptor
from placememory.encoders._sequence_net import SequenceNet
from placememory.errors import EncoderError

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

    def __init__(self, backbone: str, words: int = 64) -> None:
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
