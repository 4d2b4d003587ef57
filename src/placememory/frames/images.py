"""Read one image file as RGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps

from placememory.errors import ImageError
from placememory.frames._frame import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})


def is_image(path: Path) -> bool:
    """Whether the file name ends like an image we read (case does not matter).

    Example:
        >>> is_image(Path("a/B.JPG")), is_image(Path("notes.txt"))
        (True, False)
    """
    return path.suffix.lower() in SUFFIXES


def read_image(path: Path | str, *, exif: bool = True) -> Image:
    """Read an image as (H, W, 3) uint8 RGB.

    Grey becomes three equal channels, 16-bit values keep their upper eight bits, float images are
    taken as 0..1, transparency is dropped.

    Args:
        path: PNG, JPEG, WebP, BMP, TIFF or PNM.
        exif: Turn the image as its EXIF orientation says. hloc ignores the orientation; give
            ``False`` to be equal to it.

    Raises:
        ImageError: The file is missing, truncated or no image.
    """
    path = Path(path)
    try:
        with PillowImage.open(path) as opened:
            opened.load()
            image = ImageOps.exif_transpose(opened) if exif else opened
            return _as_rgb(image)
    except FileNotFoundError as error:
        raise ImageError(f"{path}: there is no such image") from error
    except PillowImage.DecompressionBombError as error:
        raise ImageError(f"{path}: the image is implausibly large ({error})") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageError(f"{path}: cannot read the image ({error}); is it complete?") from error


def _as_rgb(image: PillowImage.Image) -> Image:
    """Any Pillow mode to (H, W, 3) uint8."""
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535) >> 8
    elif image.mode == "F":
        grey = np.round(np.clip(np.nan_to_num(np.asarray(image)), 0.0, 1.0) * 255.0)
    else:
        return np.array(image.convert("RGB"), dtype=np.uint8)
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
