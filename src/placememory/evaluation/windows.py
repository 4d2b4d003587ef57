"""Sequence retrieval: describe all windows of two traverses, search, and score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from placememory._types import Progress, Protocol
from placememory.datasets import Traverse
from placememory.encoders import Encoder
from placememory.encoders._pca import principal_components
from placememory.errors import InputError
from placememory.evaluation.describe import describe, read_described
from placememory.metrics.recall import Recall, RecallResult
from placememory.metrics.sequences import (
    SequenceWindows,
    Strategy,
    build_windows,
    sequence_truth,
)

KS = (1, 5, 10)
_BLOCK = 256
Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Retrieved:
    """Windows of both traverses, and the nearest database windows of each query window.

    Attributes:
        query: Q query windows.
        database: Windows of the database.
        ranked: (Q, K) int64 rows of ``database``, nearest first.
        distances: (Q, K) float64 Euclidean distances.
    """

    query: SequenceWindows
    database: SequenceWindows
    ranked: NDArray[np.int64]
    distances: NDArray[np.float64]


def windows_of(
    traverse: Traverse, length: int, *, reverse: bool, cut_last_frame: bool, protocol: Protocol
) -> SequenceWindows:
    """Windows of consecutive frames within the traverse's sessions.

    Raises:
        InputError: There is none.
    """
    windows = build_windows(
        traverse.sessions,
        traverse.frame_numbers,
        length,
        reverse=reverse,
        cut_last_frame=cut_last_frame,
        protocol=protocol,
    )
    if not len(windows):
        raise InputError(f"{traverse.name} has no window of {length} consecutive frames")
    return windows


def describe_windows(
    encoder: Encoder,
    traverse: Traverse,
    windows: SequenceWindows,
    cache: Path,
    *,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Rows:
    """Descriptors (W, Ds) of windows, each frame through the network once.

    Windows that follow each other share all frames but one, so runs of them are streamed, from the
    last to the first where the traverse is driven backwards. Image encoders are pooled: the mean
    of the frames' descriptors, brought to unit length.

    Raises:
        ImageError: An image cannot be read.
    """
    length = windows.frames.shape[1]
    parts = []
    runs, backwards = _runs(windows.frames), _runs(windows.frames[::-1])
    turned = len(backwards) < len(runs)
    for run in backwards if turned else runs:
        order = np.concatenate([run[0], run[1:, -1]])
        frames = [traverse.frames[row] for row in order]
        where = describe(encoder, frames, cache, fresh=fresh, progress=progress)
        found = read_described(where, frames)
        parts.append(_pooled(found.descriptors, length) if where.length == 1 else found.sequences)
    rows: Rows = np.concatenate([part for part in parts if part is not None])
    return rows[::-1] if turned else rows


def reduce_to(dim: int, database: Rows, query: Rows) -> tuple[Rows, Rows]:
    """Both sides in the first ``dim`` principal components of the database.

    As published: without whitening, and not brought to unit length again.

    Raises:
        EncoderError: The database has too few windows for so many components.
    """
    mean, components, _ = principal_components(database, dim)
    reduced = [np.asarray((rows - mean) @ components.T, np.float32) for rows in (database, query)]
    return reduced[0], reduced[1]


def retrieve(
    query: SequenceWindows, database: SequenceWindows, asked: Rows, known: Rows, count: int = KS[-1]
) -> Retrieved:
    """Nearest database windows of each query window: exact, in float64, ties by row."""
    squares = np.square(known, dtype=np.float64).sum(axis=1)
    wide = known.astype(np.float64)
    ranked, distances = [], []
    for start in range(0, len(asked), _BLOCK):
        part = asked[start : start + _BLOCK].astype(np.float64)
        costs = squares - 2.0 * (part @ wide.T) + np.square(part).sum(axis=1)[:, None]
        order = np.argsort(costs, axis=1, kind="stable")[:, :count]
        ranked.append(order)
        distances.append(np.sqrt(np.take_along_axis(costs, order, axis=1).clip(0.0)))
    return Retrieved(query, database, np.concatenate(ranked), np.concatenate(distances))


def recalls(
    found: Retrieved,
    query: Traverse,
    database: Traverse,
    radius: float,
    strategies: Sequence[Strategy],
    protocol: Protocol,
) -> dict[str, RecallResult]:
    """Recall@1, 5 and 10 by ground-truth strategy."""
    results: dict[str, RecallResult] = {}
    for strategy in strategies:
        metric = Recall(KS)
        truth = sequence_truth(
            found.query,
            found.database,
            query.positions,
            database.positions,
            radius=radius,
            strategy=strategy,
            unit=query.unit,
            protocol=protocol,
        )
        metric.update(found.ranked, truth)
        results[strategy] = metric.compute()
    return results


def _runs(windows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Windows in runs in which each is the one before, one frame on."""
    follows = (windows[1:, :-1] == windows[:-1, 1:]).all(axis=1)
    if windows.shape[1] == 1:
        follows = np.ones(len(windows) - 1, np.bool_)
    return np.split(windows, np.flatnonzero(~follows) + 1)


def _pooled(rows: Rows, length: int) -> Rows:
    """(N, D) to (N - L + 1, D): normalised means of each L rows in a row."""
    sums = np.lib.stride_tricks.sliding_window_view(rows, length, axis=0).sum(axis=-1)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    pooled: Rows = (sums / np.where(norms > 0, norms, 1.0)).astype(np.float32)
    return pooled
