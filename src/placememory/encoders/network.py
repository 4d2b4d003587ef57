"""Encoders that are a torch network, and how published networks become encoders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray

from placememory._registry import require
from placememory.encoders.base import Descriptors, Encoder
from placememory.encoders.card import EncoderCard, EncoderInfo, Options
from placememory.encoders.device import Device, choose_device
from placememory.encoders.preprocessing import Preprocess
from placememory.encoders.weights import WeightsFile, find_weights, sha256_of
from placememory.errors import EncoderError, WeightsError
from placememory.frames import Image

if TYPE_CHECKING:
    import torch

RANDOM = "random"
N = TypeVar("N", bound="torch.nn.Module")


class TorchEncoder:
    """A torch network as an encoder.

    Args:
        module: Its ``state_dict`` has the published keys; (N, 3, H, W) to (N, D) of unit norm.
        device: Where it runs.
        card: Its identity, with preprocessing.
        fast: Computes the same as ``module``, faster; it is run in its place.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        device: Device,
        card: EncoderCard,
        fast: torch.nn.Module | None = None,
    ) -> None:
        self._fast = device.place(fast or module)
        self._module = device.place(module)
        self._device = device
        self.card = card

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.card.name!r}, {self.card.dim} numbers)"

    @property
    def module(self) -> torch.nn.Module:
        """The network, with exactly the published checkpoint's keys."""
        return self._module

    def graph(self) -> torch.nn.Module:
        """The computation from normalised input (1, 3, H, W) to (1, D) as one module, for export.

        Raises:
            EncoderError: This encoder cannot be exported.
        """
        return self._fast

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised input (N, 3, H, W) to (N, D) float32 of unit norm."""
        descriptors: torch.Tensor = self._device.run(self._fast, x)
        return self._device.unit(descriptors)

    def encode(self, images: Sequence[Image]) -> Descriptors:
        """See :meth:`Encoder.encode`."""
        rows = [self.embed(x) for x in self._inputs(images)]
        return self._device.to_numpy(rows, self.card.dim)

    def with_fitted(self, fitted: Mapping[str, NDArray[Any]]) -> TorchEncoder:
        """The same encoder with fitted state taken from a card.

        Raises:
            EncoderError: This encoder has no fitted state, or the arrays do not fit.
        """
        raise EncoderError(f"{self.card.name} has no fitted state, but got {', '.join(fitted)}")

    def _inputs(self, images: Iterable[Image]) -> Iterator[torch.Tensor]:
        """Images as normalised batches (N, 3, H, W) float32, each of one input size, in order."""
        preprocess = self.card.preprocess
        assert preprocess is not None
        for batch in self._device.batches(preprocess.resize(image) for image in images):
            yield self._device.normalise(batch, preprocess)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How an encoder is made from a published network, for one choice of options.

    Attributes:
        network: Builds the network and loads a file of weights, or leaves it random for ``None``.
        preprocess: Of the card; or a function that takes it from the network that was loaded.
        dim: Length of a descriptor.
        published: The published file for these options; ``None`` if there is none.
        kind: Called with the network, the device and the card; gives the encoder.
        batch_invariant: Whether a descriptor depends on its own image (or window) alone.
        fast_precision: Whether precision ``auto`` takes bfloat16 on a processor that computes in
            it; otherwise it is float32, as published.
    """

    network: Callable[[Path | None], torch.nn.Module]
    preprocess: Preprocess | Callable[[Any], Preprocess]
    dim: int
    published: WeightsFile | None
    kind: Callable[[Any, Device, EncoderCard], TorchEncoder] = TorchEncoder
    batch_invariant: bool = True
    fast_precision: bool = False


@dataclass(frozen=True)
class NetworkMethod:
    """A published network as a method of the registry.

    Attributes:
        info: What is known of it before torch is imported.
        recipe: Called with ``info`` and all options (those given, defaults for the rest).
    """

    info: EncoderInfo
    recipe: Callable[[EncoderInfo, Options], Recipe]

    def create(
        self, weights: str | Path | None, *, device: str, precision: str, options: Options
    ) -> Encoder:
        """Make the encoder; see :func:`placememory.encoders.create`.

        Raises:
            EncoderError: An option has an impossible value.
            WeightsError: There is no published file for these options, it is not here and cannot
                be fetched, or a file belongs to another network.
            MissingExtraError: torch or timm is not installed.
        """
        for library in ("torch", "timm"):
            require(library, extra="torch", purpose="Encoders")
        recipe = self.recipe(self.info, options)
        if precision == "auto" and not recipe.fast_precision:
            precision = "float32"
        chosen = choose_device(device, precision)
        path = self._path(weights, recipe.published, options)
        with seed_weights():
            module = recipe.network(path).eval().requires_grad_(requires_grad=False)
        preprocess = recipe.preprocess
        card = EncoderCard.of(
            self.info,
            options,
            dim=recipe.dim,
            weights_sha256=sha256_of(path) if path is not None else RANDOM,
            preprocess=preprocess if isinstance(preprocess, Preprocess) else preprocess(module),
            batch_invariant=recipe.batch_invariant,
        )
        return recipe.kind(module, chosen, card)

    def published(self, options: Options) -> WeightsFile | None:
        """The published file for all options; ``None`` if there is none.

        Raises:
            EncoderError: An option has an impossible value.
        """
        return (
            self.info.weights
            if options == self.info.options
            else self.recipe(self.info, options).published
        )

    def _path(
        self, weights: str | Path | None, published: WeightsFile | None, options: Options
    ) -> Path | None:
        """The file of weights; ``None`` for random ones.

        Raises:
            WeightsError: There is none for these options, or it is not here and cannot be fetched.
        """
        if weights == RANDOM:
            return None
        if weights is not None:
            return Path(weights)
        if published is None:
            raise WeightsError(
                f"{self.info.name} has no published weights for {options}; give a file of your own"
            )
        return find_weights(published)


@contextmanager
def seed_weights() -> Iterator[None]:
    """Random weights that are the same every time, so that a card identifies one network.

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
    from placememory.encoders.checkpoint import load_strictly, read_checkpoint

    if path is not None:
        state = read_checkpoint(path)
        load_strictly(network, state if layout is None else layout(state), path)
    return network


def read_whole(options: Options, name: str, least: int, most: int = 1 << 20) -> int:
    """A whole number among the options.

    Raises:
        EncoderError: It is no whole number from ``least`` to ``most``.
    """
    value = options[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise EncoderError(f"{name} is a whole number from {least} to {most}, not {value!r}")
    return value


def read_word(options: Options, name: str, known: Sequence[str]) -> str:
    """A word among the options.

    Raises:
        EncoderError: It is none of the known ones.
    """
    value = options[name]
    if value not in known:
        raise EncoderError(f"{name} is one of {', '.join(known)}, not {value!r}")
    return str(value)
