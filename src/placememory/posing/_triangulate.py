"""Points of the world from their pixels in several views whose poses are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from placememory._types import Bools, Floats

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
        kept: Bools = (
            (self.depths > 0) & (self.parallax >= parallax) & (self.errors.max(axis=0) <= error)
        )
        return kept


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
    local, off = _projected(points, rays, rotations, centres)
    errors = np.where(seen, np.linalg.norm(off, axis=2), 0.0)
    depths = np.where(seen, local[..., 2], np.inf).min(axis=0)
    return Triangulated(points + middle, depths, _parallax(directions, seen), errors)


def _nearest(directions: Floats, seen: Bools, centres: Floats) -> Floats:
    """(N, 3) points with the least squared distance to their rays."""
    across = np.eye(3) - directions[..., :, None] * directions[..., None, :]
    across *= seen[..., None, None]
    right = np.einsum("vnij,vj->ni", across, centres)
    return _solved(across.sum(axis=0), right)


def _step(points: Floats, rays: Floats, seen: Bools, rotations: Floats, centres: Floats) -> Floats:
    """(N, 3) the step of Gauss-Newton on the reprojection error; none where it has no depth."""
    local, off = _projected(points, rays, rotations, centres)
    depth = local[..., 2]
    usable = seen & (np.abs(depth) > _DAMPING)
    inverse = np.where(usable, 1.0 / np.where(usable, depth, 1.0), 0.0)
    slopes = np.zeros((*depth.shape, 2, 3))  # of x / z and y / z by the point in the camera frame
    slopes[..., 0, 0] = slopes[..., 1, 1] = inverse
    slopes[..., :, 2] = -local[..., :2] * (inverse**2)[..., None]
    slopes = np.einsum("vnij,vkj->vnik", slopes, rotations)  # camera from world is the transpose
    normal = np.einsum("vnij,vnik->njk", slopes, slopes)
    right = np.einsum("vnij,vni->nj", slopes, np.where(usable[..., None], off, 0.0))
    return -_solved(normal, right)


def _projected(
    points: Floats, rays: Floats, rotations: Floats, centres: Floats
) -> tuple[Floats, Floats]:
    """(V, N, 3) the points in each camera's frame, and (V, N, 2) how far beside the rays."""
    local = np.einsum("vji,vnj->vni", rotations, points[None] - centres[:, None])
    depth = local[..., 2:]
    safe = np.where(np.abs(depth) > _DAMPING, depth, _DAMPING)
    return local, local[..., :2] / safe - rays


def _solved(normal: Floats, right: Floats) -> Floats:
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
