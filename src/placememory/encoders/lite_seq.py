"""``lite-seq``: the network of ``lite-net`` over the frames of a window, added up in its head."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from placememory.encoders._card import EncoderCard, EncoderInfo, Option
from placememory.encoders._device import Device
from placememory.encoders._network import whole
from placememory.encoders._sequence import SequenceEncoder
from placememory.encoders.lite_net import WEIGHTS, WORDS, lite_encoder
from placememory.encoders.lite_vlad import CHANNELS

if TYPE_CHECKING:
    import torch

    from placememory.encoders._lite_net import LiteNet

INFO = EncoderInfo(
    name="lite-seq",
    summary="lite-net over windows: the residuals of all frames in one learned VLAD",
    dim=WORDS * CHANNELS,
    input="5 frames of 76,800 pixels in their own shape (320x240 for 4:3)",
    licence="Apache-2.0",
    origin="as lite-net; SeqVLAD (Mereu et al., RA-L 2022)",
    weights=WEIGHTS,
    sequence=True,
    options={"length": 5, "words": WORDS, "dim": 0},
)


class LiteSequenceEncoder(SequenceEncoder):
    """A :class:`LiteNet` that describes windows, run with its trunk folded."""

    def __init__(self, module: LiteNet, device: Device, card: EncoderCard) -> None:
        self._fast = module.folded().eval()
        device.place(self._fast)
        super().__init__(module, device, card)

    def _states(self, x: torch.Tensor) -> torch.Tensor:
        return self._device.run(self._fast.per_frame, x)


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> LiteSequenceEncoder:
    """See :func:`placememory.encoders.create`."""
    whole(options, "length", 1)
    return lite_encoder(
        LiteSequenceEncoder, INFO, weights, device=device, precision=precision, options=options
    )
