"""Pixels of ROS image messages as RGB: plain, Bayer, YUV, and compressed.

A Bayer mosaic becomes RGB bilinearly: each missing colour is the mean of its nearest neighbours.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory.errors import ImageError
from placememory.frames.frame import Image
from placememory.frames.images import open_image, rgb_of_pillow
from placememory.frames.levels import Scale, to_grey_levels

_Samples = NDArray[np.unsignedinteger[Any]]
_CHANNEL = {"r": 0, "g": 1, "b": 2}


def demosaic(mosaic: NDArray[np.unsignedinteger[Any]], pattern: str) -> _Samples:
    """Colours of a mosaic. At the borders the image is mirrored, which keeps the pattern.

    Args:
        mosaic: (H, W) uint8 or uint16.
        pattern: Colours of the first two pixels of the first two rows, such as ``"rggb"``.

    Returns:
        (H, W, 3) RGB of the mosaic's type.

    Example:
        >>> red = np.array([[200, 0], [0, 0]], np.uint8)
        >>> demosaic(np.tile(red, (2, 2)), "rggb")[1, 1].tolist()
        [200, 0, 0]
    """
    wide = np.pad(mosaic, 1, mode="reflect" if min(mosaic.shape) > 1 else "edge")
    wide = wide.astype(np.uint16 if mosaic.dtype == np.uint8 else np.uint32)
    height, width = mosaic.shape
    result = np.empty((height, width, 3), wide.dtype)
    for place, colour in enumerate(pattern):
        row, column = divmod(place, 2)
        area = _Neighbours(wide, row, column, height, width)
        target = result[row::2, column::2]
        target[..., _CHANNEL[colour]] = area.at(0, 0)
        if colour == "g":
            beside = pattern[2 * row + 1 - column]
            above = pattern[2 * (1 - row) + column]
            target[..., _CHANNEL[beside]] = (area.at(0, -1) + area.at(0, 1) + 1) >> 1
            target[..., _CHANNEL[above]] = (area.at(-1, 0) + area.at(1, 0) + 1) >> 1
        else:
            cross = area.at(0, -1) + area.at(0, 1) + area.at(-1, 0) + area.at(1, 0)
            target[..., 1] = (cross + 2) >> 2
            corners = area.at(-1, -1) + area.at(-1, 1) + area.at(1, -1) + area.at(1, 1)
            target[..., 2 - _CHANNEL[colour]] = (corners + 2) >> 2
    return result.astype(mosaic.dtype)


class _Neighbours:
    """Every second pixel of a padded mosaic, and those beside them."""

    def __init__(self, wide: NDArray[Any], row: int, column: int, height: int, width: int) -> None:
        self._wide, self._row, self._column = wide, row + 1, column + 1
        self._end = (height + 1, width + 1)

    def at(self, down: int, right: int) -> NDArray[Any]:
        """The pixels this far from the chosen ones."""
        bottom, side = self._end
        return self._wide[
            self._row + down : bottom + down : 2, self._column + right : side + right : 2
        ]


# Layout -> pixels that share one colour sample, across and down.
CHROMA = {
    "uyvy": (2, 1),
    "yuyv": (2, 1),
    "nv12": (2, 2),
    "nv21": (2, 2),
    "nv24": (1, 1),
    "i420": (2, 2),
    "yv12": (2, 2),
}
_BITS = 16
_HALF = 1 << (_BITS - 1)


def _to_fixed_point(value: float) -> int:
    return round(value * (1 << _BITS))


_LUMA = _to_fixed_point(255 / 219)
_RED_V = _to_fixed_point(2 * (1 - 0.299) * 255 / 224)
_BLUE_U = _to_fixed_point(2 * (1 - 0.114) * 255 / 224)
_GREEN_U = _to_fixed_point(2 * (1 - 0.114) * 0.114 / 0.587 * 255 / 224)
_GREEN_V = _to_fixed_point(2 * (1 - 0.299) * 0.299 / 0.587 * 255 / 224)


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


_RGB, _BGR = slice(0, 3), slice(2, None, -1)
# Encoding -> (channels, bytes a channel, where red, green and blue are). 8UC3 and 8UC4 are what
# OpenCV holds, so blue comes first.
_PLAIN: dict[str, tuple[int, int, slice]] = {
    "mono8": (1, 1, _RGB),
    "mono16": (1, 2, _RGB),
    "8UC1": (1, 1, _RGB),
    "16UC1": (1, 2, _RGB),
    "16SC1": (1, 2, _RGB),
    "32FC1": (1, 4, _RGB),
    "8UC3": (3, 1, _BGR),
    "8UC4": (4, 1, _BGR),
    "rgb8": (3, 1, _RGB),
    "bgr8": (3, 1, _BGR),
    "rgba8": (4, 1, _RGB),
    "bgra8": (4, 1, _BGR),
    "rgb16": (3, 2, _RGB),
    "bgr16": (3, 2, _BGR),
    "rgba16": (4, 2, _RGB),
    "bgra16": (4, 2, _BGR),
}
_BAYER = {
    f"bayer_{pattern}{8 * size}": (pattern, size)
    for pattern in ("rggb", "bggr", "gbrg", "grbg")
    for size in (1, 2)
}
_YUV = {
    "yuv422": "uyvy",
    "uyvy": "uyvy",
    "yuv422_yuy2": "yuyv",
    "yuyv": "yuyv",
    "nv12": "nv12",
    "nv21": "nv21",
    "nv24": "nv24",
    "i420": "i420",
    "yuv420": "i420",
    "yuv420p": "i420",
    "yv12": "yv12",
}
_PACKED = ("jpeg", "jpg", "mjpeg", "mjpg", "png")
ENCODINGS = (*_PLAIN, *_BAYER, *_YUV, *_PACKED)


def rgb_of_message(message: Any, where: str, *, levels: Scale | None = None) -> Image:
    """The image of a message, (H, W, 3) uint8 RGB.

    Args:
        message: ``sensor_msgs/Image`` or ``sensor_msgs/CompressedImage``.
        where: Bag, number and topic, for messages.
        levels: How deep values (16 bits, float) are scaled; see :func:`to_grey_levels`.

    Raises:
        ImageError: The encoding is unknown, or the data is not what it says.
    """
    if hasattr(message, "format"):
        return _decompress(message.data, message.format, where, levels)
    encoding = message.encoding
    if encoding.lower() in _PACKED:
        return _decompress(message.data, encoding, where, levels)
    if not message.width or not message.height:
        raise ImageError(f"{where}: the image is empty ({message.width}x{message.height})")
    if encoding in _PLAIN:
        channels, size, order = _PLAIN[encoding]
        rows = _rows(message, message.width * channels, size, where)
        return _reorder(
            _to_bytes(rows, levels, where).reshape(message.height, message.width, channels), order
        )
    if encoding in _BAYER:
        pattern, size = _BAYER[encoding]
        mosaic = demosaic(_rows(message, message.width, size, where), pattern)
        return _to_bytes(mosaic, levels, where)
    if encoding.lower() in _YUV:
        return _of_yuv(message, _YUV[encoding.lower()], where)
    raise ImageError(
        f"{where}: the encoding {encoding!r} is not known; known: {', '.join(ENCODINGS)}"
    )


def _rows(
    message: Any, width: int, size: int, where: str, height: int | None = None, skip: int = 0
) -> _Samples:
    """(height, width) samples of ``size`` bytes, without the padding at the end of each row."""
    height = message.height if height is None else height
    step = message.step or width * size
    data = np.frombuffer(message.data, np.uint8)[skip:]
    needed = step * (height - 1) + width * size
    if step < width * size or len(data) < needed:
        raise ImageError(
            f"{where}: {len(data)} bytes with {step} a row, where {message.width}x{message.height} "
            f"{message.encoding} needs {needed} with {width * size}"
        )
    padded = np.zeros(step * height, np.uint8) if len(data) < step * height else data
    if padded is not data:  # the padding of the last row may be missing
        padded[: len(data)] = data
    rows = padded[: step * height].reshape(height, step)[:, : width * size]
    if size == 1:
        return rows
    kind = {"16SC1": "i2", "32FC1": "f4"}.get(message.encoding, "u2")
    values = np.ascontiguousarray(rows).view(f">{kind}" if message.is_bigendian else f"<{kind}")
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _to_bytes(samples: _Samples, levels: Scale | None, where: str) -> NDArray[np.uint8]:
    """Samples as bytes: deep ones as grey levels."""
    if samples.dtype == np.uint8:
        return samples.astype(np.uint8, copy=False)
    return to_grey_levels(samples, levels, where)


def _reorder(pixels: NDArray[np.uint8], order: slice) -> Image:
    """A copy with red, green and blue; channel by channel, which is four times as fast."""
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if pixels.shape[2] == 3 and order == _RGB:
        return pixels.copy()
    result = np.empty((*pixels.shape[:2], 3), np.uint8)
    for channel, plane in enumerate(np.moveaxis(pixels[:, :, order], 2, 0)):
        result[:, :, channel] = plane
    return result


def _of_yuv(message: Any, layout: str, where: str) -> Image:
    width, height = message.width, message.height
    across, down = CHROMA[layout]
    if width % across or height % down:
        raise ImageError(f"{where}: {message.encoding} of {width}x{height}: an odd size")
    if layout in ("uyvy", "yuyv"):
        packed = _bytes(message, width * 2, where).reshape(height, width // 2, 4)
        luma = packed[:, :, 1::2] if layout == "uyvy" else packed[:, :, ::2]
        chroma = packed[:, :, ::2] if layout == "uyvy" else packed[:, :, 1::2]
        return rgb_of_yuv(luma.reshape(height, width), chroma[..., 0], chroma[..., 1], layout)
    step = message.step or width
    luma = _bytes(message, width, where)
    if layout in ("i420", "yv12"):
        part, size = _Chroma(message, step // 2), step // 2 * (height // 2)
        first, second = (
            _bytes(part, width // 2, where, height // 2, skip=step * height + size * plane)
            for plane in (0, 1)
        )
        return rgb_of_yuv(luma, *((first, second) if layout == "i420" else (second, first)), layout)
    wide = 2 * width // across
    part = _Chroma(message, step * wide // width)
    pairs = _bytes(part, wide, where, height // down, skip=step * height)
    pairs = pairs.reshape(height // down, width // across, 2)
    u, v = (1, 0) if layout == "nv21" else (0, 1)
    return rgb_of_yuv(luma, pairs[..., u], pairs[..., v], layout)


def _bytes(
    message: Any, width: int, where: str, height: int | None = None, skip: int = 0
) -> NDArray[np.uint8]:
    return _rows(message, width, 1, where, height, skip).astype(np.uint8, copy=False)


class _Chroma:
    """The colour plane of a message, with its own step."""

    def __init__(self, message: Any, step: int) -> None:
        self.data, self.encoding = message.data, message.encoding
        self.width, self.height = message.width, message.height
        self.step, self.is_bigendian = step, 0


def _decompress(data: Any, text: str, where: str, levels: Scale | None) -> Image:
    """An image file inside a message; ``format`` only says whether its grey is a Bayer mosaic."""
    content = bytes(data)
    if "compressedDepth" in text:
        raise ImageError(
            f"{where}: format {text!r} is compressed depth, no picture; choose a topic of pictures"
        )
    kind = text.split("compressed")[-1].strip()
    where = f"{where} of format {text!r}"
    with open_image(io.BytesIO(content), where) as opened:
        if kind in _BAYER and opened.mode == "L":
            mosaic: _Samples = np.asarray(opened)
            return demosaic(mosaic, _BAYER[kind][0]).astype(np.uint8, copy=False)
        return rgb_of_pillow(opened, levels, where)
