"""Move labels apart until none covers another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 400
_GAP = 1.0


def spread(
    centres: NDArray[np.float64], radii: NDArray[np.float64], fixed: int = 0
) -> NDArray[np.float64]:
    """Push overlapping discs apart, each as little as the others allow.

    Args:
        centres: (N, 2) where they would like to be.
        radii: (N,) in the same unit.
        fixed: How many of the first ones stay where they are.

    Returns:
        (N, 2) where they are now. The same input gives the same output.

    Example:
        >>> moved = spread(np.zeros((3, 2)), np.full(3, 5.0))
        >>> gaps = np.linalg.norm(moved[:, None] - moved[None], axis=-1)
        >>> bool((gaps[np.triu_indices(3, 1)] > 9.9).all())
        True
    """
    count = len(centres)
    angles = 2.399963 * np.arange(count)
    moved = centres + 0.01 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    reach = radii[:, None] + radii[None] + _GAP
    movable = (np.arange(count) >= fixed).astype(np.float64)
    share = movable[:, None] / np.maximum(movable[:, None] + movable[None], 1.0)
    for _ in range(_ROUNDS):
        apart = moved[:, None] - moved[None]
        distance = np.linalg.norm(apart, axis=-1) + np.eye(count)
        overlap = np.maximum(0.0, reach - distance) * (1.0 - np.eye(count))
        if not overlap.any():
            break
        moved = moved + 0.5 * (apart / distance[..., None] * (overlap * share)[..., None]).sum(1)
    return moved
