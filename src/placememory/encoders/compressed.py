"""Descriptors of another encoder on the principal components of a memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from placememory._io import write_bytes
from placememory._types import Progress, Vectors
from placememory.encoders.base import Encoder, FittableEncoder
from placememory.encoders.card import EncoderCard
from placememory.encoders.pca import principal_components, read_projection
from placememory.encoders.sequence import SequenceEncoder
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
        axes: (K, D) float32, orthonormal rows; whitened where each is divided by its deviation.
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


def fit_projection(
    encoder: Encoder,
    images: Sequence[Image],
    dim: int,
    *,
    whiten: bool = False,
    batch: int = 8,
    progress: Progress | None = None,
) -> tuple[Vectors, Vectors]:
    """Mean (D,) and components (dim, D) of an encoder's descriptors of images.

    Args:
        encoder: Of single images, the same on every map.
        images: (H, W, 3) uint8 RGB each; read in their order.
        dim: Components to keep; fewer than images.
        whiten: Divide each component by the standard deviation along it, so that all count alike.
        batch: Images encoded at a time.
        progress: Called with images done and in all.

    Raises:
        EncoderError: The encoder is fitted on each map, or there are too few images.
    """
    _check_fixed(encoder)
    rows = np.empty((len(images), encoder.card.dim), np.float32)
    for start in range(0, len(images), batch):
        part = [images[i] for i in range(start, min(start + batch, len(images)))]
        rows[start : start + len(part)] = encoder.encode(part)
        if progress is not None:
            progress(start + len(part), len(images))
    mean, axes, variances = principal_components(rows, dim)
    if whiten:
        axes = (axes / np.sqrt(np.maximum(variances, 1e-12))[:, None]).astype(np.float32)
    return mean, axes


def save_projection(path: Path, mean: Vectors, axes: Vectors, notes: dict[str, str]) -> None:
    """Write a projection for :func:`with_projection`, as safetensors.

    Args:
        path: The file.
        mean: (D,).
        axes: (K, D).
        notes: What it was fitted on, kept in the file.
    """
    arrays = {"mean": mean, "components": np.ascontiguousarray(axes)}
    write_bytes(path, save(arrays, metadata=notes))


def with_projection(encoder: Encoder, file: Path) -> Encoder:
    """An encoder whose descriptors are projected by a file of a PCA.

    Args:
        encoder: Of single images, or a sequence encoder that takes a projection.
        file: See :func:`placememory.encoders.read_projection`.

    Raises:
        EncoderError: The encoder is fitted on each map, or has descriptors of another length.
        WeightsError: The file cannot be read, or holds something else.
    """
    fitted = read_projection(file)
    if isinstance(encoder, SequenceEncoder):
        return encoder.with_fitted(fitted)
    _check_fixed(encoder)
    mean, axes = fitted["mean"], fitted["components"]
    if len(mean) != encoder.card.dim:
        raise EncoderError(
            f"{file} projects {len(mean)} numbers, and {encoder.card.name} gives "
            f"{encoder.card.dim}; fit one for it: placememory encoders fit pca"
        )
    return CompressedEncoder(encoder, mean, axes)


def _check_fixed(encoder: Encoder) -> None:
    if isinstance(encoder, FittableEncoder) and not encoder.is_fitted:
        raise EncoderError(
            f"{encoder.card.name} is fitted on each map, so no projection fits all of them; build "
            "the memory, then: placememory compress"
        )
