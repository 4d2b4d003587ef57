"""Answers with geometry: a camera's pose with covariance, and the direction from a place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from placememory._types import Floats
from placememory.frames import Pose
from placememory.memory import Place
from placememory.verification import FLOOR, Verified

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
