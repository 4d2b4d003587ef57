"""Images for tests of encoders."""

from __future__ import annotations

import numpy as np


def smooth_images(
    count: int, height: int = 96, width: int = 128, seed: int = 0
) -> list[np.ndarray]:
    """Smooth random images, so that local features differ."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 12, 16, 3), dtype=np.uint8)
    zoom = (-(-height // 12), -(-width // 16))
    return [np.kron(s, np.ones((*zoom, 1), np.uint8))[:height, :width] for s in small]
