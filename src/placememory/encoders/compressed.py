"""Descriptors of another encoder on the principal components of a memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from placememory._types import Vectors
from placememory.encoders.base import Encoder
from placememory.encoders.card import EncoderCard
from placememory.encoders.pca import principal_components
from placememory.errors import EncoderError
from placememory.frames import Image

_MEAN, _AXES = "compressed_mean", "compressed_axes"


class CompressedEncoder:
    """Descriptors of another encoder, centred, on their first principal components, unit norm.

    The card is the other encoder's with the components among what was fitted, so that a memory
    rebuilds it like any encoder (Jégou and Chum, "Negative evidences and co-occurrences in image
    retrieval", ECCV 2012, on PCA of descriptors).

    Args:
        encoder: Whose descriptors are shortened.
        mean: (D,) float32, taken off.
        axes: (K, D) float32, orthonormal rows.
    """

    def __init__(self, encoder: Encoder, mean: Vectors, axes: Vectors) -> None:
        self._encoder, self._mean, self._axes = encoder, mean, axes
        self.card = compress_card(encoder.card, mean, axes)

    def __repr__(self) -> str:
        return f"CompressedEncoder({self._encoder!r}, {self.card.dim} numbers)"

    def encode(self, images: Sequence[Image]) -> Vectors:
        """See :meth:`Encoder.encode`."""
        return shorten(self._encoder.encode(images), self._mean, self._axes)


def fit_components(rows: Vectors, dim: int) -> tuple[Vectors, Vectors]:
    """Mean (D,) and first components (dim, D) of descriptors (N, D).

    Raises:
        EncoderError: There are too few descriptors for so many components.

    Example:
        >>> rows = np.float32([[1, 0, 0], [0, 1, 0], [0.6, 0.8, 0]])
        >>> mean, axes = fit_components(rows, 1)
        >>> shorten(rows, mean, axes).shape
        (3, 1)
    """
    mean, axes, _ = principal_components(rows, dim)
    return mean, axes


def shorten(rows: Vectors, mean: Vectors, axes: Vectors) -> Vectors:
    """Descriptors (N, D) on components: (N, K) float32, unit norm."""
    short = (rows - mean) @ axes.T
    lengths = np.linalg.norm(short, axis=1, keepdims=True)
    units: Vectors = (short / np.maximum(lengths, 1e-12)).astype(np.float32)
    return units


def compress_card(card: EncoderCard, mean: Vectors, axes: Vectors) -> EncoderCard:
    """The card of an encoder whose descriptors are shortened."""
    if _AXES in card.fitted:
        raise EncoderError(f"descriptors of {card.name!r} are compressed already")
    return card.replace(dim=len(axes), fitted={**card.fitted, _MEAN: mean, _AXES: axes})


def components_of(card: EncoderCard) -> tuple[EncoderCard, Vectors, Vectors] | None:
    """The card before compression, the mean and the components; ``None`` where there are none.

    Example:
        >>> card = EncoderCard(name="toy", dim=3)
        >>> short = compress_card(card, np.zeros(3, np.float32), np.eye(3, dtype=np.float32)[:2])
        >>> before, mean, axes = components_of(short)
        >>> short.dim, before == card, axes.shape, components_of(card)
        (2, True, (2, 3), None)
    """
    if _AXES not in card.fitted:
        return None
    mean, axes = card.fitted[_MEAN], card.fitted[_AXES]
    fitted = {name: values for name, values in card.fitted.items() if name not in (_MEAN, _AXES)}
    return card.replace(dim=axes.shape[1], fitted=fitted), mean, axes
