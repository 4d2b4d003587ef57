"""Bag-of-Queries as an encoder that also shows where its queries look."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory.encoders._network import NetworkEncoder, inputs
from placememory.frames import Image


class BoQEncoder(NetworkEncoder):
    """A network encoder with attention maps."""

    def attention(self, image: Image) -> NDArray[np.float32]:
        """Where each query of each block looks in an image.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            (2, 64, rows, columns) float32, each map summing to one; a cell is 14 pixels of the
            resized image for DINOv2, 16 for ResNet-50.

        Raises:
            ImageError: It is no image.
        """
        (x,) = inputs([image], self._device, self.card)
        network: Any = self._module
        maps: NDArray[np.float32] = self._device.run(network.attention, x)[0].float().cpu().numpy()
        return maps
