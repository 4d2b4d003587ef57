"""A pinhole camera: pixels to rays and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from placememory._io import parse_json, parse_yaml, read_text
from placememory._types import Floats
from placememory.errors import SettingError
from placememory.geometry.features import opencv

_SAME_ASPECT = 0.01


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera: intrinsics in pixels of the images as they are given.

    Pixel (0, 0) is the middle of the upper left pixel, as in OpenCV and ROS.

    Attributes:
        fx: Focal length along x.
        fy: Focal length along y.
        cx: Principal point, x.
        cy: Principal point, y.
        distortion: k1, k2, p1, p2 (and k3) as in OpenCV and ROS ``plumb_bob``; empty for none.
        width: Pixels of the images it was calibrated on; 0 if unknown.
        height: Likewise.

    Raises:
        SettingError: A value is not finite, a focal length not positive, or a count impossible.

    Example:
        >>> Camera(500.0, 500.0, 320.0, 240.0).matrix.shape
        (3, 3)
    """

    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    width: int = 0
    height: int = 0

    def __post_init__(self) -> None:
        values = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not all(map(math.isfinite, values)) or min(self.fx, self.fy) <= 0:
            raise SettingError(f"a camera needs finite numbers and fx, fy above 0, not {values}")
        if len(self.distortion) not in (0, 4, 5):
            raise SettingError(f"give 0, 4 or 5 numbers of distortion, not {len(self.distortion)}")
        if min(self.width, self.height) < 0 or (self.width > 0) != (self.height > 0):
            raise SettingError(
                f"a camera's images are {self.width} x {self.height} pixels; give both, or neither"
            )

    @property
    def matrix(self) -> Floats:
        """(3, 3) K."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def focal(self) -> float:
        """Geometric mean of both focal lengths, pixels."""
        return math.sqrt(self.fx * self.fy)

    def rays(self, points: Floats) -> Floats:
        """(N, 2) pixels as x / z and y / z of their rays."""
        if not len(points):
            return np.zeros((0, 2))
        bent = np.array(self.distortion) if self.distortion else None
        found = opencv().undistortPoints(points.reshape(-1, 1, 2), self.matrix, bent)
        return np.asarray(found, np.float64).reshape(-1, 2)

    def scale_to(self, width: int, height: int) -> Camera:
        """This camera for images of another size, scaled but not cropped.

        A camera of unknown size is taken as it is.

        Args:
            width: Pixels.
            height: Pixels.

        Raises:
            SettingError: The images have another aspect.

        Example:
            >>> Camera(500.0, 500.0, 319.5, 239.5, width=640, height=480).scale_to(320, 240).cx
            159.5
        """
        if not self.width or (self.width, self.height) == (width, height):
            return self
        x, y = width / self.width, height / self.height
        if abs(x / y - 1) > _SAME_ASPECT:
            raise SettingError(
                f"the camera was calibrated on {self.width} x {self.height} pixels and the image "
                f"has {width} x {height}, which is another aspect; give the camera of these images"
            )
        return replace(
            self,
            fx=x * self.fx,
            fy=y * self.fy,
            cx=x * (self.cx + 0.5) - 0.5,
            cy=y * (self.cy + 0.5) - 0.5,
            width=width,
            height=height,
        )


COLMAP_MODELS = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")
"""Camera models of COLMAP that are read."""

_TWO_FOCALS = ("PINHOLE", "OPENCV")
_COUNTS = dict(zip(COLMAP_MODELS, (3, 4, 4, 5, 8), strict=True))
_PLUMB_BOB = ("plumb_bob", "", None)


def read_camera(path: Path | str) -> Camera:
    """Read the intrinsics of a camera.

    Understood are a ROS ``camera_info`` YAML (``plumb_bob``), a COLMAP ``cameras.txt`` with one
    camera, and a JSON such as ``{"fx": 500, "fy": 500, "cx": 320, "cy": 240}`` with ``distortion``,
    ``width`` and ``height`` where known.

    Args:
        path: ``.yaml`` or ``.yml``, ``.txt``, or ``.json``.

    Raises:
        SettingError: The file is missing, of another kind, or holds no camera we know.
    """
    path = Path(path)
    readers = {".yaml": _ros, ".yml": _ros, ".txt": _colmap, ".json": _plain}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise SettingError(
            f"{path}: a camera is read from a ROS camera_info (.yaml), COLMAP's cameras.txt or "
            "a .json"
        )
    try:
        return reader(read_text(path, SettingError), str(path))
    except KeyError as error:
        raise SettingError(f"{path}: the key {error} is missing") from error
    except SettingError as error:
        if str(path) in str(error):
            raise
        raise SettingError(f"{path}: cannot read a camera ({error})") from error
    except (ArithmeticError, AttributeError, ValueError, TypeError, IndexError) as error:
        raise SettingError(f"{path}: cannot read a camera ({error})") from error


def from_colmap(model: str, width: int, height: int, parameters: Sequence[float]) -> Camera:
    """Camera of a COLMAP model; its pixel (0.5, 0.5) is the middle of the upper left one.

    Raises:
        SettingError: The model is none of :data:`COLMAP_MODELS`, or has other parameters.

    Example:
        >>> from_colmap("SIMPLE_RADIAL", 640, 480, [500, 320, 240, 0.1])
        Camera(fx=500, fy=500, cx=319.5, cy=239.5, distortion=(0.1, 0.0, 0.0, 0.0), width=640,
               height=480)
    """
    if model not in _COUNTS:
        raise SettingError(
            f"the COLMAP camera model {model} is not supported; undistort the images, or use one "
            f"of {', '.join(COLMAP_MODELS)}"
        )
    if len(parameters) != _COUNTS[model]:
        raise SettingError(f"{model} has {_COUNTS[model]} parameters, not {len(parameters)}")
    focals = 2 if model in _TWO_FOCALS else 1
    fx, fy = parameters[0], parameters[focals - 1]
    cx, cy, *bent = parameters[focals:]
    distortion = tuple(bent) + (0.0,) * (4 - len(bent)) if bent else ()
    return Camera(fx, fy, cx - 0.5, cy - 0.5, distortion, width, height)


def _ros(text: str, where: str) -> Camera:
    found = _mapping(parse_yaml(text, where, SettingError))
    model = found.get("distortion_model")
    if model not in _PLUMB_BOB:
        raise SettingError(f"the distortion model is {model!r}; only plumb_bob is supported")
    k = [float(value) for value in found["camera_matrix"]["data"]]
    if len(k) != 9:
        raise SettingError(f"camera_matrix.data has 9 numbers, not {len(k)}")
    bent = found.get("distortion_coefficients", {}).get("data", ())
    size = int(found["image_width"]), int(found["image_height"])
    return from_ros(k, bent, *size)


def from_ros(k: Sequence[float], bent: Sequence[float], width: int, height: int) -> Camera:
    """Camera of ROS's matrix K (9,) by rows and ``plumb_bob`` coefficients.

    Example:
        >>> from_ros([500, 0, 320, 0, 500, 240, 0, 0, 1], [0.0] * 5, 640, 480).distortion
        ()
    """
    values = [float(value) for value in k]
    return Camera(values[0], values[4], values[2], values[5], _bent(bent), width, height)


def _colmap(text: str, where: str) -> Camera:  # noqa: ARG001 - as the others
    lines = [line.split() for line in text.splitlines() if line.strip() and line[0] != "#"]
    if len(lines) != 1:
        raise SettingError(f"it has {len(lines)} cameras; keep the line of the query's camera")
    _, model, width, height, *parameters = lines[0]
    return from_colmap(model, int(width), int(height), [float(value) for value in parameters])


def _plain(text: str, where: str) -> Camera:
    found = _mapping(parse_json(text, where, SettingError))
    known = {"fx", "fy", "cx", "cy", "distortion", "width", "height"}
    if set(found) - known:
        raise SettingError(f"unknown keys {sorted(set(found) - known)}; known are {sorted(known)}")
    fx, fy, cx, cy = (float(found[key]) for key in ("fx", "fy", "cx", "cy"))
    size = int(found.get("width", 0)), int(found.get("height", 0))
    return Camera(fx, fy, cx, cy, _bent(found.get("distortion", ())), *size)


def _bent(values: Sequence[float]) -> tuple[float, ...]:
    """Distortion; none where all are zero."""
    found = tuple(float(value) for value in values)
    return found if any(found) else ()


def _mapping(found: Any) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        raise SettingError("it holds no keys and values")
    return found
