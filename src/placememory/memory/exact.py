"""Exact nearest descriptors by one matrix product, in an order that does not depend on rounding.

The float32 product only preselects: whatever lies within its rounding error of the k-th best is
scored again in float64, row by row. So the same query gives the same order alone or in a batch,
equal descriptors get equal scores wherever they stand, and ties go to the earlier row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDING = 2e-5
"""Bound on the float32 error of a product of two unit vectors."""

_BLOCK = 1 << 25
_ROWS = 1024


def top_k(
    matrix: NDArray[np.float32],
    queries: NDArray[np.float32],
    k: int,
    rows: NDArray[np.int64] | None = None,
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """The k most similar rows of a matrix for each query.

    Args:
        matrix: (N, D) float32, unit rows.
        queries: (Q, D) float32, unit rows.
        k: How many; all rows if there are fewer.
        rows: Only these rows, increasing; all if ``None``.

    Returns:
        For each query: row numbers and similarities (float32), most similar first, ties in the
        order of rows.

    Example:
        >>> matrix = np.eye(3, dtype=np.float32)
        >>> [(found, similarity)] = top_k(matrix, matrix[1:2], k=2)
        >>> found.tolist(), similarity.tolist()
        ([1, 0], [1.0, 0.0])
    """
    count = len(matrix) if rows is None else len(rows)
    if count == 0 or len(queries) == 0:
        return [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries]
    results = []
    block = max(1, _BLOCK // len(matrix))
    for start in range(0, len(queries), block):
        part = queries[start : start + block]
        scores = (matrix @ part[0])[None] if len(part) == 1 else part @ matrix.T
        results += [
            select(matrix, query, row_scores, min(k, count), rows)
            for query, row_scores in zip(part, scores, strict=True)
        ]
    return results


def select(
    matrix: NDArray[np.float32],
    query: NDArray[np.float32],
    scores: NDArray[np.float32],
    k: int,
    rows: NDArray[np.int64] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best rows of a product that is there already.

    Args:
        matrix: (N, D) float32, unit rows.
        query: (D,) float32, unit.
        scores: (N,) float32, their product.
        k: How many, at most as many as there are.
        rows: Only these rows, increasing; all if ``None``.

    Returns:
        Rows and similarities (k,), as :func:`top_k` gives them.
    """
    allowed = scores if rows is None else scores[rows]
    kth_best = np.partition(allowed, len(allowed) - k)[len(allowed) - k]
    near = np.flatnonzero(allowed >= kth_best - ROUNDING)
    found = near if rows is None else rows[near]
    similarity = similarity_of(matrix[found], query)
    order = np.lexsort((found, -similarity))[:k]
    return found[order], similarity[order]


def similarity_of(rows: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Similarity of rows (M, D) to a query (D,): (M,) float32, summed in float64 row by row."""
    wide = query.astype(np.float64)
    similarity = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _ROWS):  # there may be many: places that look all the same
        sums = (rows[start : start + _ROWS].astype(np.float64) * wide).sum(axis=1)
        similarity[start : start + _ROWS] = np.clip(sums, -1.0, 1.0)
    return similarity
