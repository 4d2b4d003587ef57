"""Preprocessing: how an image becomes the encoder's input. It belongs to the card, not the user.

Resampling without torch, and OpenCV's ``area``, which torch does not have, are matrices: rows of
weights that say how much each old pixel counts in a new one, one matrix per axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from placememory.errors import ImageError
from placememory.frames import Image, as_rgb

_Floats = NDArray[np.floating]
_X = TypeVar("_X", bound=Any)


@lru_cache(maxsize=64)
def resampling_weights(old: int, new: int, interpolation: str) -> NDArray[np.float32]:
    """Weights of the old pixels in each new one.

    ``bilinear`` and ``bicubic`` widen with the reduction, so they do not alias (as Pillow's, and
    torch's with ``antialias``); ``area`` counts the share of each pixel that is covered (as
    OpenCV's).

    Args:
        old: Pixels there are.
        new: Pixels there shall be.
        interpolation: ``area``, ``bilinear`` or ``bicubic``.

    Returns:
        (new, old) float32; rows sum to one.

    Example:
        >>> resampling_weights(4, 2, "area").tolist()
        [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
        >>> [round(float(share), 3) for share in resampling_weights(4, 2, "bilinear")[0]]
        [0.429, 0.429, 0.143, 0.0]
    """
    shares = (
        _area_weights(old, new)
        if interpolation == "area"
        else _filter_weights(old, new, interpolation)
    )
    rows: NDArray[np.float32] = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    rows.setflags(write=False)
    return rows


def _area_weights(old: int, new: int) -> _Floats:
    edges = np.arange(new + 1) * (old / new)
    starts, ends = edges[:-1, None], edges[1:, None]
    pixels = np.arange(old)
    covered: _Floats = np.minimum(ends, pixels + 1) - np.maximum(starts, pixels)
    return covered.clip(0.0)


def resample(
    x: NDArray[np.float32], rows: int, columns: int, interpolation: str
) -> NDArray[np.float32]:
    """(..., H, W) float32 to (..., rows, columns)."""
    height, width = x.shape[-2:]
    down, across = (
        resampling_weights(height, rows, interpolation),
        resampling_weights(width, columns, interpolation),
    )
    result: NDArray[np.float32] = down @ (x @ across.T)
    return result


def _filter_weights(old: int, new: int, interpolation: str) -> _Floats:
    """A filter around the centre of each new pixel, as wide as the reduction asks.

    In float32, as torch computes it: at hundreds of pixels its rounding shows in the weights.
    """
    support, kernel = _KERNELS[interpolation]
    scale = np.float32(old / new)
    width = np.maximum(scale, np.float32(1.0))
    half = np.float32(0.5)
    centres = (np.arange(new, dtype=np.float32)[:, None] + half) * scale
    pixels = np.arange(old, dtype=np.float32)
    first = np.floor(centres - support * width + 0.5)
    last = np.floor(centres + support * width + 0.5)
    offset = first.clip(0.0)
    values = kernel(np.abs((pixels - offset) + (offset - centres + half)) * (1 / width))
    return np.where((pixels >= first) & (pixels < last), values, 0.0)


def _triangle(distance: _Floats) -> _Floats:
    return (1.0 - distance).clip(0.0)


def _cubic(distance: _Floats) -> _Floats:
    """Keys' cubic with a = -0.5."""
    near = (1.5 * distance - 2.5) * distance**2 + 1.0
    far = ((2.5 - 0.5 * distance) * distance - 4.0) * distance + 2.0
    return np.where(distance < 1.0, near, np.where(distance < 2.0, far, 0.0))


_KERNELS: dict[str, tuple[float, Callable[[_Floats], _Floats]]] = {
    "bilinear": (1.0, _triangle),
    "bicubic": (2.0, _cubic),
}


_LEAST_STEPS = 4
_ROUNDING = 1e-6  # of a side in pixels that is a whole number
TENSOR_FILTERS = ("area", "bilinear", "bicubic")
RESIZED_ON = ("image", "tensor", "normalised")
Interpolation = Literal["area", "nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]

_FILTERS = {
    "nearest": PillowImage.Resampling.NEAREST,
    "box": PillowImage.Resampling.BOX,
    "bilinear": PillowImage.Resampling.BILINEAR,
    "hamming": PillowImage.Resampling.HAMMING,
    "bicubic": PillowImage.Resampling.BICUBIC,
    "lanczos": PillowImage.Resampling.LANCZOS,
}


class Preprocess(BaseModel):
    """Resizing and normalisation of one encoder.

    Attributes:
        longest: The longer side is scaled to this many pixels, the shorter one in proportion.
        pixels: Or: the area is scaled to this many pixels, whatever the shape.
        size: Or: height and width, whatever the shape.
        native: Or: the image is taken as it is, but for the multiple. One of these four.
        multiple: Both sides are rounded to multiples of this; if it is not 1, they are at least
            four of them.
        crop: Whether sides are cut to the multiple, around the middle, instead of scaled to it.
        enlarge: Whether smaller images are enlarged to ``longest``.
        interpolation: The filter; it widens with the reduction, so it does not alias. ``area``,
            for reducing tensors, weighs each pixel by the share of it that is covered, as OpenCV.
        resize_on: What is resized, which changes descriptors a little: the ``image`` (bytes, by
            Pillow), the ``tensor`` (floats, by torch) or the ``normalised`` tensor.
        mean: Subtracted from RGB in 0..1.
        std: Divides what is left.

    Example:
        >>> Preprocess(longest=320, multiple=16).target(480, 640)
        (240, 320)
        >>> Preprocess(pixels=320 * 240, multiple=16).target(1080, 1920)
        (208, 368)
        >>> Preprocess(longest=1024, enlarge=False, multiple=14, crop=True,
        ...            resize_on="normalised").target(480, 640)
        (476, 630)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    longest: int | None = Field(default=None, gt=0)
    pixels: int | None = Field(default=None, gt=0)
    size: tuple[int, int] | None = None
    native: bool = False
    multiple: int = Field(default=1, gt=0)
    crop: bool = False
    enlarge: bool = True
    interpolation: Interpolation = "bilinear"
    resize_on: Literal["image", "tensor", "normalised"] = "image"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @model_validator(mode="after")
    def _one_size(self) -> Preprocess:
        given = [self.longest is not None, self.pixels is not None, self.size is not None]
        if sum(given) + self.native != 1:
            raise ValueError("give either longest, pixels, size or native")
        if self.resize_on != "image" and self.interpolation not in TENSOR_FILTERS:
            raise ValueError(f"tensors are resized with {', '.join(TENSOR_FILTERS)}")
        if self.interpolation == "area" and self.resize_on == "image":
            raise ValueError("area interpolation works on tensors")
        if self.crop and self.resize_on == "image":
            raise ValueError("cropping works on tensors")
        return self

    @model_serializer(mode="wrap")
    def _without_crop(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """All fields, but ``crop`` only where it is set: cards from before it keep their hash."""
        fields: dict[str, Any] = handler(self)
        if not self.crop:
            del fields["crop"]
        return fields

    def target(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in pixels of the input that an image of this size becomes.

        Raises:
            ImageError: Nothing would be left of it.
        """
        rows, columns = self.scaled(height, width)
        if not self.crop:
            return rows, columns
        if min(rows, columns) < self.multiple:
            raise ImageError(
                f"an image of {height}x{width} pixels is too small: sides are cut to multiples of "
                f"{self.multiple}"
            )
        return rows - rows % self.multiple, columns - columns % self.multiple

    def scaled(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in pixels to which an image of this size is resized, before a crop."""
        if self.size is not None:
            return self.size
        small = self.longest is not None and max(height, width) <= self.longest
        if small and not self.enlarge:
            return height, width
        if self.native:
            return self._round(height), self._round(width)
        if self.longest is not None:
            scale = self.longest / max(height, width)
        else:
            scale = math.sqrt((self.pixels or height * width) / (height * width))
        return self._round(height * scale), self._round(width * scale)

    def _round(self, side: float) -> int:
        """A side in pixels as a multiple; halves go to the even one.

        Where it is cut to the multiple afterwards, it is a whole number.
        """
        if self.crop:
            return int(side + _ROUNDING)
        steps = round(side / self.multiple)
        return max(_LEAST_STEPS if self.multiple > 1 else 1, steps) * self.multiple

    def cut(self, x: _X) -> _X:
        """The middle of resized images (..., H, W), of any library, where they are cropped.

        Raises:
            ImageError: Nothing would be left of them.
        """
        if not self.crop:
            return x
        height, width = x.shape[-2:]
        rows, columns = self.target(height, width)
        top, left = round((height - rows) / 2), round((width - columns) / 2)
        return x[..., top : top + rows, left : left + columns]  # type: ignore[no-any-return]

    def resize(self, image: Image) -> Image:
        """Resize an image to the encoder's input size, if the image itself is to be resized.

        Raises:
            ImageError: It is no image; see :func:`placememory.frames.as_rgb`.
        """
        image = as_rgb(image)
        rows, columns = self.scaled(*image.shape[:2])
        if self.resize_on != "image" or (rows, columns) == image.shape[:2]:
            return image
        smaller = PillowImage.fromarray(image).resize((columns, rows), _FILTERS[self.interpolation])
        return np.array(smaller)

    def apply(self, image: Image) -> NDArray[np.float32]:
        """All of it without torch: (H, W, 3) uint8 RGB to (3, rows, columns) float32.

        Raises:
            ImageError: It is no image; see :func:`placememory.frames.as_rgb`.
        """
        x = self.resize(image).astype(np.float32).transpose(2, 0, 1)
        if self.resize_on == "tensor":
            x = self._resample(x)
        mean, std = (np.array(v, np.float32) * np.float32(255) for v in (self.mean, self.std))
        normalised = (x - mean[:, None, None]) / std[:, None, None]
        return self._resample(normalised) if self.resize_on == "normalised" else normalised

    def _resample(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        target = self.scaled(*x.shape[-2:])
        return self.cut(x if target == x.shape[-2:] else resample(x, *target, self.interpolation))
