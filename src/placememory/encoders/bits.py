"""Binary codes that travel inside a descriptor: the signs of its last numbers.

An encoder with a hash (SelaVPR++) gives it together with the descriptor. Every store, copy, export
and cache handles rows of numbers, so the bits are part of the row: the last ``prefilter_bits``
numbers are plus or minus one and the same tiny value, which all together move no similarity by more
than 2e-6. A search reads their signs; see :func:`placememory.memory.search.prefilter`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from placememory._types import Vectors
from placememory.encoders.card import EncoderCard
from placememory.encoders.compressed import components_of
from placememory.errors import DescriptorError

if TYPE_CHECKING:
    import torch

BITS_OPTION = "prefilter_bits"
"""The option of an encoder whose rows end with bits; its value is their count."""

_LENGTH = 1e-3
"""Norm of the part of a unit row that holds the bits."""


def count_bits(card: EncoderCard) -> int:
    """How many bits the rows of an encoder end with; principal components have none.

    Example:
        >>> count_bits(EncoderCard(name="toy", dim=2050, options={"prefilter_bits": 2}))
        2
    """
    return 0 if components_of(card) is not None else int(card.options.get(BITS_OPTION, 0))


def attach_bits(descriptors: torch.Tensor, hashes: torch.Tensor) -> torch.Tensor:
    """Descriptors (N, D) of unit norm and hashes (N, B) to rows (N, D + B) of unit norm.

    A hash of zero counts as set.
    """
    import torch

    value = _LENGTH / hashes.shape[1] ** 0.5
    signs = torch.where(hashes >= 0, value, -value).to(descriptors.dtype)
    return torch.cat([descriptors * (1.0 - _LENGTH**2) ** 0.5, signs], dim=1)


def read_bits(rows: Vectors, count: int) -> NDArray[np.uint8]:
    """The bits that rows end with.

    Args:
        rows: (N, D + count) float32.
        count: How many bits.

    Returns:
        (N, count / 8, rounded up) uint8, the first bit highest, as ``numpy.packbits`` packs them.

    Raises:
        DescriptorError: The rows are no longer than their bits.

    Example:
        >>> read_bits(np.float32([[1, 1e-4, -1e-4, 1e-4]]), 3).tolist()
        [[160]]
    """
    if not 0 < count < rows.shape[1]:
        raise DescriptorError(f"rows of {rows.shape[1]} numbers cannot end with {count} bits")
    packed: NDArray[np.uint8] = np.packbits(rows[:, -count:] >= 0, axis=1)
    return packed
