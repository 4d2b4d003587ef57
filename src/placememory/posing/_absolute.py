"""A camera's pose from pixels of known points, with covariance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._extras import require
from placememory._types import Floats
from placememory.posing._camera_pose import CameraPose
from placememory.verification import Camera

LEAST = 12
"""Inliers below which there is no pose."""

_PURPOSE = "Camera poses"
_DRAWS = (100, 5000)


def pycolmap() -> Any:
    """The package pycolmap.

    Raises:
        MissingExtraError: It is not installed.
    """
    return require("pycolmap", extra="colmap", purpose=_PURPOSE)


def absolute_pose(
    pixels: Floats,
    points: Floats,
    camera: Camera,
    *,
    threshold: float = 4.0,
    least: int = LEAST,
    ids: NDArray[np.int64] | None = None,
) -> CameraPose | None:
    """The pose that explains most matches: LO-RANSAC, then refinement, both by pycolmap.

    The covariance is that of least squares, s^2 (J^T J)^-1 over the inliers, with s^2 from their
    residuals. pycolmap's own takes pixels to be right within one, whatever the residuals are, and
    counts rotations in half angles.

    Args:
        pixels: (N, 2) of the query.
        points: (N, 3) metres, world frame, one for each pixel.
        camera: Of the query.
        threshold: Pixels an inlier may be off.
        least: Inliers below which there is no pose, 4 or more; a pixel counts once.
        ids: (N,) equal where one pixel is matched to several points, so that together they weigh
            as one; all different by default.

    Returns:
        The pose, the same for the same arguments; ``None`` if there is none.

    Raises:
        MissingExtraError: The extra ``colmap`` is not installed.
    """
    ids = np.arange(len(pixels)) if ids is None else ids
    if len(np.unique(ids)) < least:
        return None
    middle = np.median(points, axis=0)  # far from the origin, products of coordinates lose digits
    flat = camera.rays(pixels) * camera.focal
    found = _robust(flat, points - middle, camera.focal, threshold)
    if found is None:
        return None
    matrix, kept = found
    _, ways, counts = np.unique(ids[kept], return_inverse=True, return_counts=True)
    if len(counts) < least:
        return None
    rotation, position = matrix[:, :3].T, -matrix[:, :3].T @ matrix[:, 3]
    covariance, error = _spread(
        flat[kept] / camera.focal, points[kept] - middle, rotation, position, 1.0 / counts[ways]
    )
    if covariance is None:
        return None
    return CameraPose(rotation, position + middle, covariance, len(counts), error * camera.focal)


def _robust(
    flat: Floats, points: Floats, focal: float, threshold: float
) -> tuple[Floats, NDArray[np.bool_]] | None:
    """(3, 4) camera from world and inliers (N,), of pixels about the principal point."""
    colmap = pycolmap()
    camera = colmap.Camera(model="SIMPLE_PINHOLE", width=1, height=1, params=[focal, 0.0, 0.0])
    estimation = colmap.AbsolutePoseEstimationOptions()
    estimation.ransac.max_error = threshold
    estimation.ransac.random_seed = 0
    estimation.ransac.min_num_trials, estimation.ransac.max_num_trials = _DRAWS
    refinement = colmap.AbsolutePoseRefinementOptions()
    refinement.loss_function_scale = threshold
    found = colmap.estimate_and_refine_absolute_pose(flat, points, camera, estimation, refinement)
    if found is None:
        return None
    matrix = np.asarray(found["cam_from_world"].matrix(), np.float64)
    return matrix, np.asarray(found["inlier_mask"], np.bool_).ravel()


def _spread(
    rays: Floats, points: Floats, rotation: Floats, position: Floats, weights: Floats
) -> tuple[Floats | None, float]:
    """Covariance (6, 6) as of :class:`CameraPose` and the RMS of the residuals, in rays.

    No covariance where the points do not fix the pose.
    """
    away = points - position
    local = away @ rotation
    depth = local[:, 2]
    off = local[:, :2] / depth[:, None] - rays
    slopes = np.zeros((len(rays), 2, 3))
    slopes[:, 0, 0] = slopes[:, 1, 1] = 1.0 / depth
    slopes[:, :, 2] = -local[:, :2] / depth[:, None] ** 2
    slopes = slopes @ rotation.T
    turned = np.cross(slopes, away[:, None])  # by the angle w the point moves by -w x away
    jacobian = np.concatenate((-slopes, turned), axis=2)
    normal = np.einsum("n,nij,nik->jk", weights, jacobian, jacobian)
    squares = float(weights @ (off**2).sum(axis=1))
    free = 2 * float(weights.sum()) - 6
    if free <= 0 or np.linalg.cond(normal) > 1 / np.finfo(float).eps:
        return None, 0.0
    covariance = np.linalg.inv(normal) * (squares / free)
    return (covariance + covariance.T) / 2, float(np.sqrt(squares / weights.sum()))
