"""The points that a place's features stand for, from views of it with known poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placememory._types import Bools, Floats
from placememory.posing._triangulate import Triangulated, triangulate
from placememory.verification import Camera, Features, mutual


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
    rays, seen = _matched(place, others, cosine)
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


def _matched(place: View, others: Sequence[View], cosine: float) -> tuple[Floats, Bools]:
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
