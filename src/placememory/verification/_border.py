"""The black border of a camera: the rim of a fisheye, the bars of a letterbox."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._extras import require
from placememory.frames import Image

DARK = 32
"""Grey level (0 to 255) up to which a pixel may be border."""

RIM = 0.04
"""Share of the longer side by which the border is widened: its edge is no feature of the place."""

_SIDE, _LEAST = 160, 0.25
_PURPOSE = "Geometric checks"


def opencv() -> Any:
    """OpenCV.

    Raises:
        MissingExtraError: It is not installed.
    """
    return require("cv2", extra="verify", purpose=_PURPOSE)


def inside(image: Image, *, dark: int = DARK, rim: float = RIM) -> NDArray[np.bool_]:
    """Which pixels show the world and not the camera's own border.

    The border stands at the same pixels of every image, so its edge gives perfect matches between
    any two. It is the dark pixels that hang together with a corner, where at least two corners are
    dark: so a fisheye's rim and a letterbox's bars are found, while a shadow or one dark thing at
    the edge is not. Where that would leave less than a quarter of the image (a night), nothing is
    taken for border.

    Args:
        image: (H, W, 3) uint8 RGB.
        dark: Grey level up to which a pixel may be border.
        rim: Share of the longer side by which the border is widened.

    Returns:
        (H, W), true inside.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = opencv()
    height, width = image.shape[:2]
    step = max(1, max(height, width) // _SIDE)
    small = _border(cv2, image[::step, ::step].max(axis=2) <= dark, rim)
    kept: NDArray[np.bool_] = ~small.repeat(step, 0).repeat(step, 1)[:height, :width]
    return kept if kept.mean() >= _LEAST else np.ones_like(kept)


def _border(cv2: Any, dark: NDArray[np.bool_], rim: float) -> NDArray[np.bool_]:
    """Of dark pixels (H, W) those of the border, widened; none if under two corners are dark."""
    labels = cv2.connectedComponents(dark.astype(np.uint8), connectivity=4)[1]
    corners = [int(labels[y, x]) for y in (0, -1) for x in (0, -1)]
    found = [label for label in corners if label > 0]
    if len(found) < 2:
        return np.zeros_like(dark)
    reach = 2 * round(rim * max(dark.shape)) + 1
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    wide: NDArray[np.bool_] = cv2.dilate(np.isin(labels, found).astype(np.uint8), shape) > 0
    return wide
