"""Sequence retrieval: describe all windows of two traverses, search, and score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from placememory._types import Bools, Floats, Progress, Protocol, Rows, Vectors
from placememory.datasets import Traverse
from placememory.encoders import Encoder, Workers
from placememory.encoders.pca import principal_components
from placememory.errors import InputError
from placememory.evaluation.describe import CachedTraverse, describe, read_descriptors
from placememory.evaluation.plan import Question, Run
from placememory.frames import Frame
from placememory.memory.search import nearest
from placememory.metrics.recall import Recall, RecallResult
from placememory.metrics.sequences import SequenceWindows, build_windows, sequence_truth

KS = (1, 5, 10)


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
    ranked: Rows
    distances: Floats


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
    workers: Workers | None = None,
) -> CachedTraverse:
    """Describe windows into the cache, each frame through the network once.

    Windows that follow each other share all frames but one, so runs of them are streamed, from the
    last to the first where the traverse is driven backwards.

    Returns:
        Where the descriptors are, for :func:`read_windows`.

    Raises:
        ImageError: An image cannot be read.
    """
    for frames in _streams(traverse, windows)[0]:
        where = describe(encoder, frames, cache, fresh=fresh, progress=progress, workers=workers)
    return where


def read_windows(where: CachedTraverse, traverse: Traverse, windows: SequenceWindows) -> Vectors:
    """Descriptors (W, Ds) of windows out of the cache.

    Image encoders are pooled: the mean of the frames' descriptors, brought to unit length.

    Raises:
        InputError: A frame has changed since.
    """
    length, parts = windows.frames.shape[1], []
    streams, turned = _streams(traverse, windows)
    for frames in streams:
        found = read_descriptors(where, frames)
        if where.length > 1 and found.sequences is not None:
            parts.append(found.sequences[~np.isnan(found.sequences[:, 0])])
        elif found.descriptors is not None:
            rows_of_windows = np.arange(len(frames) - length + 1)[:, None] + np.arange(length)
            parts.append(pool_windows(found.descriptors, rows_of_windows))
    rows: Vectors = np.concatenate(parts)
    return rows[::-1] if turned else rows


def pool_windows(rows: Vectors, windows: Rows) -> Vectors:
    """Means of descriptors over windows, brought to unit length.

    Args:
        rows: (N, D) of frames.
        windows: (W, L) rows of each window.

    Returns:
        (W, D).

    Example:
        >>> pool_windows(np.float32([[3, 0], [0, 4]]), np.array([[0, 1], [1, 1]])).tolist()
        [[0.6000000238418579, 0.800000011920929], [0.0, 1.0]]
    """
    sums = np.zeros((len(windows), rows.shape[1]), rows.dtype)
    for column in windows.T:
        sums += rows[column]
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    pooled: Vectors = (sums / np.where(norms > 0, norms, 1.0)).astype(np.float32)
    return pooled


def reduce_to(dim: int, database: Vectors, query: Vectors) -> tuple[Vectors, Vectors]:
    """Both sides in the first ``dim`` principal components of the database.

    As published: without whitening, and not brought to unit length again.

    Raises:
        EncoderError: The database has too few windows for so many components.
    """
    mean, components, _ = principal_components(database, dim)
    reduced = [np.asarray((rows - mean) @ components.T, np.float32) for rows in (database, query)]
    return reduced[0], reduced[1]


@dataclass(frozen=True, slots=True, eq=False)
class WindowScores:
    """Recall of retrieved windows, and what to show of them.

    Attributes:
        found: The windows.
        results: Recall@1, 5 and 10 by ground-truth strategy.
        correct: (Q,) bool, whether the nearest window is, by the first strategy.
        on_map: (Q,) bool, whether there is a correct one.
    """

    found: Retrieved
    results: dict[str, RecallResult]
    correct: Bools
    on_map: Bools

    def predictions(self, query: Traverse, database: Traverse) -> list[Any]:
        """Vectors of [query window, nearest window, correct], in names of images."""
        found = self.found
        return [
            [
                [query.frames[row].name for row in found.query.frames[i]],
                [database.frames[row].name for row in found.database.frames[found.ranked[i, 0]]],
                bool(self.correct[i]),
            ]
            for i in range(len(found.query))
        ]


def retrieve_windows(
    run: Run, question: Question, reference: Vectors, query: Vectors
) -> WindowScores:
    """Search the windows of the query among those of the reference, and score.

    Args:
        run: With settings of windows.
        question: Of the two traverses.
        reference: (W, Ds) descriptors of the windows of the reference.
        query: (Q, Ds) of the query's.
    """
    database, queries = windows_of_run(run, question)
    if run.encoder.pca is not None:
        reference, query = reduce_to(run.encoder.pca, reference, query)
    found = Retrieved(queries, database, *nearest(reference, query, KS[-1]))
    settings = run.settings
    results: dict[str, RecallResult] = {}
    truths = {
        strategy: sequence_truth(
            queries,
            database,
            question.query.positions,
            question.reference.positions,
            radius=run.dataset.radius,
            strategy=strategy,
            unit=question.query.unit,
            protocol=settings.protocol,
        )
        for strategy in settings.strategies
    }
    for strategy, truth in truths.items():
        metric = Recall(KS)
        metric.update(found.ranked, truth)
        results[strategy] = metric.compute()
    first = truths[settings.strategies[0]]
    return WindowScores(found, results, first.correct(found.ranked[:, 0]), first.on_map())


def windows_of_run(run: Run, question: Question) -> tuple[SequenceWindows, SequenceWindows]:
    """Windows of the reference and of the query.

    Raises:
        InputError: A traverse has none.
    """
    settings = run.settings
    database, queries = (
        windows_of(
            traverse,
            settings.window,
            reverse=settings.reverse and traverse is question.reference,
            cut_last_frame=settings.cut_last_frame,
            protocol=settings.protocol,
        )
        for traverse in (question.reference, question.query)
    )
    return database, queries


def _streams(traverse: Traverse, windows: SequenceWindows) -> tuple[list[list[Frame]], bool]:
    """Frames of windows that follow each other, and whether they run from the last to the first."""
    runs, backwards = _runs(windows.frames), _runs(windows.frames[::-1])
    turned = len(backwards) < len(runs)
    orders = (np.concatenate([run[0], run[1:, -1]]) for run in (backwards if turned else runs))
    return [[traverse.frames[row] for row in order] for order in orders], turned


def _runs(windows: Rows) -> list[Rows]:
    """Windows in runs in which each is the one before, one frame on."""
    follows = (windows[1:, :-1] == windows[:-1, 1:]).all(axis=1)
    if windows.shape[1] == 1:
        follows = np.ones(len(windows) - 1, np.bool_)
    return np.split(windows, np.flatnonzero(~follows) + 1)
