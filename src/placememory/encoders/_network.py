"""An encoder that is one network with published weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from placememory.encoders._base import Descriptors, Encoder, check_images
from placememory.encoders._card import EncoderCard, EncoderInfo, Option
from placememory.encoders._device import Device, choose_device
from placememory.encoders._preprocess import Preprocess
from placememory.encoders._weights import WeightsFile, find_weights, sha256_of
from placememory.errors import WeightsError
from placememory.frames import Image

if TYPE_CHECKING:
    import torch

RANDOM = "random"


class NetworkEncoder(Encoder):
    """One network, images to descriptors.

    Args:
        module: Its ``state_dict`` has the published keys; (N, 3, H, W) to (N, D) of unit norm.
        device: Where it runs.
        card: Its identity, with preprocessing.
    """

    def __init__(self, module: torch.nn.Module, device: Device, card: EncoderCard) -> None:
        self._module = device.place(module)
        self._device = device
        self.card = card

    @property
    def module(self) -> torch.nn.Module:
        """The network, with exactly the published checkpoint's keys."""
        return self._module

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised input (N, 3, H, W) to (N, D) float32 of unit norm."""
        return self._device.run(self._module, x).float()

    def encode(self, images: Sequence[Image]) -> Descriptors:
        """See :meth:`Encoder.encode`."""
        check_images(images)
        preprocess = self.card.preprocess
        assert preprocess is not None
        batches = self._device.batches(preprocess.resize(image) for image in images)
        rows = [self.embed(self._device.normalised(batch, preprocess)) for batch in batches]
        return self._device.to_numpy(rows, self.card.dim)


def network_encoder(
    info: EncoderInfo,
    weights: str | Path | None,
    *,
    published: WeightsFile | None,
    preprocess: Preprocess,
    dim: int,
    options: dict[str, Option],
    make: Callable[[Path | None], torch.nn.Module],
    device: str,
    precision: str,
) -> NetworkEncoder:
    """Make an encoder from a function that builds the network from a file of weights.

    Args:
        info: Of the method.
        weights: ``None`` for the published file, a path, or ``"random"``.
        published: The published file for these options; ``None`` if there is none.
        preprocess: Of the card.
        dim: Length of a descriptor.
        options: Of the card.
        make: Builds the network and loads the file, or leaves it random for ``None``.
        device: Where to run.
        precision: Of the network; ``auto`` is float32, as published.

    Raises:
        WeightsError: There is no published file for these options, it is not here and cannot be
            fetched, or a file belongs to another network.
    """
    chosen = choose_device(device, precision)
    path: Path | None = None
    if weights is None:
        if published is None:
            raise WeightsError(
                f"{info.name} has no published weights for {options}; give a file of your own"
            )
        path = find_weights(published)
    elif weights != RANDOM:
        path = Path(weights)
    module = make(path)
    card = EncoderCard(
        name=info.name,
        dim=dim,
        weights_sha256=sha256_of(path) if path is not None else RANDOM,
        preprocess=preprocess,
        options=options,
        batch_invariant=info.batch_invariant,
        licence=info.licence,
        origin=info.origin,
    )
    return NetworkEncoder(module.eval().requires_grad_(requires_grad=False), chosen, card)
