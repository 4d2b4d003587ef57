"""How many matches one motion of the camera explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from placememory._types import Floats
from placememory.geometry.cameras import Camera
from placememory.geometry.features import opencv

LEAST = 8
"""Matches below which there is no geometry: a fundamental matrix fits any seven."""

PLANAR = 0.9
"""Share of the inliers from which a homography, which knows less, explains the pair as well."""

_DRAWS = 1000
_CONFIDENCE = 0.999

Kind = Literal["none", "fundamental", "essential", "homography"]


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """What two views of a place have in common.

    Attributes:
        kind: What explains the matches; ``homography`` where the scene is a plane or the camera
            only turned, so that no direction follows; ``none`` where nothing does.
        inliers: Matches it explains.
        matrix: (3, 3) float64, from the first view to the second; ``None`` for ``none``.
        rotation: (3, 3), turns vectors of the first camera's frame into the second's; known
            intrinsics only. Camera frames: x right, y down, z forward.
        direction: (3,) unit vector in the second camera's frame, from the second camera to the
            first; its length cannot be known from two views.
    """

    kind: Kind = "none"
    inliers: int = 0
    matrix: Floats | None = None
    rotation: Floats | None = None
    direction: Floats | None = None


def relate(
    first: Floats, second: Floats, threshold: float, camera: Camera | None = None
) -> Geometry:
    """The motion that explains most matches, by MAGSAC++ (Barath et al., CVPR 2020).

    A fundamental matrix, or with intrinsics an essential one; and a homography, as planes (a wall,
    a poster) and pure rotation leave the former undefined. The larger support counts.

    Args:
        first: (M, 2) matched points of the first view, pixels.
        second: (M, 2) those of the second.
        threshold: Pixels a point may be off; three times as many for a homography, which
            fits real walls less exactly.
        camera: Of both views.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    if len(first) < LEAST:
        return Geometry()
    cv2 = opencv()
    options = {"maxIters": _DRAWS, "confidence": _CONFIDENCE}
    plane, planar = _try(
        cv2, cv2.findHomography, first, second, cv2.USAC_MAGSAC, 3 * threshold, **options
    )
    views = (first, second) if camera is None else (camera.rays(first), camera.rays(second))
    if camera is None:
        epipolar, inliers = _try(
            cv2, cv2.findFundamentalMat, *views, cv2.USAC_MAGSAC, threshold, _CONFIDENCE, _DRAWS
        )
    else:
        near = threshold / camera.focal
        settings = (np.eye(3), cv2.USAC_MAGSAC, _CONFIDENCE, near)
        epipolar, inliers = _try(cv2, cv2.findEssentialMat, *views, *settings)
    count, flat = int(inliers.sum()), int(planar.sum())
    if max(count, flat) < LEAST:
        return Geometry()
    if flat >= PLANAR * count:
        return Geometry("homography", max(count, flat), plane)
    if camera is None:
        return Geometry("fundamental", count, epipolar)
    _, rotation, direction, _ = cv2.recoverPose(
        epipolar, *views, np.eye(3), mask=inliers.astype(np.uint8)[:, None]
    )
    return Geometry("essential", count, epipolar, rotation, direction.ravel())


def _try(
    cv2: Any, estimate: Any, first: Floats, second: Floats, *settings: Any, **named: Any
) -> tuple[Floats | None, NDArray[np.bool_]]:
    """Matrix and inliers (M,); none where the points are degenerate."""
    try:
        matrix, inliers = estimate(first, second, *settings, **named)
    except cv2.error:  # some degenerate sets trip an assertion in OpenCV
        matrix = inliers = None
    if matrix is None or inliers is None or np.shape(matrix) != (3, 3):
        return None, np.zeros(len(first), np.bool_)
    return np.asarray(matrix, np.float64), np.asarray(inliers).ravel() > 0
