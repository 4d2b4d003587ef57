"""AnyLoc: VLAD over local features that DINOv2 has without any training for places.

Keetha, Mishra, Karhade, Jatavallabhula, Scherer, Krishna, Garg, "AnyLoc: Towards Universal Visual
Place Recognition", RA-L 2023. The words are published for six kinds of places, or fitted on the
map's own images, or come from a file that :meth:`AnyLocEncoder.save_words` wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from placememory._io import write_bytes
from placememory._types import Vectors
from placememory.encoders.base import Descriptors
from placememory.encoders.card import EncoderCard, EncoderInfo, Options
from placememory.encoders.catalogue import ANYLOC_FACETS, ANYLOC_VOCABULARIES, dinov2_weights
from placememory.encoders.checkpoint import read_tensor
from placememory.encoders.device import Device
from placememory.encoders.dinov2 import PATCH, SIZES, DinoV2
from placememory.encoders.lite_vlad import VladEncoder
from placememory.encoders.network import Recipe, TorchEncoder, load_weights, read_whole, read_word
from placememory.encoders.preprocessing import Preprocess
from placememory.encoders.vlad import residual_sums, vlad_descriptor
from placememory.encoders.weights import find_weights
from placememory.errors import EncoderError, PlaceMemoryError, WeightsError
from placememory.frames import Image

PREPROCESS = Preprocess(
    longest=1024,
    enlarge=False,
    multiple=PATCH,
    crop=True,
    interpolation="bicubic",
    resize_on="normalised",
)
OWN_IMAGES, _FILE = "map", "file"
_PUBLISHED = {"model": "vitg14", "layer": 31, "facet": "value", "words": 32}
_FIT_IMAGES = 100
_FITTED_ON = "fitted_on"


def recipe(info: EncoderInfo, options: Options) -> Recipe:  # noqa: ARG001
    """How ``anyloc`` is made; see :class:`Recipe`.

    Raises:
        EncoderError: An option has an impossible value, or the published words are of another
            model, layer, facet or count.
    """
    model = read_word(options, "model", tuple(SIZES))
    layer = read_whole(options, "layer", 0, SIZES[model].depth - 1)
    facet = read_word(options, "facet", ANYLOC_FACETS)
    words = read_whole(options, "words", 2)
    read_whole(options, "seed", 0)
    if options["vocabulary"] in ANYLOC_VOCABULARIES:
        chosen = {name: options[name] for name in _PUBLISHED}
        if chosen != _PUBLISHED:
            wanted = ", ".join(f"{name}={value}" for name, value in _PUBLISHED.items())
            raise EncoderError(
                f"the vocabulary {options['vocabulary']!r} is published for {wanted} only; use "
                f"those, or vocabulary={OWN_IMAGES}"
            )
    return Recipe(
        network=lambda path: load_weights(FacetNet(model, layer, facet), path),
        preprocess=PREPROCESS,
        dim=words * SIZES[model].channels,
        published=dinov2_weights(model),
        kind=_with_vocabulary,
    )


class FacetNet(DinoV2):
    """(N, 3, H, W), sides multiples of 14, to local features (N, P, C) of unit length.

    Args:
        size: One of :data:`SIZES`.
        layer: Number of a block, from 0; those after it are in the file and are not run.
        facet: ``token``, the output of that block; or ``query``, ``key`` or ``value`` of its
            attention, of all heads together.
    """

    def __init__(self, size: str, layer: int, facet: str) -> None:
        super().__init__(size)
        self.layer, self.facet = layer, facet

    def find(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to the facet (N, 1 + P, C) as it is, class token first."""
        tokens = self.embed(x)
        *before, last = self.stages[: self.layer + 1]
        for block in before:
            tokens = block(tokens)
        if self.facet == "token":
            return cast(Tensor, last(tokens))
        parts = last.attn.qkv(last.norm1(tokens)).chunk(3, dim=-1)
        return cast(Tensor, parts[("query", "key", "value").index(self.facet)])

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(N, 3, H, W) normalised RGB to (N, P, C), patches row by row."""
        return normalize(self.find(x)[:, self.prefix :], dim=-1)


def cosine_vlad(features: Tensor, words: Tensor) -> Tensor:
    """VLAD in which each feature counts for the word of the largest cosine.

    Args:
        features: (N, L, C) float32 of unit length.
        words: (K, C) float32 of any length; residuals are those to the words as they are.

    Returns:
        (N, K * C) float32 of unit length; words without features stay zero.
    """
    labels = (features @ normalize(words, dim=1).T).argmax(dim=-1)
    shares = one_hot(labels, len(words)).to(features.dtype)
    return vlad_descriptor(residual_sums(features, shares, words))


class _FacetVlad(nn.Module):
    """Network and words in one: normalised input (N, 3, H, W) to (N, K * C)."""

    def __init__(self, network: nn.Module, words: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("words", words)

    def forward(self, x: Tensor) -> Tensor:
        return cosine_vlad(self.network(x).float(), cast(Tensor, self.words).float())


class AnyLocEncoder(VladEncoder, TorchEncoder):
    """AnyLoc as an encoder; its card holds the words, so that a memory needs no other file.

    Args:
        module: Finds the local features.
        device: Where it runs.
        card: Its identity, with the vocabulary where there is one.
        missing: Why a vocabulary that was asked for is not there; raised when it is needed.
    """

    engine = "torch"

    def __init__(
        self,
        module: nn.Module,
        device: Device,
        card: EncoderCard,
        missing: PlaceMemoryError | None = None,
    ) -> None:
        VladEncoder.__init__(self, card)
        TorchEncoder.__init__(self, module, device, card)
        self._missing = missing

    @property
    def fit_sample(self) -> int:
        """Images that a vocabulary is fitted on, at most."""
        return _FIT_IMAGES

    @property
    def words(self) -> Vectors:
        """The vocabulary (K, C) float32.

        Raises:
            EncoderError: There is none yet, or its file is not there or unfit.
        """
        if self._missing is not None:
            raise self._missing
        return super().words

    def fit(self, images: Iterable[Image]) -> AnyLocEncoder:
        """See :meth:`FittableEncoder.fit`."""
        return self.fit_features(list(self.find_features(images)))[0]

    def with_card(self, card: EncoderCard) -> AnyLocEncoder:
        """See :meth:`VladEncoder.with_card`."""
        return AnyLocEncoder(self._module, self._device, card)

    def find_features(self, images: Iterable[Image]) -> Iterator[Vectors]:
        """See :meth:`VladEncoder.find_features`.

        Raises:
            EncoderError: A vocabulary was asked for by name, and its file is not there or unfit.
        """
        if self._missing is not None:
            raise self._missing
        for x in self._inputs(images):
            yield from self._features(x).cpu().numpy()

    def describe(self, features: Vectors, words: Vectors) -> Vectors:
        """See :meth:`VladEncoder.describe`."""
        row = cosine_vlad(torch.from_numpy(features)[None], torch.from_numpy(words))
        return cast(Vectors, row[0].numpy())

    def fit_features(self, features: Sequence[Vectors]) -> tuple[AnyLocEncoder, Descriptors]:
        """See :meth:`FittableEncoder.fit_features`.

        Raises:
            EncoderError: A vocabulary was asked for by name, and its file is not there or unfit.
        """
        if self._missing is not None:
            raise self._missing
        return super().fit_features(features)

    def embed(self, x: Tensor) -> Tensor:
        """Normalised input (N, 3, H, W), sides multiples of 14, to (N, D) float32 of unit norm.

        Raises:
            EncoderError: There is no vocabulary yet.
        """
        return cosine_vlad(self._features(x), self._vocabulary())

    def graph(self) -> nn.Module:
        """See :meth:`TorchEncoder.graph`.

        Raises:
            EncoderError: There is no vocabulary yet.
        """
        return _FacetVlad(self._module, self._vocabulary())

    def save_words(self, path: str | Path, fitted_on: str) -> None:
        """Write the vocabulary to a file for the option ``vocabulary``.

        Args:
            path: ``FILE.safetensors``.
            fitted_on: What images they were fitted on, for people; it comes on the card.

        Raises:
            EncoderError: There is no vocabulary yet, or the file has another ending.
        """
        path = Path(path)
        if path.suffix != ".safetensors":
            raise EncoderError(f"{path}: a vocabulary is written as FILE.safetensors")
        words = torch.from_numpy(self.words.copy())
        write_bytes(path, save({"words": words}, metadata={_FITTED_ON: fitted_on}))

    def _vocabulary(self) -> Tensor:
        return torch.as_tensor(self.words, device=self._device.torch)

    def _features(self, x: Tensor) -> Tensor:
        features: Tensor = self._device.run(self._module, x)
        return features.float()


def _with_vocabulary(module: nn.Module, device: Device, card: EncoderCard) -> AnyLocEncoder:
    """The encoder with the words that its options name, if they name any.

    That their file is not there is no error yet: a memory has them on its card. Words out of a
    file are the same wherever the file is, so the card says ``file`` and not its path.

    Raises:
        EncoderError: The words are of another shape.
    """
    name = str(card.options["vocabulary"])
    if name == OWN_IMAGES:
        return AnyLocEncoder(module, device, _say(card, "the memory's own images"))
    published = ANYLOC_VOCABULARIES.get(name)
    if published is None:
        card = card.replace(options={**card.options, "vocabulary": _FILE})
    else:
        card = _say(card, f"AnyLoc's {name} images")
    try:
        if name == _FILE:  # of a card; its words are there too, and set afterwards
            raise WeightsError("the file of words is not named")
        path = Path(name) if published is None else find_weights(published)
        words = read_tensor(path).numpy()
    except WeightsError as error:
        known = ", ".join((OWN_IMAGES, *ANYLOC_VOCABULARIES))
        missing = WeightsError(f"{error}. vocabulary is {known}, or a file of words")
        return AnyLocEncoder(module, device, card, missing)
    if published is None:
        card = _say(card, _read_origin(path))
    return AnyLocEncoder(module, device, card).with_fitted({"words": words})


def _say(card: EncoderCard, images: str) -> EncoderCard:
    """The card, whose origin says what images the words were fitted on."""
    origin = card.origin.partition("; words fitted on")[0]
    return card.replace(origin=f"{origin}; words fitted on {images}")


def _read_origin(path: Path) -> str:
    """What a file of words says that they were fitted on."""
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return str((file.metadata() or {}).get(_FITTED_ON, path.name))
    return path.name
