"""Video YUV to RGB: ITU-R BT.601, 16..235, as cameras and OpenCV have it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Layout -> pixels that share one colour sample, across and down.
CHROMA = {"uyvy": (2, 1), "yuyv": (2, 1), "nv12": (2, 2), "nv21": (2, 2), "nv24": (1, 1)}
_BITS = 16
_HALF = 1 << (_BITS - 1)


def _fixed(value: float) -> int:
    return round(value * (1 << _BITS))


_LUMA = _fixed(255 / 219)
_RED_V = _fixed(2 * (1 - 0.299) * 255 / 224)
_BLUE_U = _fixed(2 * (1 - 0.114) * 255 / 224)
_GREEN_U = _fixed(2 * (1 - 0.114) * 0.114 / 0.587 * 255 / 224)
_GREEN_V = _fixed(2 * (1 - 0.299) * 0.299 / 0.587 * 255 / 224)


def rgb_of_yuv(
    luma: NDArray[np.uint8], u: NDArray[np.uint8], v: NDArray[np.uint8], layout: str
) -> NDArray[np.uint8]:
    """RGB of a picture; colour samples are repeated for the pixels that share them.

    Args:
        luma: (H, W) uint8.
        u: (H / down, W / across) uint8, as :data:`CHROMA` says for the layout.
        v: The same.
        layout: Key of :data:`CHROMA`.

    Returns:
        (H, W, 3) uint8.

    Example:
        >>> grey = np.full((1, 2), 235, np.uint8), np.full((1, 1), 128, np.uint8)
        >>> rgb_of_yuv(grey[0], grey[1], grey[1], "uyvy").tolist()
        [[[255, 255, 255], [255, 255, 255]]]
    """
    across, down = CHROMA[layout]
    blue, red = u.astype(np.int32) - 128, v.astype(np.int32) - 128
    light = (luma.astype(np.int32) - 16) * _LUMA + _HALF
    shares = (_RED_V * red, -_GREEN_U * blue - _GREEN_V * red, _BLUE_U * blue)
    result = np.empty((*luma.shape, 3), np.uint8)
    for channel, share in enumerate(shares):
        spread = share.repeat(across, axis=1).repeat(down, axis=0)
        result[..., channel] = np.clip((light + spread) >> _BITS, 0, 255)
    return result
