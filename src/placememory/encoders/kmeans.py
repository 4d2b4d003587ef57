"""Seeded k-means: the same words on every run, whatever the number of threads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from placememory.errors import EncoderError

_TRIALS = 4
_SEED_POINTS = 20_000
_ROUNDS = 15
_LEAST_GAIN = 1e-3

Points = NDArray[np.float32]


def kmeans(points: Points, k: int, *, seed: int = 0) -> Points:
    """Cluster points by Lloyd's rounds from a greedy k-means++ start (Arthur, Vassilvitskii 2007).

    Sums are in float64, so the result does not depend on the order of additions; a word that
    loses all its points starts again at the point that is served worst.

    Args:
        points: (N, D) float32, N >= k.
        k: Count of words.
        seed: Of the start.

    Returns:
        (k, D) float32 cluster centres.

    Raises:
        EncoderError: There are fewer points than words.

    Example:
        >>> corners = np.float32([[0, 0], [0, 1], [10, 0], [10, 1]])
        >>> sorted(kmeans(corners, 2).tolist())
        [[0.0, 0.5], [10.0, 0.5]]
    """
    if len(points) < k:
        raise EncoderError(
            f"{k} words cannot be fitted on {len(points)} local features; give more images"
        )
    rng = np.random.default_rng(seed)
    centres = _plus_plus(_sample(points, _SEED_POINTS, rng), k, rng)
    wide = points.astype(np.float64)
    before = np.inf
    for _ in range(_ROUNDS):
        nearest, distances = assign(points, centres)
        spread = float(distances.sum(dtype=np.float64))
        if before - spread <= _LEAST_GAIN * before and np.isfinite(before):
            break
        before = spread
        centres = _means(wide, nearest, distances, k)
    return centres


def assign(points: Points, centres: Points) -> tuple[NDArray[np.int64], Points]:
    """Nearest centre of each point and the squared distance to it: (N,) int64, (N,) float32."""
    squares = _squares(centres) - 2.0 * (points @ centres.T)
    nearest = squares.argmin(axis=1)
    distances = np.maximum(squares[np.arange(len(points)), nearest] + _squares(points), 0.0)
    return nearest, distances


def _plus_plus(points: Points, k: int, rng: np.random.Generator) -> Points:
    """Draw centres far from each other: the best of a few draws each time."""
    squares = _squares(points)

    def distances_to(chosen: list[int]) -> Points:
        """Squared distances (n, N) of all points to n of them."""
        found = squares + squares[chosen][:, None] - 2.0 * (points[chosen] @ points.T)
        return np.maximum(found, 0.0)

    chosen = [int(rng.integers(len(points)))]
    [distances] = distances_to(chosen)
    for _ in range(k - 1):
        cumulated = np.cumsum(distances, dtype=np.float64)
        draws = np.searchsorted(cumulated, rng.random(_TRIALS) * cumulated[-1], side="right")
        candidates = [int(draw) for draw in np.minimum(draws, len(points) - 1)]
        closer = np.minimum(distances, distances_to(candidates))
        best = int(np.argmin(closer.sum(axis=1, dtype=np.float64)))
        chosen.append(candidates[best])
        distances = closer[best]
    return points[chosen].copy()


def _means(
    points: NDArray[np.float64], nearest: NDArray[np.int64], distances: Points, k: int
) -> Points:
    counts = np.bincount(nearest, minlength=k)
    members = np.zeros((len(points), k))
    members[np.arange(len(points)), nearest] = 1.0
    sums = members.T @ points
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        worst = np.argsort(-distances, kind="stable")[: len(empty)]
        sums[empty] = points[worst]
    means: Points = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
    return means


def _sample(points: Points, wanted: int, rng: np.random.Generator) -> Points:
    if len(points) <= wanted:
        return points
    return points[np.sort(rng.choice(len(points), wanted, replace=False))]


def _squares(rows: Points) -> Points:
    squares: Points = np.einsum("nd,nd->n", rows, rows)
    return squares
