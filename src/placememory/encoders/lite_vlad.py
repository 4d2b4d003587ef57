"""``lite-vlad``, the default encoder: local features, words fitted on the map's images, VLAD.

It needs no torch: the network up to its local features is one ONNX file in this package, which
``tools/lite_trunk.py`` writes from the network of ``lite`` and its published weights. VLAD and the
fit are NumPy, whatever runs the network. What was tried is in ``docs/lite-vlad.md``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from placememory._checks import check_choice
from placememory.encoders.base import Descriptors, Encoder, FittableEncoder
from placememory.encoders.card import EncoderCard, Options
from placememory.encoders.catalogue import LITE0_WEIGHTS, LITE_CHANNELS, LITE_TRUNK
from placememory.encoders.device import PRECISIONS
from placememory.encoders.graph import OPENVINO, RUNTIME, Graph, count_cores
from placememory.encoders.kmeans import kmeans
from placememory.encoders.network import NetworkMethod, read_whole
from placememory.encoders.preprocessing import Preprocess
from placememory.encoders.weights import WeightsFile, find_weights
from placememory.errors import EncoderError
from placememory.frames import Image, map_ahead, sample_evenly

PREPROCESS = Preprocess(
    pixels=320 * 240,
    multiple=16,
    interpolation="bilinear",
    mean=(127 / 255, 127 / 255, 127 / 255),
    std=(128 / 255, 128 / 255, 128 / 255),
)
FIT_IMAGES = 400
FIT_FEATURES = 30_000
_SMALLEST_NORM = 1e-12

_Floats = NDArray[np.float32]


class VladEncoder(FittableEncoder):
    """VLAD over words that are fitted on the map's images; subclasses find the local features.

    Args:
        card: Its identity, with the vocabulary where there is one.
    """

    engine: str
    """What runs the network: ``onnxruntime``, ``openvino`` or ``torch``."""

    def __init__(self, card: EncoderCard) -> None:
        self.card = card
        self._words = card.fitted.get("words")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.card.name!r}, {self.card.dim} numbers, {self.engine})"

    @abstractmethod
    def with_card(self, card: EncoderCard) -> Self:
        """The same network with another card."""

    @property
    def is_fitted(self) -> bool:
        """Whether there is a vocabulary."""
        return self._words is not None

    @property
    def fit_sample(self) -> int:
        """Images that a vocabulary is fitted on, at most."""
        return FIT_IMAGES

    @property
    def words(self) -> _Floats:
        """The vocabulary (K, C) float32.

        Raises:
            EncoderError: There is none yet.
        """
        if self._words is None:
            raise EncoderError(
                f"{self.card.name} has no vocabulary yet: fit it on the map's images "
                "(encoder.fit(images)), or take the encoder from a memory"
            )
        return self._words

    def encode(self, images: Sequence[Image]) -> Descriptors:
        """See :meth:`Encoder.encode`."""
        words = self.words
        return self._stack([self.describe(f, words) for f in self.find_features(images)])

    def fit_features(self, features: Sequence[_Floats]) -> tuple[Self, Descriptors]:
        """See :meth:`FittableEncoder.fit_features`."""
        if not features:
            raise EncoderError("a vocabulary cannot be fitted on no images")
        options = self.card.options
        words = fit_words(features, k=int(options["words"]), seed=int(options["seed"]))
        fitted = self.with_fitted({"words": words})
        return fitted, self._stack([self.describe(some, fitted.words) for some in features])

    def describe(self, features: _Floats, words: _Floats) -> _Floats:
        """VLAD (K * C,) of the local features (L, C) of an image, over words (K, C)."""
        return vlad(features, words)

    def with_fitted(self, fitted: Mapping[str, NDArray[Any]]) -> Self:
        """The same encoder with a vocabulary ``words`` (K, C) float32.

        Raises:
            EncoderError: The vocabulary is missing or of another shape.
        """
        count = int(self.card.options["words"])
        shape = (count, self.card.dim // count)
        words = fitted.get("words")
        if words is None or words.shape != shape:
            found = None if words is None else words.shape
            raise EncoderError(f"{self.card.name} wants a vocabulary 'words' {shape}, not {found}")
        return self.with_card(self.card.replace(fitted={"words": np.asarray(words, np.float32)}))

    def _stack(self, rows: list[_Floats]) -> Descriptors:
        return np.stack(rows) if rows else np.empty((0, self.card.dim), np.float32)


class LiteVlad(VladEncoder):
    """``lite-vlad`` without torch; see :func:`open_lite_vlad`.

    Images go through the network one by one, several at a time by threads, so that a descriptor
    depends on nothing but its image.

    Args:
        graph: (1, H, W, 3) uint8, sides multiples of 16, to (1, L, 112).
        card: Its identity.
    """

    def __init__(self, graph: Graph, card: EncoderCard) -> None:
        super().__init__(card)
        self._graph = graph
        self.engine = graph.engine

    def with_card(self, card: EncoderCard) -> LiteVlad:
        """See :meth:`VladEncoder.with_card`."""
        return LiteVlad(self._graph, card)

    def find_features(self, images: Iterable[Image]) -> Iterator[_Floats]:
        """See :meth:`VladEncoder.find_features`."""
        cores = count_cores()
        if cores == 1 or (isinstance(images, Sequence) and len(images) == 1):
            yield from map(self._find, images)
            return
        for _, future in map_ahead(self._find, images, workers=cores, depth=2 * cores):
            yield future.result()

    def _find(self, image: Image) -> _Floats:
        features: _Floats = self._graph.run(PREPROCESS.resize(image)[None])[0]
        return features


class LiteVladMethod(NetworkMethod):
    """``lite-vlad``: the graph of this package where it serves, else torch."""

    def create(
        self, weights: str | Path | None, *, device: str, precision: str, options: Options
    ) -> Encoder:
        """See :meth:`NetworkMethod.create`.

        With the published weights, in float32 on a processor, and on an engine named as the
        device, no torch is needed.
        """
        check_choice("precision", precision, PRECISIONS)
        light = device == "cpu" and precision in ("auto", "float32")
        if weights is None and (light or device in (RUNTIME, OPENVINO)):
            graph = Graph(find_weights(LITE_TRUNK), device, precision)
            card = EncoderCard.of(
                self.info,
                options,
                dim=read_dim(options),
                weights_sha256=LITE0_WEIGHTS.sha256,
                preprocess=PREPROCESS,
            )
            return LiteVlad(graph, card)
        return super().create(weights, device=device, precision=precision, options=options)

    def published(self, options: Options) -> WeightsFile | None:  # noqa: ARG002
        """The network, which is the same for all options."""
        return self.info.weights


def read_dim(options: Options) -> int:
    """Length of a descriptor that options of a fitted vocabulary lead to.

    Raises:
        EncoderError: An option has an impossible value.
    """
    read_whole(options, "seed", 0)
    return read_whole(options, "words", 2) * LITE_CHANNELS


def vlad(features: _Floats, words: _Floats) -> _Floats:
    """VLAD with hard assignment: each feature counts for the word that is nearest to it.

    The residuals of each word are summed and brought to unit length, then the whole is, so that
    no word outweighs the others; a word without features stays zero.

    Args:
        features: (L, C) float32 of one image.
        words: (K, C) float32.

    Returns:
        (K * C,) float32 of unit length.

    Example:
        >>> words = np.float32([[0, 0], [9, 9]])
        >>> row = vlad(np.float32([[1, 0], [3, 0], [9, 8]]), words)
        >>> [round(float(value), 3) for value in row]
        [0.707, 0.0, 0.0, -0.707]
    """
    nearness = features @ words.T - 0.5 * np.einsum("kc,kc->k", words, words)
    shares = np.zeros_like(nearness)
    shares[np.arange(len(features)), nearness.argmax(axis=1)] = 1.0
    sums = shares.T @ features - shares.sum(axis=0)[:, None] * words
    row: _Floats = _to_unit(_to_unit(sums).reshape(1, -1))[0]
    return row


def _to_unit(rows: _Floats) -> _Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units: _Floats = rows / np.maximum(lengths, np.float32(_SMALLEST_NORM))
    return units


def fit_words(features: Sequence[_Floats], *, k: int, seed: int) -> _Floats:
    """Words (k, C) of the local features of at most 400 images, out of 30,000 features in all.

    Raises:
        EncoderError: There are fewer local features than words.
    """
    chosen = [features[i] for i in sample_evenly(len(features), FIT_IMAGES)]
    points = np.concatenate(chosen)
    if len(points) > FIT_FEATURES:
        rng = np.random.default_rng(1000 + seed)
        points = points[np.sort(rng.choice(len(points), FIT_FEATURES, replace=False))]
    return kmeans(points, k, seed=seed)
