"""Read one image file as RGB."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image as PillowImage

from placememory.errors import ImageError
from placememory.frames.frame import Frame, Image

T = TypeVar("T")
R = TypeVar("R")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})
_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {
    2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
    3: PillowImage.Transpose.ROTATE_180,
    4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
    5: PillowImage.Transpose.TRANSPOSE,
    6: PillowImage.Transpose.ROTATE_270,
    7: PillowImage.Transpose.TRANSVERSE,
    8: PillowImage.Transpose.ROTATE_90,
}

# Pillow warns of odd metadata and of images over 89 megapixels; both can be read.
for _kind in (UserWarning, PillowImage.DecompressionBombWarning):
    warnings.filterwarnings("ignore", category=_kind, module=r"PIL\.")


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
            ``False`` to be equal to it. In a TIFF the orientation is part of the format, and is
            always honoured.

    Raises:
        ImageError: The file is missing, truncated or no image.
    """
    path = Path(path)
    try:
        with PillowImage.open(path) as opened:
            opened.load()
            turn = _TURNS.get(_orientation(opened)) if exif else None
            return rgb_of_pillow(opened if turn is None else opened.transpose(turn))
    except FileNotFoundError as error:
        raise ImageError(f"{path}: there is no such image") from error
    except PillowImage.DecompressionBombError as error:
        raise ImageError(f"{path}: the image is implausibly large ({error})") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on garbage
        raise ImageError(f"{path}: cannot read the image ({error}); is it complete?") from error


def _orientation(image: PillowImage.Image) -> int:
    """EXIF orientation 1 to 8; 1 where there is none, or the EXIF data is damaged."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the pixels are fine
        return 1


def rgb_of_pillow(image: PillowImage.Image) -> Image:
    """Any Pillow mode to (H, W, 3) uint8."""
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535) >> 8
    elif image.mode == "F":
        grey = np.round(np.clip(np.nan_to_num(np.asarray(image)), 0.0, 1.0) * 255.0)
    else:
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        return np.array(image.convert("RGB"), dtype=np.uint8)
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


def as_rgb(image: object) -> Image:
    """An image array as (H, W, 3) uint8 RGB.

    Args:
        image: uint8 array (H, W, 3) RGB, which is returned as it is; (H, W) or (H, W, 1) grey,
            which becomes three equal channels; or (H, W, 4) RGBA, whose alpha is dropped.

    Raises:
        ImageError: It is anything else; the message says how to convert it.

    Example:
        >>> as_rgb(np.full((2, 3), 7, np.uint8)).shape
        (2, 3, 3)
    """
    if not isinstance(image, np.ndarray):
        raise ImageError(
            f"an image is an array (H, W, 3) uint8 RGB, not {type(image).__name__}; "
            "read_image reads a file"
        )
    what = f"an image is (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}"
    if image.dtype != np.uint8:
        hint = "convert values of 0 to 255 with image.astype(np.uint8)"
        if image.dtype.kind == "f":
            hint += ", values of 0 to 1 with (255 * image).round().astype(np.uint8)"
        raise ImageError(f"{what}; {hint}")
    if 0 in image.shape or image.ndim not in (2, 3):
        raise ImageError(f"{what}; give one image with at least one pixel")
    channels = image.shape[2] if image.ndim == 3 else 1
    if channels not in (1, 3, 4):
        raise ImageError(f"{what}; put the channels last, as image.transpose(1, 2, 0) does")
    if channels == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    return image[:, :, :3] if channels == 4 else image


def as_frame(image: Frame | Image | str | Path, index: int = 0) -> Frame:
    """Make a frame of an image file or array; a frame stays as it is.

    Args:
        image: Frame, path, or (H, W, 3) uint8 RGB array; grey (H, W) or (H, W, 1) becomes three
            equal channels, and alpha (H, W, 4) is dropped.
        index: Number of the frame.

    Raises:
        ImageError: The array is no image.

    Example:
        >>> as_frame(np.zeros((4, 6), np.uint8)).image().shape
        (4, 6, 3)
    """
    if isinstance(image, Frame):
        return image
    if isinstance(image, str | Path):
        return Frame(Path(image).name, "query", index, read=partial(read_image, Path(image)))
    pixels = as_rgb(image)
    return Frame(f"frame {index}", "query", index, read=lambda: pixels)


def read_ahead(
    frames: Iterable[Frame],
    *,
    on_bad: Callable[[Frame, ImageError], None] | None = None,
    workers: int = 2,
    depth: int = 32,
) -> Iterator[tuple[Frame, Image]]:
    """Yield frames with their images, read by threads a few frames ahead.

    Args:
        frames: In the order wanted.
        on_bad: Called with each unreadable frame, which is then left out; without it the first
            unreadable image raises.
        workers: Reading threads.
        depth: How many images may wait in memory, at least 1.

    Raises:
        ImageError: An image is unreadable and ``on_bad`` is not given.
    """
    for frame, future in map_ahead(Frame.image, frames, workers=workers, depth=depth):
        try:
            image = future.result()
        except ImageError as error:
            if on_bad is None:
                raise
            on_bad(frame, error)
            continue
        yield frame, image


def map_ahead(
    work: Callable[[T], R], items: Iterable[T], *, workers: int, depth: int
) -> Iterator[tuple[T, Future[R]]]:
    """Yield items in their order, each with the future of the work on it; threads work ahead.

    Args:
        work: Called with an item, in a thread.
        items: Taken one after another, by the caller's thread.
        workers: Threads.
        depth: How many items may be under way, at least 1.

    Example:
        >>> [future.result() for _, future in map_ahead(abs, [-3, 2], workers=2, depth=4)]
        [3, 2]
    """
    waiting: deque[tuple[T, Future[R]]] = deque()
    source = iter(items)
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="work-ahead") as pool:
        try:
            while True:
                for item in islice(source, max(depth, 1) - len(waiting)):
                    waiting.append((item, pool.submit(work, item)))
                if not waiting:
                    return
                yield waiting.popleft()
        finally:
            for _, future in waiting:
                future.cancel()
