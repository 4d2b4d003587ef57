"""``cricavpr``: regions of DINOv2 features that attend to those of other images (CVPR 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from placememory.encoders._base import Descriptors, check_images
from placememory.encoders._card import EncoderInfo, Option
from placememory.encoders._network import (
    NetworkEncoder,
    inputs,
    load_weights,
    network_encoder,
    one_of,
    whole,
)
from placememory.encoders._preprocess import RESIZED_ON, Preprocess
from placememory.encoders._weights import WeightsFile
from placememory.frames import Image

if TYPE_CHECKING:
    import torch

SIDE = 224
WEIGHTS = WeightsFile(
    file="CricaVPR.pth",
    licence="MIT",
    url="https://github.com/Lu-Feng/CricaVPR/releases/download/v1.0/CricaVPR.pth",
)
INFO = EncoderInfo(
    name="cricavpr",
    summary="14 regions of adapted DINOv2; with together > 1, images attend to each other",
    dim=10752,
    input="224x224",
    licence="MIT",
    origin="Lu et al., CVPR 2024; github.com/Lu-Feng/CricaVPR",
    weights=WEIGHTS,
    options={"together": 1, "resize_on": "normalised"},
)


class CricaVPREncoder(NetworkEncoder):
    """CricaVPR, one image at a time or in groups.

    With ``together`` 1 (the default, and how CaseVPR runs it) a descriptor depends on its image
    alone. With ``together`` n, n images that follow each other in one call attend to each other;
    the authors evaluate with 16. The same image then has another descriptor in other company, and
    its card says ``batch_invariant=False``.
    """

    def encode(self, images: Sequence[Image]) -> Descriptors:
        """See :meth:`Encoder.encode`; groups are formed in the order given."""
        check_images(images)
        size = int(self.card.options["together"])
        rows = [self._group(images[i : i + size]) for i in range(0, len(images), size)]
        return self._device.to_numpy(rows, self.card.dim)

    def _group(self, images: Sequence[Image]) -> torch.Tensor:
        import torch

        return self.embed(torch.cat(inputs(images, self._device, self.card)))


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> NetworkEncoder:
    """See :func:`placememory.encoders.create`."""
    together = whole(options, "together", 1) > 1

    def network(path: Path | None) -> torch.nn.Module:
        from placememory.encoders._crica_net import CricaVPRNet, cricavpr_layout

        return load_weights(CricaVPRNet(together=together), path, cricavpr_layout)

    return network_encoder(
        CricaVPREncoder if together else NetworkEncoder,
        INFO,
        weights,
        published=WEIGHTS,
        preprocess=Preprocess(
            size=(SIDE, SIDE),
            resize_on=one_of(options, "resize_on", RESIZED_ON),
        ),
        dim=INFO.dim,
        options=options,
        make=network,
        device=device,
        precision=precision,
        batch_invariant=not together,
    )
