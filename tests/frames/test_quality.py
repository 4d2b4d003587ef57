"""Blur is told from sharp images, whatever their contrast and size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageFilter
from scipy import ndimage

from placememory.frames.quality import (
    LEAST_SHARPNESS,
    is_blurred,
    is_covered,
    sharpness,
    shows_something,
)


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


_SKIN = ((200, 140, 120), (120, 70, 55), (90, 20, 15), (230, 180, 160))  # lit, dark, through, pale


def _hand(seed: int) -> np.ndarray:
    """Skin on a lens: slow changes of brightness, light through fingers, noise of a dark image."""
    rng = np.random.default_rng(seed)
    width, height = [(640, 480), (320, 240), (1280, 720)][seed % 3]
    radius = rng.uniform(0.05, 0.25) * width
    soft = ndimage.gaussian_filter(rng.normal(size=(height // 8, width // 8)), radius / 8)
    field = ndimage.zoom(soft, 8, order=1)
    field = (field - field.mean()) / field.std()
    tone = np.array(_SKIN[seed % 4]) * rng.uniform(0.4, 1.1)
    shade = 1 + rng.uniform(0.03, 0.2) * field[..., None]
    noise = rng.normal(0, rng.uniform(1, 8), (height, width, 3))
    return np.asarray((tone * shade + noise).clip(0, 255), np.uint8)


def test_a_hand_on_the_lens_is_covered() -> None:
    found = [is_covered(_hand(seed)) or not shows_something(_hand(seed)) for seed in range(60)]
    assert np.mean(found) >= 0.95


def test_a_cap_with_light_from_the_side_is_covered() -> None:
    across = np.linspace(0.0, 1.0, 640) ** 3
    image = np.tile((12 + 200 * across)[None, :, None], (480, 1, 3))
    noise = np.random.default_rng(0).normal(0, 3, image.shape)
    assert is_covered((image + noise).clip(0, 255).astype(np.uint8))


def test_sharp_blurred_and_faint_images_are_not_covered() -> None:
    for width, height in ((160, 120), (640, 480)):
        sharp = _texture(width, height)
        assert not is_covered(sharp)
        assert not is_covered(_blurred(sharp, 12.0))
        assert is_covered(_blurred(sharp, 120.0))
    assert not is_covered(_texture(16, 16))  # too small to say


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "bare"),
    [("corridor/query", set()), ("rtabmap-loop/images", {"19.jpg", "46.jpg"}),
     ("ie-tower/images", {"b4_post_office_c020_frame_000001.jpg",
                          "f22_central_alt_frame_000040.jpg",
                          "f22_cafeteria_main_frame_000040.jpg"})],
)  # fmt: skip
def test_of_real_images_only_those_of_nothing_are_covered(
    shared_data: Path, name: str, bare: set[str]
) -> None:
    """Three bare walls and two images behind a cap, of all; here those and every twentieth."""
    paths = sorted((shared_data / name).rglob("*.jp*g"))
    paths = [path for i, path in enumerate(paths) if i % 20 == 0 or path.name in bare]
    covered = {p.name for p in paths if is_covered(np.asarray(PillowImage.open(p).convert("RGB")))}
    assert covered == bare
