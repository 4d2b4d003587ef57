"""Batch audit: whether recall depends on what an encoder is given together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from placememory._types import Rows, TitledProgress, Vectors
from placememory.encoders import Encoder, SequenceEncoder
from placememory.evaluation.plan import Question, Run
from placememory.evaluation.windows import pool_windows, retrieve_windows, windows_of_run
from placememory.frames import Frame, read_ahead
from placememory.memory.search import nearest
from placememory.metrics.recall import Recall, RecallResult
from placememory.metrics.result import finite_or_none
from placememory.metrics.sequences import SequenceWindows

AuditMode = Literal["auto", "all", "off"]
"""``auto`` audits encoders whose card says that descriptors depend on the batch."""
MARK = "†"
"""Stands behind a system whose recall moves with the batch."""
COMPANY = {"1": (1, False), "16": (16, False), "16, shuffled": (16, True)}
"""Batches by name: how many images (or windows), and whether in another order than the drive's."""
_KS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class BatchAudit:
    """Recall of one encoder on one pair of traverses, in batches of several kinds.

    Exact search by the encoder's descriptors alone; map and queries are encoded in the same kind of
    batch. Windows are audited for sequence encoders and for systems of the kind ``windows``.

    Attributes:
        encoder: Name of the encoder.
        recalls: Recall@1, 5 and 10 (0 to 1) by batch, see :data:`COMPANY`; ``None`` where no query
            counts.
        counted: Queries in the denominator.
        apart: Greatest cosine distance between descriptors of one image (window) in two batches.
    """

    encoder: str
    recalls: dict[str, dict[int, float | None]]
    counted: int
    apart: float

    @property
    def moves(self) -> bool:
        """Whether any recall differs between the batches."""
        first, *others = self.recalls.values()
        return any(other != first for other in others)

    def to_dict(self) -> dict[str, Any]:
        """As ``metrics.json`` has it."""
        recalls = {
            name: {f"recall@{k}": value for k, value in found.items()}
            for name, found in self.recalls.items()
        }
        return {
            "encoder": self.encoder,
            "moves": self.moves,
            "batches": recalls,
            "counted": self.counted,
            "greatest_cosine_distance": self.apart,
        }


def describe_audit(audit: dict[str, Any]) -> str:
    """One line on an audit as ``metrics.json`` has it.

    Example:
        >>> audit = BatchAudit("e", {"1": {1: 0.5}, "16": {1: 0.75}}, 8, 0.1)
        >>> print(describe_audit(audit.to_dict()))
        e: R@1 is 50.0, 75.0 % at batch 1 / 16 (8 queries): it moves with the batch
    """
    batches = audit["batches"]
    firsts = [found["recall@1"] for found in batches.values()]
    if None in firsts:
        return f"{audit['encoder']}: no query counts, so whether recall moves is not known"
    values = ", ".join(f"{100 * first:.1f}" for first in firsts)
    fate = "moves" if audit["moves"] else "does not move"
    return (
        f"{audit['encoder']}: R@1 is {values} % at batch {' / '.join(batches)} "
        f"({audit['counted']} queries): it {fate} with the batch"
    )


def audit_batches(
    name: str,
    encoder: Encoder,
    run: Run,
    question: Question,
    progress: TitledProgress | None = None,
) -> BatchAudit:
    """Recall at batch 1, 16 and 16 shuffled, all of it encoded anew.

    Args:
        name: Of the encoder.
        encoder: Ready (fitted).
        run: A run with this encoder; says how windows are made.
        question: Its task.
        progress: Called with a title, images (windows) encoded and in all.

    Raises:
        ImageError: An image cannot be read.
        InputError: There are no windows of the encoder's length.
    """
    by_windows = run.system.kind == "windows"
    if isinstance(encoder, SequenceEncoder):
        settings = run.settings.model_copy(update={"window": encoder.sequence_length})
        run, by_windows = replace(run, settings=settings), True
    found: dict[str, RecallResult] = {}
    rows: list[Vectors] = []
    for label, (size, shuffled) in COMPANY.items():
        title = f"batch audit: {name}, batch {label}"
        encode = _Batches(encoder, size, shuffled, progress, title)
        result, sides = (_by_windows if by_windows else _by_frames)(encode, run, question)
        found[label] = result
        rows.append(np.concatenate(sides))
    return BatchAudit(
        name,
        {
            label: {k: finite_or_none(interval.value) for k, interval in result.recalls.items()}
            for label, result in found.items()
        },
        next(iter(found.values())).counted,
        max(_apart(rows[0], other) for other in rows[1:]),
    )


@dataclass(frozen=True, slots=True)
class _Batches:
    """Encodes in batches of one size, in the drive's order or shuffled."""

    encoder: Encoder
    size: int
    shuffled: bool
    progress: TitledProgress | None
    title: str

    def frames(self, frames: Sequence[Frame]) -> Vectors:
        """(N, D) descriptors of frames, in the order given."""
        return self._encode(len(frames), lambda rows: self._images(frames, rows))

    def windows(self, frames: Sequence[Frame], windows: SequenceWindows) -> Vectors:
        """(W, Ds) descriptors of windows; of an image encoder, of their frames, pooled."""
        encoder = self.encoder
        if not isinstance(encoder, SequenceEncoder):
            used, places = np.unique(windows.frames, return_inverse=True)
            rows = self.frames([frames[row] for row in used])
            return pool_windows(rows, places.reshape(windows.frames.shape))

        def describe(chosen: Rows) -> Vectors:
            return encoder.encode_together(
                [[frames[row].image() for row in windows.frames[i]] for i in chosen]
            )

        return self._encode(len(windows), describe)

    def _images(self, frames: Sequence[Frame], rows: Rows) -> Vectors:
        pairs = read_ahead([frames[row] for row in rows], on_bad=None, depth=len(rows))
        return self.encoder.encode([image for _, image in pairs])

    def _encode(self, count: int, describe: Callable[[Rows], Vectors]) -> Vectors:
        order = np.arange(count)
        if self.shuffled:
            np.random.default_rng(0).shuffle(order)
        parts = []
        for chosen in _split(order, self.size):
            parts.append(describe(chosen))
            if self.progress is not None:
                self.progress(self.title, min(count, len(parts) * self.size), count)
        found = np.concatenate(parts)
        back: Vectors = np.empty_like(found)
        back[order] = found
        return back


def _split(order: Rows, size: int) -> Iterator[Rows]:
    return (order[start : start + size] for start in range(0, len(order), size))


def _by_frames(
    encode: _Batches,
    run: Run,  # noqa: ARG001
    question: Question,
) -> tuple[RecallResult, list[Vectors]]:
    """Recall of frames, of those that count."""
    reference = encode.frames([question.reference.frames[row] for row in question.rows])
    query = encode.frames(question.query.frames)
    used = np.flatnonzero(question.counted & question.truth.known)
    recall = Recall(_KS)
    recall.update(nearest(reference, query[used], _KS[-1])[0], question.truth, used)
    return recall.compute(), [reference, query]


def _by_windows(
    encode: _Batches, run: Run, question: Question
) -> tuple[RecallResult, list[Vectors]]:
    """Recall of windows, by the first of the run's ground truths."""
    database, queries = windows_of_run(run, question)
    sides = [
        encode.windows(question.reference.frames, database),
        encode.windows(question.query.frames, queries),
    ]
    scores = retrieve_windows(run, question, *sides)
    return scores.results[run.settings.strategies[0]], sides


def _apart(one: Vectors, two: Vectors) -> float:
    """Greatest cosine distance of rows."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    cosines = np.einsum("ij,ij->i", one, two) / np.where(lengths > 0, lengths, 1.0)
    return round(float(np.clip(1.0 - cosines, 0.0, 2.0).max()), 6)
