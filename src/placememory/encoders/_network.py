"""An encoder that is one network with published weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from placememory._registry import require
from placememory.encoders._base import Descriptors, Encoder, check_images
from placememory.encoders._card import EncoderCard, EncoderInfo, Option
from placememory.encoders._device import Device, choose_device
from placememory.encoders._preprocess import Preprocess
from placememory.encoders._weights import WeightsFile, find_weights, sha256_of
from placememory.errors import EncoderError, WeightsError
from placememory.frames import Image

if TYPE_CHECKING:
    import torch

RANDOM = "random"
T = TypeVar("T", bound=Encoder)
N = TypeVar("N", bound="torch.nn.Module")


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

    def graph(self) -> torch.nn.Module:
        """See :meth:`Encoder.graph`."""
        return self._module

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised input (N, 3, H, W) to (N, D) float32 of unit norm."""
        descriptors: torch.Tensor = self._device.run(self._module, x)
        return self._device.unit(descriptors)

    def encode(self, images: Sequence[Image]) -> Descriptors:
        """See :meth:`Encoder.encode`."""
        check_images(images)
        rows = [self.embed(x) for x in inputs(images, self._device, self.card)]
        return self._device.to_numpy(rows, self.card.dim)


def inputs(images: Sequence[Image], device: Device, card: EncoderCard) -> list[torch.Tensor]:
    """Images as normalised batches (N, 3, H, W) float32, each of one input size, in order."""
    preprocess = card.preprocess
    assert preprocess is not None
    batches = device.batches(preprocess.resize(image) for image in images)
    return [device.normalised(batch, preprocess) for batch in batches]


def network_encoder(
    kind: Callable[[Any, Device, EncoderCard], T],
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
    batch_invariant: bool = True,
) -> T:
    """Make an encoder from a function that builds the network from a file of weights.

    Args:
        kind: Class of the encoder: called with the network, the device and the card.
        info: Of the method.
        weights: ``None`` for the published file, a path, or ``"random"``: the same every time.
        published: The published file for these options; ``None`` if there is none.
        preprocess: Of the card.
        dim: Length of a descriptor.
        options: Of the card.
        make: Builds the network and loads the file, or leaves it random for ``None``.
        device: Where to run.
        precision: Of the network; ``auto`` is float32, as published.
        batch_invariant: Whether a descriptor depends on its own image (or window) alone.

    Raises:
        WeightsError: There is no published file for these options, it is not here and cannot be
            fetched, or a file belongs to another network.
        MissingExtraError: torch or timm is not installed.
    """
    require("timm", extra="torch", purpose="Encoders")
    chosen = choose_device(device, "float32" if precision == "auto" else precision)
    path = weights_path(info.name, weights, published, options)
    with seeded():
        module = make(path)
    card = EncoderCard(
        name=info.name,
        dim=dim,
        weights_sha256=sha256_of(path) if path is not None else RANDOM,
        preprocess=preprocess,
        options=options,
        batch_invariant=batch_invariant,
        licence=info.licence,
        origin=info.origin,
    )
    return kind(module.eval().requires_grad_(requires_grad=False), chosen, card)


def plain_encoder(
    kind: Callable[[Any, Device, EncoderCard], T],
    info: EncoderInfo,
    weights: str | Path | None,
    preprocess: Preprocess,
    make: Callable[[Path | None], torch.nn.Module],
    *,
    device: str,
    precision: str,
    options: dict[str, Option],
) -> T:
    """Make an encoder of one published file and one dimension, see :func:`network_encoder`."""
    return network_encoder(
        kind,
        info,
        weights,
        published=info.weights,
        preprocess=preprocess,
        dim=info.dim,
        options=options,
        make=make,
        device=device,
        precision=precision,
    )


@contextmanager
def seeded() -> Iterator[None]:
    """Random weights that are the same every time, so that a card stands for one network.

    The generator of the caller is left as it was.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def load_weights(network: N, path: Path | None, layout: Callable[[Any], Any] | None = None) -> N:
    """A network with the weights of a file, loaded strictly; random as it is for ``None``.

    Args:
        network: To load into.
        path: Of a ``.pth``, ``.ckpt`` or ``.safetensors`` file; wrappers are taken off.
        layout: Brings the keys of another release of the same network to this network's keys.

    Raises:
        WeightsError: The file cannot be read or holds another network's weights.
    """
    from placememory.encoders._checkpoint import load_strictly, read_checkpoint

    if path is not None:
        state = read_checkpoint(path)
        load_strictly(network, state if layout is None else layout(state), path)
    return network


def weights_path(
    name: str,
    weights: str | Path | None,
    published: WeightsFile | None,
    options: dict[str, Option],
) -> Path | None:
    """Where the weights lie; ``None`` for random ones.

    Raises:
        WeightsError: There is no published file for these options, or it is not here and cannot
            be fetched.
    """
    if weights == RANDOM:
        return None
    if weights is not None:
        return Path(weights)
    if published is None:
        raise WeightsError(
            f"{name} has no published weights for {options}; give a file of your own"
        )
    return find_weights(published)


def whole(options: dict[str, Option], name: str, least: int, most: int = 1 << 20) -> int:
    """A whole number among the options.

    Raises:
        EncoderError: It is no whole number from ``least`` to ``most``.
    """
    value = options[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise EncoderError(f"{name} is a whole number from {least} to {most}, not {value!r}")
    return value


def one_of(options: dict[str, Option], name: str, known: Sequence[str]) -> str:
    """A word among the options.

    Raises:
        EncoderError: It is none of the known ones.
    """
    value = options[name]
    if value not in known:
        raise EncoderError(f"{name} is one of {', '.join(known)}, not {value!r}")
    return str(value)
