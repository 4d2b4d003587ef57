"""What every encoder is: a card, and images to descriptors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from placememory.encoders.card import EncoderCard
from placememory.errors import EncoderError
from placememory.frames import Image

Descriptors = NDArray[np.float32]


class Encoder(Protocol):
    """Images to descriptors of unit norm; a class with these two is an encoder.

    Attributes:
        card: Identity of the encoder.
    """

    card: EncoderCard

    def encode(self, images: Sequence[Image]) -> Descriptors:
        """Describe images.

        Args:
            images: N arrays (H, W, 3) uint8 RGB; sizes may differ; the list may be empty. Built-in
                encoders also take grey and alpha (:func:`placememory.frames.as_rgb`).

        Returns:
            (N, D) float32, unit norm.

        Raises:
            ImageError: Something is no image.
            EncoderError: The encoder needs to be fitted first.
        """


class FittableEncoder(ABC):
    """An encoder that learns something (a vocabulary) from the memory's own images.

    Attributes:
        card: Identity of the encoder; what was fitted is on it.
    """

    card: EncoderCard

    @abstractmethod
    def encode(self, images: Sequence[Image]) -> Descriptors:
        """See :meth:`Encoder.encode`."""

    @property
    @abstractmethod
    def is_fitted(self) -> bool:
        """Whether :meth:`encode` may be called."""

    @property
    @abstractmethod
    def fit_sample(self) -> int:
        """How many images a fit wants; more are not used."""

    @abstractmethod
    def find_features(self, images: Iterable[Image]) -> Iterator[NDArray[np.float32]]:
        """Features (F, C) float32 of each image, in the order of the images.

        A fit learns from them, and they become the image's descriptor: no more of the network is
        needed for either.

        Args:
            images: As for :meth:`encode`; taken one after another, not stored.
        """

    @abstractmethod
    def fit_features(
        self, features: Sequence[NDArray[np.float32]]
    ) -> tuple[FittableEncoder, Descriptors]:
        """Fit on the features of images, and make the descriptors of the same images.

        Args:
            features: From :meth:`find_features`, of at least one image.

        Returns:
            A fitted encoder with a new card (this one stays as it is), and the images'
            descriptors (N, D) float32.

        Raises:
            EncoderError: There are too few.
        """

    def fit_encode(self, images: Iterable[Image]) -> tuple[FittableEncoder, Descriptors]:
        """Fit on images, and encode the same images; see :meth:`fit_features`."""
        return self.fit_features(list(self.find_features(images)))

    def fit(self, images: Iterable[Image]) -> FittableEncoder:
        """Fit on images; see :meth:`fit_encode`."""
        return self.fit_encode(images)[0]

    @abstractmethod
    def with_fitted(self, fitted: Mapping[str, NDArray[Any]]) -> FittableEncoder:
        """The same encoder with fitted state taken from a card.

        Raises:
            EncoderError: Arrays are missing or of another shape.
        """


def check_encoder(encoder: Any) -> Encoder:
    """Check that an object is an encoder.

    Raises:
        EncoderError: It has no ``card``, or no ``encode``.
    """
    if isinstance(getattr(encoder, "card", None), EncoderCard) and callable(
        getattr(encoder, "encode", None)
    ):
        found: Encoder = encoder
        return found
    raise EncoderError(
        "an encoder is an object with card (EncoderCard) and encode(images), not "
        f"{type(encoder).__name__}; give such an object, or the name of an encoder"
    )
