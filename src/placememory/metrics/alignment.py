"""Find out from confident matches whether two sessions share one map frame.

The place-memory tutorial compared poses of two sessions whose coordinates differ by a rigid
transform: its own answer is 50 m from its printed truth although the photographs show one room.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWS = 200
_LEAST_MATCHES = 8
_LEAST_SHARE = 0.5
_LEAST_SPREAD = 2.0


@dataclass(frozen=True, slots=True)
class FrameCheck:
    """The planar transform that best maps true query positions onto the places they matched.

    Attributes:
        yaw: Radians, counter-clockwise.
        translation: x, y in metres, applied after the rotation.
        share_before: Share of matches within the radius as the poses are.
        share_after: Share of matches within the radius after the transform.
        matches: How many matches were compared.
        differs: Whether the sessions' frames seem to differ.
    """

    yaw: float
    translation: tuple[float, float]
    share_before: float
    share_after: float
    matches: int
    differs: bool

    def __str__(self) -> str:
        """One sentence."""
        if not self.differs:
            return (
                f"{100 * self.share_before:.0f} % of {self.matches} matches agree as the poses "
                "are, and no shift and rotation of the map frame makes it twice as many"
            )
        x, y = self.translation
        return (
            f"the two sessions' map frames seem to differ: only {100 * self.share_before:.0f} % of "
            f"{self.matches} matches agree as the poses are, {100 * self.share_after:.0f} % after "
            f"a rotation by {math.degrees(self.yaw):.1f} degrees and a shift by ({x:.2f}, {y:.2f}) "
            "m; errors in metres mean nothing until the poses are aligned"
        )


def check_frames(
    true: NDArray[np.float64], matched: NDArray[np.float64], radius: float, *, seed: int = 0
) -> FrameCheck | None:
    """Look for a rigid transform between two sessions' map frames.

    Args:
        true: (N, 2) true positions of queries, metres.
        matched: (N, 2) positions of the places they matched, metres.
        radius: Matches this close agree, metres.
        seed: Of the drawing of pairs.

    Returns:
        The transform with the largest agreement, found by drawing pairs of matches (RANSAC) and
        refined by least squares (Umeyama 1991, without scale); ``None`` if there are too few
        matches, or they lie too close together.

    Example:
        >>> walk = np.stack([np.arange(20.0), np.sin(np.arange(20.0))], axis=1)
        >>> found = check_frames(walk, walk + [30.0, -5.0], radius=1.0)
        >>> found.differs, np.round(found.translation).tolist()
        (True, [30.0, -5.0])
    """
    spread = float(np.linalg.norm(np.std(true, axis=0))) if len(true) else 0.0
    if len(true) < _LEAST_MATCHES or spread < max(_LEAST_SPREAD, radius):
        return None
    before = np.linalg.norm(true - matched, axis=1) <= radius
    inliers = _largest_agreement(true, matched, radius, np.random.default_rng(seed))
    yaw, translation = rigid_fit(true[inliers], matched[inliers])
    after = _find_inliers(true, matched, yaw, translation, radius)
    share_before, share_after = float(before.mean()), float(after.mean())
    return FrameCheck(
        yaw=yaw,
        translation=(float(translation[0]), float(translation[1])),
        share_before=share_before,
        share_after=share_after,
        matches=len(true),
        differs=share_after >= _LEAST_SHARE and share_after >= 2 * share_before,
    )


def rigid_fit(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Yaw (radians) and shift (2,) that map (N, 2) points onto others with least squares.

    Example:
        >>> square = np.array([[0.0, 0], [1, 0], [1, 1]])
        >>> yaw, shift = rigid_fit(square, square @ np.array([[0, 1], [-1, 0]]) + [2.0, 3.0])
        >>> round(math.degrees(yaw)), shift.round(6).tolist()
        (90, [2.0, 3.0])
    """
    centre, goal = source.mean(axis=0), target.mean(axis=0)
    a, b = source - centre, target - goal
    yaw = math.atan2(float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()), float((a * b).sum()))
    return yaw, goal - _rotate(centre[None], yaw)[0]


def _largest_agreement(
    true: NDArray[np.float64],
    matched: NDArray[np.float64],
    radius: float,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    best = np.ones(len(true), dtype=bool)
    most = 0
    for _ in range(_DRAWS):
        pair = rng.choice(len(true), size=2, replace=False)
        if np.linalg.norm(true[pair[0]] - true[pair[1]]) < radius:
            continue
        agreeing = _find_inliers(true, matched, *rigid_fit(true[pair], matched[pair]), radius)
        if agreeing.sum() > most:
            best, most = agreeing, int(agreeing.sum())
    return best


def _find_inliers(
    true: NDArray[np.float64],
    matched: NDArray[np.float64],
    yaw: float,
    translation: NDArray[np.float64],
    radius: float,
) -> NDArray[np.bool_]:
    moved = _rotate(true, yaw) + translation
    close: NDArray[np.bool_] = np.linalg.norm(moved - matched, axis=1) <= radius
    return close


def _rotate(points: NDArray[np.float64], yaw: float) -> NDArray[np.float64]:
    cosine, sine = math.cos(yaw), math.sin(yaw)
    turned: NDArray[np.float64] = points @ np.array([[cosine, sine], [-sine, cosine]])
    return turned
