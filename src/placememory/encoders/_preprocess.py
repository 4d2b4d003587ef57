"""Preprocessing: how an image becomes the encoder's input. It belongs to the card, not the user."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from pydantic import BaseModel, ConfigDict, Field, model_validator

from placememory.encoders._resampling import resized
from placememory.errors import ImageError
from placememory.frames import Image

_LEAST_STEPS = 4
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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    longest: int | None = Field(default=None, gt=0)
    pixels: int | None = Field(default=None, gt=0)
    size: tuple[int, int] | None = None
    native: bool = False
    multiple: int = Field(default=1, gt=0)
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
        return self

    def target(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in pixels to which an image of this size is resized."""
        if self.size is not None:
            return self.size
        small = self.longest is not None and max(height, width) <= self.longest
        if small and not self.enlarge:
            return height, width
        if self.native:
            return self._rounded(height), self._rounded(width)
        if self.longest is not None:
            scale = self.longest / max(height, width)
        else:
            scale = math.sqrt((self.pixels or height * width) / (height * width))
        return self._rounded(height * scale), self._rounded(width * scale)

    def _rounded(self, side: float) -> int:
        """A side in pixels as a multiple; halves go to the even one."""
        steps = round(side / self.multiple)
        return max(_LEAST_STEPS if self.multiple > 1 else 1, steps) * self.multiple

    def resize(self, image: Image) -> Image:
        """Resize (H, W, 3) uint8 RGB to the encoder's input size, if the image is to be resized.

        Raises:
            ImageError: The array is no (H, W, 3) uint8 image.
        """
        check_image(image)
        rows, columns = self.target(*image.shape[:2])
        if self.resize_on != "image" or (rows, columns) == image.shape[:2]:
            return image
        smaller = PillowImage.fromarray(image).resize((columns, rows), _FILTERS[self.interpolation])
        return np.array(smaller)

    def apply(self, image: Image) -> NDArray[np.float32]:
        """All of it without torch: (H, W, 3) uint8 RGB to (3, rows, columns) float32.

        Raises:
            ImageError: The array is no (H, W, 3) uint8 image.
        """
        x = self.resize(image).astype(np.float32).transpose(2, 0, 1)
        if self.resize_on == "tensor":
            x = self._resampled(x)
        mean, std = (np.array(v, np.float32) * np.float32(255) for v in (self.mean, self.std))
        normalised = (x - mean[:, None, None]) / std[:, None, None]
        return self._resampled(normalised) if self.resize_on == "normalised" else normalised

    def _resampled(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        target = self.target(*x.shape[-2:])
        return x if target == x.shape[-2:] else resized(x, *target, self.interpolation)


def check_image(image: object) -> None:
    """Check that something is an (H, W, 3) uint8 array with at least one pixel.

    Raises:
        ImageError: It is not; the message says what it is.
    """
    if not isinstance(image, np.ndarray):
        raise ImageError(f"an image is an (H, W, 3) uint8 array, not {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(f"an image is (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}")
