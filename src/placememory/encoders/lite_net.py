"""``lite-net``: the trunk of ``lite-vlad`` with a learned head that needs no fit on the map.

How the head was chosen and trained, and what it costs and gains, is in ``docs/lite-net.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from placememory.encoders._base import Encoder
from placememory.encoders._card import EncoderCard, EncoderInfo, Option
from placememory.encoders._device import Device
from placememory.encoders._network import NetworkEncoder, network_encoder, whole
from placememory.encoders._weights import WeightsFile
from placememory.encoders.lite_vlad import CHANNELS, PREPROCESS

if TYPE_CHECKING:
    import torch

    from placememory.encoders._lite_net import LiteNet

T = TypeVar("T", bound=Encoder)
WORDS = 64
WEIGHTS = WeightsFile(
    file="encoders/weights/lite-net.safetensors",
    sha256="35a21c77072479666277425896e02fda8538c1cb4bfe87e17e53ebb9071d60d7",
    megabytes=0.05,
    licence="Apache-2.0",
    package="placememory",
)
INFO = EncoderInfo(
    name="lite-net",
    summary="EfficientNet-Lite0 at stride 16, learned VLAD head trained on rendered buildings",
    dim=WORDS * CHANNELS,
    input="76,800 pixels in the image's own shape (320x240 for 4:3)",
    licence="Apache-2.0",
    origin="EfficientNet-Lite (Google, 2020); NetVLAD (Arandjelović et al., CVPR 2016); "
    "head trained by this project",
    weights=WEIGHTS,
    options={"words": WORDS, "dim": 0},
)


class LiteEncoder(NetworkEncoder):
    """A :class:`LiteNet` that describes single frames, run with its trunk folded."""

    def __init__(self, module: LiteNet, device: Device, card: EncoderCard) -> None:
        from placememory.encoders._lite_net import FrameNet

        self._fast = device.place(FrameNet(module.folded()).eval())
        super().__init__(module, device, card)

    def graph(self) -> torch.nn.Module:
        """See :meth:`Encoder.graph`."""
        return self._fast

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised input (N, 3, H, W), sides multiples of 16, to (N, D) float32 of unit norm."""
        descriptors: torch.Tensor = self._device.run(self._fast, x)
        return self._device.unit(descriptors)


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> LiteEncoder:
    """See :func:`placememory.encoders.create`."""
    return lite_encoder(
        LiteEncoder, INFO, weights, device=device, precision=precision, options=options
    )


def lite_encoder(
    kind: Callable[[LiteNet, Device, EncoderCard], T],
    info: EncoderInfo,
    weights: str | Path | None,
    *,
    device: str,
    precision: str,
    options: dict[str, Option],
) -> T:
    """Make an encoder of a :class:`LiteNet`, of frames or of windows.

    Raises:
        EncoderError: An option is no whole number.
        WeightsError: There are no published weights for these options, or a file is wrong.
    """
    words, dim = whole(options, "words", 2), whole(options, "dim", 0)

    def network(path: Path | None) -> torch.nn.Module:
        from placememory.encoders._lite_net import load_lite_net

        return load_lite_net(path, words, dim)

    return network_encoder(
        kind,
        info,
        weights,
        published=WEIGHTS if (words, dim) == (WORDS, 0) else None,
        preprocess=PREPROCESS,
        dim=dim or words * CHANNELS,
        options=options,
        make=network,
        device=device,
        precision=precision,
    )
