"""Read one image file as RGB."""

from __future__ import annotations

import stat
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
from PIL import Image as PillowImage

from placememory._io import check_file
from placememory.errors import ImageError, ImageSizeError
from placememory.frames.content import HEAD, describe
from placememory.frames.frame import Frame, Image
from placememory.frames.levels import Scale, to_grey_levels, warn_of_few_levels

T = TypeVar("T")
R = TypeVar("R")
HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
_PLAIN = ".png .jpg .jpeg .jpe .jfif .webp .bmp .tif .tiff .ppm .pgm .pnm .pbm .avif"
SUFFIXES = HEIF_SUFFIXES | frozenset(_PLAIN.split())
NAMES = "PNG, JPEG, WebP, BMP, TIFF, PNM, AVIF, HEIC"
"""The formats that are read."""

_DECODERS = {  # what the first bytes are -> Pillow's name; nothing else is decoded
    "PNG": "PNG",
    "JPEG": "JPEG",
    "WebP": "WEBP",
    "BMP": "BMP",
    "TIFF": "TIFF",
    "PNM": "PPM",
    "AVIF": "AVIF",
    "HEIC": "HEIF",
}
_WIDE_COLOUR = "16 bits a channel"  # of which Pillow gives the upper eight
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


def read_image(path: Path | str, *, exif: bool = True, levels: Scale | None = None) -> Image:
    """Read an image as (H, W, 3) uint8 RGB.

    Grey becomes three equal channels, transparency is dropped. The kind of image is told by the
    bytes, not by the name, and nothing but these kinds is decoded.

    Args:
        path: PNG, JPEG, WebP, BMP, TIFF, PNM, AVIF, or HEIC (the extra ``heif``).
        exif: Turn the image as its EXIF orientation says. hloc ignores the orientation; give
            ``False`` to be equal to it. In TIFF and HEIC the orientation is part of the format, and
            is always honoured.
        levels: Values of deep images (16 bits, float) that become black and white; by default the
            whole range, 0 to 65535, or 0 to 1. A memory has its own (see :class:`Levels`).

    Raises:
        ImageError: The file is missing, truncated, no image or no file.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise ImageError(f"{path}: there is no such image") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot read the image ({error})") from error
    if not stat.S_ISDIR(mode):
        check_file(path, ImageError)
    try:
        with path.open("rb") as file:
            return decode_image(file, str(path), exif=exif, levels=levels)
    except OSError as error:
        raise ImageError(f"{path}: cannot read the image ({error})") from error


def decode_image(
    file: IO[bytes],
    where: str,
    *,
    exif: bool = False,
    levels: Scale | None = None,
    most_pixels: int | None = None,
) -> Image:
    """Decode an image as :func:`read_image` does.

    Args:
        file: At its start.
        where: Its name, for messages.
        exif: As :func:`read_image` takes it.
        levels: The same.
        most_pixels: More are not decoded.

    Raises:
        ImageError: It is truncated, or of no kind that is read; says which kind it is.
        ImageSizeError: It has more pixels, or implausibly many.
    """
    with open_image(file, where, most_pixels) as opened:
        turn = _TURNS.get(_orientation(opened)) if exif else None
        return rgb_of_pillow(opened if turn is None else opened.transpose(turn), levels, where)


@contextmanager
def open_image(
    file: IO[bytes], where: str, most_pixels: int | None = None
) -> Iterator[PillowImage.Image]:
    """Open and decode an image of a kind that is read; for those that want more than its pixels.

    Raises:
        ImageError: It is truncated, or of no kind that is read.
        ImageSizeError: It has more than ``most_pixels``, or implausibly many.
    """
    kind = describe(file.read(HEAD))
    file.seek(0)
    if kind not in _DECODERS:
        raise ImageError(f"{where}: cannot read the image: it is {kind}, none of {NAMES}")
    if kind == "HEIC":
        _register_heif(where)
    try:
        with PillowImage.open(file, formats=[_DECODERS[kind]]) as opened:
            if most_pixels is not None and opened.width * opened.height > most_pixels:
                raise ImageSizeError(
                    f"{where}: the image has {opened.width} x {opened.height} pixels, and at most "
                    f"{most_pixels} are taken; make it smaller"
                )
            opened.info[_WIDE_COLOUR] = ";16" in str(getattr(opened, "tile", ""))
            opened.load()
            yield opened
    except ImageError:
        raise
    except PillowImage.DecompressionBombError as error:
        raise ImageSizeError(f"{where}: the image is implausibly large ({error})") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on garbage
        raise ImageError(
            f"{where}: cannot read the image ({error}); it begins as {kind}: is it complete?"
        ) from error


@cache
def has_heif() -> bool:
    """Whether HEIC can be read: the extra ``heif`` is installed."""
    return find_spec("pillow_heif") is not None


def _register_heif(where: str) -> None:
    if not has_heif():
        raise ImageError(
            f"{where}: it is HEIC, which needs: pip install 'placememory[heif]'; or convert it"
        )
    import_module("pillow_heif").register_heif_opener()


def _orientation(image: PillowImage.Image) -> int:
    """EXIF orientation 1 to 8; 1 where there is none, or the EXIF data is damaged."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the pixels are fine
        return 1


def rgb_of_pillow(image: PillowImage.Image, levels: Scale | None, where: str) -> Image:
    """Any Pillow mode to (H, W, 3) uint8; deep ones by their levels."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = to_grey_levels(np.asarray(image), levels, where)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    pixels = np.array(image.convert("RGB"), dtype=np.uint8)
    if image.info.get(_WIDE_COLOUR):
        warn_of_few_levels(pixels, "colours of 16 bits", where)
    return pixels


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
