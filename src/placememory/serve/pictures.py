"""Images as they come in, bounded, and as they go out, small."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping

import numpy as np
from PIL import Image as PillowImage
from starlette.datastructures import UploadFile
from starlette.requests import Request

from placememory._types import Floats
from placememory.frames import Image, Levels
from placememory.frames.images import decode_image
from placememory.serve.faults import Refusal

_PLAIN = ("image/", "application/octet-stream")
_QUALITY = 85
_MOST_FIELDS = 32


def decode_upload(data: bytes, max_pixels: int, levels: Levels | None) -> Image:
    """An uploaded image as (H, W, 3) uint8 RGB, turned by its EXIF orientation.

    Raises:
        ImageError: It is no image that is read.
        ImageSizeError: It has too many pixels; it was not decoded then.

    Example:
        >>> decode_upload(make_jpeg(np.zeros((2, 3, 3), np.uint8), 3), 100, None).shape
        (2, 3, 3)
    """
    file = io.BytesIO(data)
    return decode_image(file, "the upload", exif=True, levels=levels, most_pixels=max_pixels)


def make_jpeg(image: Image, width: int) -> bytes:
    """An image (H, W, 3) uint8 RGB as JPEG, at most so wide."""
    picture = PillowImage.fromarray(image)
    if picture.width > width:
        height = max(1, round(picture.height * width / picture.width))
        picture = picture.resize((width, height), PillowImage.Resampling.BILINEAR, reducing_gap=2.0)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def make_map_png(lightness: Floats) -> bytes:
    """A map's lightness (H, W), 0 to 1, row 0 at the top, as a grey PNG."""
    file = io.BytesIO()
    grey = np.rint(255.0 * lightness.clip(0.0, 1.0)).astype(np.uint8)
    PillowImage.fromarray(grey).save(file, "PNG")
    return file.getvalue()


async def read_upload(request: Request, seconds: float) -> tuple[bytes, Mapping[str, str]]:
    """The image of a request, raw or in a form, and the other fields of the form.

    Args:
        request: Its body is bounded already.
        seconds: Within which it must have arrived.

    Raises:
        Refusal: There is no image, it comes as something else, or too slowly.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data" and not kind.startswith(_PLAIN):
        raise Refusal(
            415,
            "unsupported_media_type",
            f"an image is sent as image/jpeg (or png, ...), or as multipart/form-data, not as "
            f"{kind or 'nothing'}; of curl: -H 'Content-Type: image/jpeg'",
        )
    try:
        async with asyncio.timeout(seconds):
            if kind != "multipart/form-data":
                return _not_empty(await request.body()), {}
            async with request.form(max_files=1, max_fields=_MOST_FIELDS) as form:
                image = form.get("image")
                if not isinstance(image, UploadFile):
                    raise Refusal(422, "image_missing", "the form has no file in its field 'image'")
                texts = {name: text for name, text in form.items() if isinstance(text, str)}
                return _not_empty(await image.read()), texts
    except TimeoutError as error:
        raise Refusal(408, "too_slow", f"the upload took more than {seconds:g} s") from error


def _not_empty(data: bytes) -> bytes:
    if not data:
        raise Refusal(422, "image_missing", "the request has no image; send it as the body")
    return data
