"""Blur is told from sharp images, whatever their contrast and size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageFilter

from placememory.frames.quality import LEAST_SHARPNESS, is_blurred, sharpness, shows_something


def _texture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Squares of many sizes, as walls, doors and things make."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 128, np.uint8)
    for _ in range(150):
        side = int(width * rng.uniform(0.02, 0.2))
        x, y = rng.integers(0, width), rng.integers(0, height)
        image[y : y + side, x : x + side] = rng.integers(0, 256, 3)
    return image


def _blurred(image: np.ndarray, sigma: float = 8.0) -> np.ndarray:
    """After a Gaussian of some pixels at a width of 640."""
    radius = sigma * image.shape[1] / 640
    return np.asarray(PillowImage.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


@pytest.mark.parametrize(("width", "height"), [(160, 120), (320, 240), (640, 480), (480, 640)])
def test_a_blurred_image_is_told_from_a_sharp_one(width: int, height: int) -> None:
    sharp = _texture(width, height)
    assert not is_blurred(sharp)
    assert is_blurred(_blurred(sharp, 12.0))


def test_contrast_does_not_matter() -> None:
    sharp = _texture(320, 240)
    faint = (118 + sharp / 12).astype(np.uint8)
    assert sharpness(faint) == pytest.approx(sharpness(sharp), rel=0.3)
    assert not is_blurred(faint)


def test_images_that_show_nothing_are_not_called_blurred() -> None:
    black = np.zeros((48, 64, 3), np.uint8)
    assert not shows_something(black)
    assert not is_blurred(black)
    assert not is_blurred(np.zeros((2, 2, 3), np.uint8))


@pytest.mark.real
@pytest.mark.parametrize("name", ["corridor/query", "rtabmap-loop/images", "ie-tower/images"])
def test_no_real_image_is_called_blurred_and_most_blurred_ones_are(
    shared_data: Path, name: str
) -> None:
    paths = sorted((shared_data / name).rglob("*.jp*g"))
    paths = paths[:: max(1, len(paths) // 80)]
    images = [np.asarray(PillowImage.open(path).convert("RGB")) for path in paths]
    assert min(map(sharpness, images)) > 1.2 * LEAST_SHARPNESS
    assert np.mean([is_blurred(_blurred(image)) for image in images]) > 0.95
