"""Answers with geometry: a camera's pose with covariance, and the direction from a place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._registry import require
from placememory._types import Floats
from placememory.frames import Pose
from placememory.geometry.cameras import Camera
from placememory.geometry.verifier import FLOOR, Verified
from placememory.memory import Place

OPTICAL_IN_BODY: Floats = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
"""(4, 4) a camera (x right, y down, z forward) that looks along the body's x axis (REP-103)."""


@dataclass(frozen=True, slots=True, eq=False)
class CameraPose:
    """Where a camera was, in the world frame of the posed model.

    The camera frame is optical: x right, y down, z forward. Errors are small: the true position is
    ``position + p`` and the true rotation ``exp(w) @ rotation`` with (p, w) of this covariance.

    Attributes:
        rotation: (3, 3), world from camera.
        position: (3,) metres, world frame.
        covariance: (6, 6): x, y, z in metres, then small angles about the world's x, y and z axes
            in radians. It knows the error of the pixels, not that of the model.
        inliers: Points of the query that the pose explains.
        error: Root mean square of their reprojection error, pixels of the query.
    """

    rotation: Floats
    position: Floats
    covariance: Floats
    inliers: int
    error: float

    def pose(self, mount: Floats = OPTICAL_IN_BODY, frame_id: str = "map") -> Pose:
        """Pose of the body that carries the camera, with its covariance.

        Args:
            mount: (4, 4) T_body_camera; by default the body is the camera with REP-103 axes
                (x forward, y left, z up). The identity gives the optical frame itself.
            frame_id: Name of the world frame.

        Example:
            >>> looking_along_x = OPTICAL_IN_BODY[:3, :3]
            >>> CameraPose(looking_along_x, np.ones(3), np.eye(6), 20, 1.0).pose().yaw
            0.0
        """
        camera = np.eye(4)
        camera[:3, :3], camera[:3, 3] = self.rotation, self.position
        body = camera @ np.linalg.inv(mount)
        x, y, z = body[:3, 3] - self.position
        moved = np.eye(6)  # a turn about the camera moves the body's origin
        moved[:3, 3:] = -np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        covariance = tuple((moved @ self.covariance @ moved.T).ravel().tolist())
        found = Pose.from_matrix(body, frame_id)
        return Pose(found.x, found.y, found.z, found.quaternion, frame_id, covariance)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "rotation": self.rotation.tolist(),
            "position": self.position.tolist(),
            "covariance": self.covariance.tolist(),
            "inliers": self.inliers,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True, eq=False)
class RelativePose:
    """How the query's camera stands to that of a place, but for the distance.

    Camera frames are optical: x right, y down, z forward.

    Attributes:
        place: The place.
        rotation: (3, 3), turns vectors of the query's camera frame into the place's.
        direction: (3,) unit vector from the place's camera to the query's, in the place's camera
            frame; its length cannot be known from two views.
        inliers: Matches that it explains.
    """

    place: Place
    rotation: Floats
    direction: Floats
    inliers: int

    @classmethod
    def of(cls, found: Iterable[Verified], floor: int = FLOOR) -> RelativePose | None:
        """Of the checked candidate with the most inliers.

        Args:
            found: Checked candidates, in any order.
            floor: Inliers below which a pair says nothing.

        Returns:
            ``None`` if it has too few inliers, or no direction: without a :class:`Camera`, and
            where the scene is a plane or the camera only turned.
        """
        best = max(found, key=lambda row: (row.inliers, row.similarity), default=None)
        if best is None or best.inliers < floor or best.rotation is None or best.direction is None:
            return None
        return cls(best.candidate.place, best.rotation, best.direction, best.inliers)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "session": self.place.session,
            "index": self.place.index,
            "name": self.place.name,
            "rotation": self.rotation.tolist(),
            "direction": self.direction.tolist(),
            "inliers": self.inliers,
        }


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
    matrix, inliers = found
    _, ways, counts = np.unique(ids[inliers], return_inverse=True, return_counts=True)
    if len(counts) < least:
        return None
    rotation, position = matrix[:, :3].T, -matrix[:, :3].T @ matrix[:, 3]
    covariance, error = _spread(
        flat[inliers] / camera.focal,
        points[inliers] - middle,
        rotation,
        position,
        1.0 / counts[ways],
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
