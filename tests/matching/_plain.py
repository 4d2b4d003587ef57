"""The matchers as plain loops, one element at a time, to compare with."""

from __future__ import annotations

import itertools

import numpy as np


def greedy_walk(matrix: np.ndarray, row: int, column: int, search_width: int) -> list[int]:
    rows, length = matrix.shape
    path = {column: row}
    for c in range(column + 1, length):
        reach = range(path[c - 1], min(rows, path[c - 1] + search_width))
        path[c] = min(reach, key=lambda r: matrix[r, c])
    for c in range(column - 1, -1, -1):
        reach = range(max(0, path[c + 1] - search_width + 1), path[c + 1] + 1)
        path[c] = min(reach, key=lambda r: matrix[r, c])
    return [path[c] for c in range(length)]


def block_minimum(matrix: np.ndarray, rows: range, columns: range) -> tuple[int, int]:
    inside = [r for r in rows if 0 <= r < len(matrix)]
    return min(itertools.product(inside, columns), key=lambda place: matrix[place])


def all_paths(rows: int, length: int, search_width: int) -> list[tuple[int, ...]]:
    """Every path of a band, by brute force."""
    paths = []
    for start in range(rows):
        for steps in itertools.product(range(search_width), repeat=length - 1):
            path = tuple(itertools.accumulate(steps, initial=start))
            if path[-1] < rows:
                paths.append(path)
    return paths


def cost(matrix: np.ndarray, path: tuple[int, ...]) -> float:
    return float(sum(matrix[r, c] for c, r in enumerate(path)))


def contrast(matrix: np.ndarray, window: int) -> np.ndarray:
    enhanced = np.zeros_like(matrix)
    for row in range(len(matrix)):
        near = matrix[max(0, row - window // 2) : row + window // 2 + 1]
        spread = near.std(axis=0, ddof=1)
        varied = spread > 0
        enhanced[row, varied] = ((matrix[row] - near.mean(axis=0))[varied]) / spread[varied]
    return enhanced - enhanced.min()


def line_costs(matrix: np.ndarray, first: int, length: int, slowest: float, fastest: float) -> list:
    """Best cost of lines from each row at one frame; None where all leave the map."""
    costs: list[float | None] = []
    for start in range(len(matrix)):
        found = []
        for move in range(int(slowest * length), int(fastest * length) + 1):
            line = [start + k * move // max(length, 1) for k in range(length + 1)]
            if line[-1] < len(matrix):
                found.append(sum(matrix[r, first + k] for k, r in enumerate(line)))
        costs.append(min(found) if found else None)
    return costs
