"""What every encoder is: a card, and images to descriptors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from placememory.encoders._card import EncoderCard
from placememory.encoders._preprocess import check_image
from placememory.errors import EncoderError
from placememory.frames import Image

if TYPE_CHECKING:
    import torch

Descriptors = NDArray[np.float32]


class Encoder(ABC):
    """Images to descriptors of unit norm.

    Attributes:
        card: Identity of the encoder.
    """

    card: EncoderCard

    @property
    @abstractmethod
    def module(self) -> torch.nn.Module:
        """The network, with exactly the published checkpoint's keys."""

    @abstractmethod
    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised input (N, 3, H, W) to descriptors (N, D) float32 of unit norm."""

    @abstractmethod
    def encode(self, images: Sequence[Image]) -> Descriptors:
        """Images to descriptors.

        Args:
            images: (H, W, 3) uint8 RGB each; sizes may differ; the list may be empty.

        Returns:
            (N, D) float32, unit norm.

        Raises:
            ImageError: Something is no image.
            EncoderError: The encoder needs to be fitted first.
        """

    def graph(self) -> torch.nn.Module:
        """The computation from normalised input (1, 3, H, W) to (1, D) as one module, for export.

        Raises:
            EncoderError: This method cannot be exported.
        """
        raise EncoderError(f"{self.card.name} cannot be exported")

    def with_fitted(self, fitted: Mapping[str, NDArray[Any]]) -> Encoder:
        """The same encoder with fitted state taken from a card.

        Raises:
            EncoderError: This method has no fitted state.
        """
        raise EncoderError(f"{self.card.name} has no fitted state, but got {', '.join(fitted)}")


class FittableEncoder(Encoder):
    """An encoder that learns something (a vocabulary) from the memory's own images."""

    @property
    @abstractmethod
    def is_fitted(self) -> bool:
        """Whether :meth:`encode` may be called."""

    @property
    @abstractmethod
    def fit_sample(self) -> int:
        """How many images a fit wants; more are not used."""

    @abstractmethod
    def fit_encode(self, images: Iterable[Image]) -> tuple[FittableEncoder, Descriptors]:
        """Fit on images, and encode the same images with one pass of the network.

        Args:
            images: As for :meth:`encode`, at least one; taken one after another, not kept.

        Returns:
            A fitted encoder with a new card (this one stays as it is), and the images'
            descriptors (N, D) float32.
        """

    def fit(self, images: Iterable[Image]) -> FittableEncoder:
        """Fit on images; see :meth:`fit_encode`."""
        return self.fit_encode(images)[0]


def sample_evenly(count: int, wanted: int) -> NDArray[np.int64]:
    """At most ``wanted`` indices out of ``count``, evenly spaced, first and last included.

    Example:
        >>> sample_evenly(10, 4).tolist(), sample_evenly(2, 4).tolist()
        ([0, 3, 6, 9], [0, 1])
    """
    if count == 0:
        return np.empty(0, np.int64)
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))


def check_images(images: Sequence[Image]) -> None:
    """Check every image of a list, naming its position.

    Raises:
        ImageError: Something is no (H, W, 3) uint8 image.
    """
    for image in images:
        check_image(image)
