"""Occupancy grid of ROS map_server: ``map.yaml`` with its image, world to pixel and back.

Conventions (REP-103, map_server, nav2): the origin is the pose of the lower left pixel's lower
left *corner* in the map frame, yaw counter-clockwise. Pixel coordinates here follow image drawing:
column to the right, row down, **centres on whole numbers**, so the lower left cell of an image of
height H has its centre at (0, H - 1).
"""

from __future__ import annotations

import logging
import math
import os
import reprlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory._io import check_file, read_yaml
from placememory.errors import ImageError, MapError
from placememory.frames.images import open_image

_log = logging.getLogger(__name__)
_PACKAGE = "package://"
Mode = Literal["trinary", "scale", "raw"]
FREE, OCCUPIED, UNKNOWN = 0, 100, -1


@dataclass(frozen=True)
class OccupancyGrid:
    """A 2-D map.

    Attributes:
        image: (H, W) float64 lightness 0 (black) to 1 (white), row 0 at the top.
        alpha: (H, W) float64 opacity 0 to 1, or ``None`` where the image has none.
        resolution: Metres per pixel.
        origin: x, y in metres and yaw in radians of the lower left corner.
        negate: Whether white means occupied.
        occupied_thresh: Occupancy above this is occupied.
        free_thresh: Occupancy below this is free.
        mode: How values between the thresholds are read.

    Example:
        >>> grid = OccupancyGrid(np.ones((4, 6)), 0.5, (1.0, 2.0, 0.0))
        >>> grid.to_pixel([1.25, 2.25]).tolist()      # centre of the lower left cell
        [0.0, 3.0]
        >>> grid.to_world([0.0, 3.0]).tolist()
        [1.25, 2.25]
    """

    image: NDArray[np.float64]
    resolution: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    negate: bool = False
    occupied_thresh: float = 0.65
    free_thresh: float = 0.25
    mode: Mode = "trinary"
    alpha: NDArray[np.float64] | None = field(default=None, repr=False)

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.image.shape[1])

    @property
    def lightness(self) -> NDArray[np.float64]:
        """(H, W) float64, 0 occupied to 1 free, whatever white means in the image."""
        light: NDArray[np.float64] = 1.0 - self.image if self.negate else self.image
        return np.clip(light, 0.0, 1.0)

    def to_pixel(self, world: ArrayLike) -> NDArray[np.float64]:
        """World to pixel.

        Args:
            world: (..., 2) x, y in metres, map frame.

        Returns:
            (..., 2) float64 column, row; pixel centres on whole numbers.
        """
        u, v = self._grid_units(world)
        return np.stack([u - 0.5, self.height - 0.5 - v], axis=-1)

    def to_world(self, pixel: ArrayLike) -> NDArray[np.float64]:
        """Pixel to world, the inverse of :meth:`to_pixel`.

        Args:
            pixel: (..., 2) column, row; pixel centres on whole numbers.

        Returns:
            (..., 2) float64 x, y in metres, map frame.
        """
        column, row = np.moveaxis(np.asarray(pixel, dtype=np.float64), -1, 0)
        u = (column + 0.5) * self.resolution
        v = (self.height - 0.5 - row) * self.resolution
        cosine, sine = math.cos(self.origin[2]), math.sin(self.origin[2])
        x = self.origin[0] + cosine * u - sine * v
        y = self.origin[1] + sine * u + cosine * v
        return np.stack([x, y], axis=-1)

    def to_cell(self, world: ArrayLike) -> NDArray[np.int64]:
        """(..., 2) int64 column, row of the cell that holds a point; may lie outside the image.

        A point on the line between two cells belongs to the one further along the axis.
        """
        u, v = self._grid_units(world)
        return np.stack([np.floor(u), self.height - 1 - np.floor(v)], axis=-1).astype(np.int64)

    def contains(self, world: ArrayLike) -> NDArray[np.bool_]:
        """(...) bool: whether points (..., 2) in metres lie on the image; NaN does not."""
        u, v = self._grid_units(world)
        inside: NDArray[np.bool_] = (u >= 0) & (u < self.width) & (v >= 0) & (v < self.height)
        return inside

    def occupancy(self) -> NDArray[np.int8]:
        """(H, W) int8 as map_server publishes it: 0 free, 100 occupied, -1 unknown; row 0 on top.

        ``raw`` gives the grey value 0..255 where it is at most 100, else -1; ``scale`` gives 1..99
        between the thresholds and -1 where the image is not opaque.
        """
        if self.mode == "raw":
            grey = np.rint(self.image * 255.0)
            return np.where(grey <= 100, grey, UNKNOWN).astype(np.int8)
        value = self.image if self.negate else 1.0 - self.image
        between = np.full(value.shape, float(UNKNOWN))
        if self.mode == "scale":
            span = (self.occupied_thresh - self.free_thresh) or 1.0  # no value lies between
            between = np.rint(np.clip((value - self.free_thresh) / span, 0, 1) * 98 + 1)
        result = np.where(value > self.occupied_thresh, OCCUPIED, between)
        result = np.where(value < self.free_thresh, FREE, result)
        if self.mode == "scale" and self.alpha is not None:
            result = np.where(self.alpha < 1.0, UNKNOWN, result)
        return result.astype(np.int8)

    def _grid_units(self, world: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Cells to the right of, and above, the lower left corner."""
        x, y = np.moveaxis(np.asarray(world, dtype=np.float64), -1, 0)
        dx, dy = x - self.origin[0], y - self.origin[1]
        cosine, sine = math.cos(self.origin[2]), math.sin(self.origin[2])
        return (
            (cosine * dx + sine * dy) / self.resolution,
            (-sine * dx + cosine * dy) / self.resolution,
        )


def read_map(path: Path | str) -> OccupancyGrid:
    """Read a ROS ``map.yaml`` and the image it names.

    Args:
        path: The yaml; ``image`` in it is relative to its folder, absolute, or begins with ``~`` or
            ``package://``. A yaw that is not a number counts as 0, with a warning.

    Raises:
        MapError: A file is missing, a key is missing or impossible; the message names the yaml.
    """
    path = Path(path)
    values = read_yaml(path, MapError)
    if not isinstance(values, dict):
        raise MapError(f"{path}: a map's yaml has keys such as image, resolution and origin")
    file = _find_image(_require_key(values, "image", path), path)
    image, alpha = _read_lightness(file, path, with_alpha=str(values.get("mode", "trinary")))
    free = _threshold(values, "free_thresh", 0.25, path)
    occupied = _threshold(values, "occupied_thresh", 0.65, path)
    if free > occupied:
        raise MapError(f"{path}: free_thresh {free} is above occupied_thresh {occupied}")
    return OccupancyGrid(
        image=image,
        alpha=alpha,
        resolution=_positive(values, path),
        origin=_origin(values, path),
        negate=_flag(values, "negate", path),
        occupied_thresh=occupied,
        free_thresh=free,
        mode=_mode(values, path),
    )


def _find_image(text: Any, path: Path) -> Path:
    """The file that a map's yaml names: beside it, absolute, of the home or of a ROS package.

    Raises:
        MapError: It names none, or a package that is not found.
    """
    if not isinstance(text, str) or not text.strip("/. "):
        raise MapError(f"{path}: image must be the name of a file, not {_short(text)}")
    text = text.removeprefix("file://")
    if text.startswith(_PACKAGE):
        return _find_in_package(text, path)
    try:
        file = path.parent / Path(text).expanduser()
    except RuntimeError as error:
        raise MapError(f"{path}: image {text!r}: {error}") from error
    beside = path.parent / file.name
    if Path(text).is_absolute() and not file.exists() and beside.is_file():
        _log.warning("%s: %s is not there; the map's image is %s", path, file, beside)
        return beside
    return file


def _find_in_package(text: str, path: Path) -> Path:
    """A file of a ROS package: of one around the yaml, or where ROS looks for packages."""
    package, _, rest = text.removeprefix(_PACKAGE).partition("/")
    folders = [parent for parent in path.absolute().parents if parent.name == package]
    for name, below in (("AMENT_PREFIX_PATH", f"share/{package}"), ("ROS_PACKAGE_PATH", package)):
        folders += [Path(entry) / below for entry in os.environ.get(name, "").split(":") if entry]
    found = next((folder / rest for folder in folders if (folder / rest).is_file()), None)
    if found is None:
        raise MapError(
            f"{path}: the image {text} is in no folder {package} above it, nor in "
            "AMENT_PREFIX_PATH or ROS_PACKAGE_PATH; source the workspace, or name the file"
        )
    return found


def _read_lightness(
    file: Path, path: Path, with_alpha: str
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Mean of the colour channels in 0..1; trinary averages alpha in, as map_server does."""
    try:
        check_file(file, ImageError)
        with file.open("rb") as opened_file, open_image(opened_file, str(file)) as opened:
            mode = "RGBA" if "A" in opened.getbands() or "transparency" in opened.info else None
            if opened.mode.startswith("I"):
                return np.asarray(opened).astype(np.float64) / 65535.0, None
            pixels = np.asarray(opened.convert(mode or "RGB"), dtype=np.float64) / 255.0
    except (ImageError, OSError) as error:
        raise MapError(f"{path}: its image cannot be used: {error}") from error
    if mode is None:
        return pixels.mean(axis=-1), None
    channels = pixels if with_alpha == "trinary" else pixels[..., :3]
    return channels.mean(axis=-1), pixels[..., 3]


def _require_key(values: dict[str, Any], key: str, path: Path) -> Any:
    if key not in values:
        raise MapError(f"{path}: the key {key!r} is missing")
    return values[key]


def _positive(values: dict[str, Any], path: Path) -> float:
    value = _number(_require_key(values, "resolution", path), "resolution", path)
    if value <= 0:
        raise MapError(f"{path}: resolution must be positive (metres per pixel), not {value}")
    return value


def _origin(values: dict[str, Any], path: Path) -> tuple[float, float, float]:
    items = _require_key(values, "origin", path)
    if not isinstance(items, list) or len(items) != 3:
        raise MapError(f"{path}: origin must be [x, y, yaw], not {_short(items)}")
    x, y = (_number(item, "origin", path) for item in items[:2])
    if str(items[2]).lstrip("+-.").lower() == "nan":  # octomap writes it
        _log.warning("%s: the yaw of the origin is not a number and counts as 0", path)
        return x, y, 0.0
    return x, y, _number(items[2], "origin", path)


def _threshold(values: dict[str, Any], key: str, default: float, path: Path) -> float:
    value = _number(values.get(key, default), key, path)
    if not 0.0 <= value <= 1.0:
        raise MapError(f"{path}: {key} must lie in 0..1, not {value}")
    return value


def _flag(values: dict[str, Any], key: str, path: Path) -> bool:
    value = values.get(key, 0)
    if not isinstance(value, bool | int) or value not in (0, 1):
        raise MapError(f"{path}: {key} must be 0, 1, true or false, not {_short(value)}")
    return bool(value)


def _mode(values: dict[str, Any], path: Path) -> Mode:
    mode = values.get("mode", "trinary")
    if not isinstance(mode, str) or mode not in ("trinary", "scale", "raw"):
        raise MapError(f"{path}: mode must be trinary, scale or raw, not {_short(mode)}")
    return cast("Mode", mode)


def _number(value: Any, key: str, path: Path) -> float:
    """A finite number; YAML 1.1 reads ``5e-2`` as text, so text is tried too."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise MapError(f"{path}: {key} must be a finite number, not {_short(value)}")
    return number


def _short(value: Any) -> str:
    """A value as a message shows it."""
    return reprlib.repr(value)
