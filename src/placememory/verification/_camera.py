"""A pinhole camera: pixels to rays and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from placememory._types import Floats
from placememory.errors import SettingError
from placememory.verification._border import opencv

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

    def fitted(self, width: int, height: int) -> Camera:
        """This camera for images of another size, scaled but not cropped.

        A camera of unknown size is taken as it is.

        Args:
            width: Pixels.
            height: Pixels.

        Raises:
            SettingError: The images have another aspect.

        Example:
            >>> Camera(500.0, 500.0, 319.5, 239.5, width=640, height=480).fitted(320, 240).cx
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
