"""The matchers as their papers describe them, as plain loops over torch scalars."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

K, WIDTH, BLOCK, SIZE = 5, 4, 14, 5
Found = list[tuple[Tensor, list[int]]]


def nearest_plain(matrix: Tensor) -> list[list[int]]:
    """Sort the rows of each frame."""
    return [torch.argsort(matrix[:, c])[:20].tolist() for c in range(matrix.shape[1])]


def seqslam_plain(matrix: Tensor) -> Found:
    """Lines of each speed from the rows nearest to the first frame."""
    rows, length = matrix.shape
    found = []
    for start in torch.argsort(matrix[:, 0])[:K].tolist():
        lines = []
        for move in range(int(0.8 * length), int(1.2 * length) + 1):
            line = [min(start + k * move // length, rows - 1) for k in range(length)]
            lines.append((total(matrix, line), line))
        found.append(min(lines, key=lambda pair: pair[0]))
    return sorted(found, key=lambda pair: pair[0])


def seqmatch_plain(matrix: Tensor, candidates: list[int]) -> Found:
    """A line of speed 1 for each candidate."""
    rows, length = matrix.shape
    found = []
    for end in candidates:
        line = [min(end - SIZE + 1 + k, rows - 1) for k in range(length)]
        found.append((total(matrix, line), line))
    return sorted(found, key=lambda pair: pair[0])


def adaptseq_plain(matrix: Tensor) -> Found:
    """Greedy walks from the blocks with the smallest mean."""
    length = matrix.shape[1]
    means = torch.nn.functional.avg_pool2d(matrix[None], (BLOCK, length), BLOCK).flatten()
    found = []
    for block in torch.argsort(means)[:K].tolist():
        rows = range(block * BLOCK, (block + 1) * BLOCK)
        found.append(walk(matrix, *smallest(matrix, rows, range(length))))
    return sorted(found, key=lambda pair: pair[0])


def adaptseq_v2_plain(matrix: Tensor, candidates: list[int]) -> Found:
    """Greedy walks from the blocks under the candidates."""
    length = matrix.shape[1]
    found = []
    for end in candidates:
        rows, columns = range(end - SIZE + 1, end + 1), range(length - SIZE, length)
        found.append(walk(matrix, *smallest(matrix, rows, columns)))
    return sorted(found, key=lambda pair: pair[0])


def band_dp_plain(matrix: Tensor) -> Tensor:
    """Sums of the cheapest paths over the whole map; the best one only, without tracing it."""
    rows, length = matrix.shape
    sums = [matrix[r, 0] for r in range(rows)]
    for c in range(1, length):
        sums = [matrix[r, c] + min(sums[max(0, r - WIDTH + 1) : r + 1]) for r in range(rows)]
    return min(sums)


def smallest(matrix: Tensor, rows: range, columns: range) -> tuple[int, int]:
    """The smallest element of a block."""
    return min(((r, c) for r in rows for c in columns), key=lambda place: matrix[place])


def walk(matrix: Tensor, row: int, column: int) -> tuple[Tensor, list[int]]:
    """A greedy walk to both ends."""
    rows, length = matrix.shape
    path = [row] * length
    for c in range(column - 1, -1, -1):
        reach = range(max(0, path[c + 1] - WIDTH + 1), path[c + 1] + 1)
        path[c] = min(reach, key=lambda r: matrix[r, c])
    for c in range(column + 1, length):
        reach = range(path[c - 1], min(rows, path[c - 1] + WIDTH))
        path[c] = min(reach, key=lambda r: matrix[r, c])
    return total(matrix, path), path


def total(matrix: Tensor, path: list[int]) -> Tensor:
    """Sum along a path."""
    return sum((matrix[r, c] for c, r in enumerate(path)), torch.tensor(0.0))


def classic_plain(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """SeqSLAM's search with loops over frames, rows and speeds; without contrast enhancement."""
    rows, frames = matrix.shape
    lines = [[k * move // 10 for k in range(11)] for move in range(8, 13)]
    columns = np.arange(11)
    costs = np.full((frames - 10, rows), np.inf)
    for frame in range(frames - 10):
        for row in range(rows):
            for line in lines:
                if row + line[-1] < rows:
                    cost = matrix[np.add(row, line), frame + columns].sum()
                    costs[frame, row] = min(costs[frame, row], cost)
    return costs.min(axis=1)


PLAIN: dict[str, Callable[[Tensor, list[int]], object]] = {
    "nearest": lambda matrix, _: nearest_plain(matrix),
    "seqslam": lambda matrix, _: seqslam_plain(matrix),
    "seqmatch": seqmatch_plain,
    "adaptseq": lambda matrix, _: adaptseq_plain(matrix),
    "adaptseq-v2": adaptseq_v2_plain,
    "band-dp": lambda matrix, _: band_dp_plain(matrix),
}
