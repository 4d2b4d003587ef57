"""Points of the world from their pixels in several views whose poses are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placememory._types import Bools, Floats
from placememory.geometry.cameras import Camera
from placememory.geometry.features import Features, mutual

_STEPS = 4
_DAMPING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Triangulated:
    """Points and what speaks for them.

    Attributes:
        points: (N, 3) float64, metres, world frame.
        depths: (N,) the least depth in front of a camera that saw it; negative is behind it.
        parallax: (N,) degrees, the largest angle between two of its rays.
        errors: (V, N) distance from the ray seen to the point's, as x / z and y / z (times the
            focal length it is pixels); 0 where the view did not see it.
    """

    points: Floats
    depths: Floats
    parallax: Floats
    errors: Floats

    def good(self, error: float, parallax: float) -> Bools:
        """(N,) which lie before all their cameras, within ``error``, with enough parallax."""
        mask: Bools = (
            (self.depths > 0) & (self.parallax >= parallax) & (self.errors.max(axis=0) <= error)
        )
        return mask


def triangulate(rays: Floats, seen: Bools, rotations: Floats, positions: Floats) -> Triangulated:
    """The points nearest to their rays, then the least reprojection error (Gauss-Newton).

    Hartley and Sturm, "Triangulation", CVIU 1997, compare such methods.

    Args:
        rays: (V, N, 2) x / z and y / z of every point in every view; any finite value where unseen.
        seen: (V, N), true in at least two views of each point.
        rotations: (V, 3, 3) world from camera.
        positions: (V, 3) of the cameras, metres, world frame.

    Example:
        >>> eye = np.stack([np.eye(3)] * 2)
        >>> rays = np.array([[[0.0, 0.0]], [[-0.5, 0.0]]])
        >>> found = triangulate(rays, np.ones((2, 1), bool), eye, np.array([[0.0] * 3, [1, 0, 0]]))
        >>> found.points.round(6).tolist(), found.parallax.round(1).tolist()
        ([[0.0, 0.0, 2.0]], [26.6])
    """
    middle = positions.mean(axis=0)  # far from the origin, products of coordinates lose digits
    centres = positions - middle
    directions = np.concatenate((rays, np.ones((*rays.shape[:2], 1))), axis=2)
    directions = np.einsum("vij,vnj->vni", rotations, directions)
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    points = _nearest(directions, seen, centres)
    for _ in range(_STEPS):
        points = points + _step(points, rays, seen, rotations, centres)
    local, off = _project(points, rays, rotations, centres)
    errors = np.where(seen, np.linalg.norm(off, axis=2), 0.0)
    depths = np.where(seen, local[..., 2], np.inf).min(axis=0)
    return Triangulated(points + middle, depths, _parallax(directions, seen), errors)


def _nearest(directions: Floats, seen: Bools, centres: Floats) -> Floats:
    """(N, 3) points with the least squared distance to their rays."""
    across = np.eye(3) - directions[..., :, None] * directions[..., None, :]
    across *= seen[..., None, None]
    right = np.einsum("vnij,vj->ni", across, centres)
    return _solve(across.sum(axis=0), right)


def _step(points: Floats, rays: Floats, seen: Bools, rotations: Floats, centres: Floats) -> Floats:
    """(N, 3) the step of Gauss-Newton on the reprojection error; none where it has no depth."""
    local, off = _project(points, rays, rotations, centres)
    depth = local[..., 2]
    usable = seen & (np.abs(depth) > _DAMPING)
    inverse = np.where(usable, 1.0 / np.where(usable, depth, 1.0), 0.0)
    slopes = np.zeros((*depth.shape, 2, 3))  # of x / z and y / z by the point in the camera frame
    slopes[..., 0, 0] = slopes[..., 1, 1] = inverse
    slopes[..., :, 2] = -local[..., :2] * (inverse**2)[..., None]
    slopes = np.einsum("vnij,vkj->vnik", slopes, rotations)  # camera from world is the transpose
    normal = np.einsum("vnij,vnik->njk", slopes, slopes)
    right = np.einsum("vnij,vni->nj", slopes, np.where(usable[..., None], off, 0.0))
    return -_solve(normal, right)


def _project(
    points: Floats, rays: Floats, rotations: Floats, centres: Floats
) -> tuple[Floats, Floats]:
    """(V, N, 3) the points in each camera's frame, and (V, N, 2) how far beside the rays."""
    local = np.einsum("vji,vnj->vni", rotations, points[None] - centres[:, None])
    depth = local[..., 2:]
    safe = np.where(np.abs(depth) > _DAMPING, depth, _DAMPING)
    return local, local[..., :2] / safe - rays


def _solve(normal: Floats, right: Floats) -> Floats:
    """(N, 3) solutions of (N, 3, 3) normal equations, damped where they are singular."""
    scale = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    damped = normal + (_DAMPING * scale + np.finfo(float).tiny) * np.eye(3)
    return np.asarray(np.linalg.solve(damped, right[..., None])[..., 0])


def _parallax(directions: Floats, seen: Bools) -> Floats:
    """(N,) degrees: the largest angle between two rays of a point."""
    both = seen[:, None] & seen[None]
    cosines = np.where(both, np.einsum("vni,wni->vwn", directions, directions), 1.0)
    least = cosines.reshape(-1, cosines.shape[-1]).min(axis=0)
    return np.asarray(np.degrees(np.arccos(np.clip(least, -1.0, 1.0))))


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """An image with its local features and its pose.

    Attributes:
        features: Of the image.
        camera: Its intrinsics, in pixels of that image.
        rotation: (3, 3), world from camera.
        position: (3,) metres, world frame.
    """

    features: Features
    camera: Camera
    rotation: Floats
    position: Floats


@dataclass(frozen=True, slots=True, eq=False)
class PlacePoints:
    """Features of a place whose points are known.

    Attributes:
        descriptors: (N, D) float32 of all its features.
        known: (N,), true where the point is known.
        points: (N, 3) metres, world frame; of use where known.
    """

    descriptors: NDArray[np.float32]
    known: Bools
    points: Floats


def place_points(
    place: View, others: Sequence[View], *, cosine: float, pixels: float, parallax: float
) -> PlacePoints:
    """Triangulate a place's features from their mutual matches in other views.

    A match off its epipolar line does not count. Of a point that does not fit all its views the
    worst is taken away until it fits or only two are left.

    Args:
        place: The place.
        others: Views of the same, elsewhere.
        cosine: Matches of features less alike are left out.
        pixels: A point may be off by this many, of those the features were taken on.
        parallax: Degrees, the least angle between two rays of a point.
    """
    views = (place, *others)
    rays, seen = _match_views(place, others, cosine)
    unit = max(view.features.pixel / view.camera.focal for view in views)
    rotations = np.stack([view.rotation for view in views])
    positions = np.stack([view.position for view in views])
    for row in range(1, len(views)):
        seen[row] &= _epipolar(rays[[0, row]], rotations[[0, row]], positions[[0, row]]) <= (
            pixels * unit
        )
    points = np.zeros((len(place.features), 3))
    known = np.zeros(len(points), np.bool_)
    rows = np.flatnonzero(seen[1:].any(axis=0))
    for _ in range(len(others)):
        if not len(rows):
            break
        found = triangulate(rays[:, rows], seen[:, rows], rotations, positions)
        good = found.good(pixels * unit, parallax)
        points[rows[good]], known[rows[good]] = found.points[good], True
        rows = _without_worst(found, good, rows, seen)
    return PlacePoints(place.features.descriptors, known, points)


def _match_views(place: View, others: Sequence[View], cosine: float) -> tuple[Floats, Bools]:
    """(V, N, 2) rays of the place's features in every view, and (V, N) where they were found."""
    count = len(place.features)
    rays = np.zeros((1 + len(others), count, 2))
    seen = np.zeros(rays.shape[:2], np.bool_)
    rays[0], seen[0] = place.camera.rays(place.features.points), True
    for row, view in enumerate(others, start=1):
        pairs = mutual(place.features.descriptors, view.features.descriptors, cosine)
        rays[row, pairs[:, 0]] = view.camera.rays(view.features.points[pairs[:, 1]])
        seen[row, pairs[:, 0]] = True
    return rays, seen


def _epipolar(rays: Floats, rotations: Floats, positions: Floats) -> Floats:
    """(N,) distance of the second ray, as x / z and y / z, from the first one's epipolar line."""
    baseline = rotations[1].T @ (positions[0] - positions[1])
    first = np.column_stack((rays[0], np.ones(len(rays[0])))) @ (rotations[1].T @ rotations[0]).T
    lines = np.cross(baseline, first)
    second = np.column_stack((rays[1], np.ones(len(rays[1]))))
    length = np.maximum(np.linalg.norm(lines[:, :2], axis=1), np.finfo(float).tiny)
    return np.asarray(np.abs((lines * second).sum(axis=1)) / length)


def _without_worst(
    found: Triangulated, good: Bools, rows: NDArray[np.int64], seen: Bools
) -> NDArray[np.int64]:
    """Points of more than two views to try again, without the worst view but the place's own."""
    again = np.flatnonzero(~good & (seen[:, rows].sum(axis=0) > 2))
    worst = 1 + found.errors[1:, again].argmax(axis=0)
    seen[worst, rows[again]] = False
    return rows[again]
