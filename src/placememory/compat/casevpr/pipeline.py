"""The pipeline as CaseVPR's published code runs it, to compare with published numbers.

Everything here that differs from :class:`placememory.Localizer` is a quirk of that code, and listed
in ``docs/concepts/sequences.md``. Counts and paths are equal.
"""

from __future__ import annotations

import inspect
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from placememory._checks import check_vector, check_vectors, check_whole
from placememory._types import Bools, Floats, Protocol, Rows, Vectors
from placememory.compat.casevpr.counts import CasevprRun, Counting, QueryResult
from placememory.errors import InputError, SettingError
from placememory.evaluation.config import Settings
from placememory.evaluation.describe import TraverseDescriptors
from placememory.evaluation.online import Answers
from placememory.evaluation.plan import Question, Run, read_traverse
from placememory.matching import (
    DistanceWindow,
    Growing,
    KeyFrames,
    Matcher,
    SequenceMatch,
    Similarity,
    block_minima,
    greedy_walk,
    rank_paths,
    smallest,
    within,
)
from placememory.matching import create as create_matcher
from placememory.matching import names as matcher_names
from placememory.matching.adaptseq_v2 import AdaptSeqV2
from placememory.matching.seqmatch import SeqMatch
from placememory.matching.sequence_only import SequenceOnly

_ROUNDING = 2e-5  # of a squared distance in float32, as a share of the squared lengths
_BLOCK = 1024
_ACCEPT_ALL = 100.0  # the published threshold, which no score exceeds


class CasevprSettings(Settings):
    """How the published code runs a system.

    Attributes:
        similarity: ``cosine`` or ``l2``.
        search_nonkeyframes: Whether frames that are no key frames are searched.
        separate: Whether the query is another traverse than the reference.
        block: G (stp_gap), by which also maps count as too small, whatever the matcher.
        save_retrieval: Whether all K paths of each frame are written, to ``retrieval.npz``.
    """

    similarity: Literal["cosine", "l2"] = "cosine"
    search_nonkeyframes: bool = True
    separate: bool = True
    block: int = Field(default=14, ge=1)
    save_retrieval: bool = False
    protocol: Protocol = "casevpr"


@dataclass(frozen=True, slots=True, eq=False)
class PublishedTraverse:
    """A run of frames in their order, already described by an encoder.

    Attributes:
        descriptors: (N, D) float32, of any length.
        sequences: (M, Ds) float32 sequence descriptors of the last M frames, M <= N, in the scale
            that the encoder gave them: a sequence encoder that looks at L frames has
            M = N - L + 1. A row that is all NaN is a frame without one. ``None``: no encoder.
        positions: (N, 2) or (N, 3) float64 metres, or ``None``; nothing is matched by them.

    Raises:
        DescriptorError: Descriptors have another shape or type, NaN, infinity or zero rows.
        InputError: There are more sequences than frames, or not as many positions.

    Example:
        >>> run = PublishedTraverse(np.eye(3), sequences=np.ones((1, 4)))
        >>> [sequence is not None for _, sequence in run]
        [False, False, True]
    """

    descriptors: Vectors
    sequences: Vectors | None = None
    positions: Floats | None = None

    def __post_init__(self) -> None:
        rows = check_vectors("descriptors", self.descriptors, None)
        object.__setattr__(self, "descriptors", rows)
        if self.sequences is not None:
            found = check_vectors("sequence descriptors", self.sequences, None, gaps=True)
            if len(found) > len(rows):
                raise InputError(f"{len(found)} sequence descriptors for {len(rows)} frames")
            object.__setattr__(self, "sequences", found)
        if self.positions is not None:
            places = np.asarray(self.positions, dtype=np.float64)
            if places.ndim != 2 or len(places) != len(rows):
                raise InputError(f"positions of shape {places.shape} for {len(rows)} frames")
            object.__setattr__(self, "positions", places)

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.descriptors)

    def __iter__(self) -> Iterator[tuple[Vectors, Vectors | None]]:
        """Frame by frame: descriptor (D,), and sequence descriptor (Ds,) or ``None``."""
        return zip(self.descriptors, _by_frame(self.sequences, len(self)), strict=True)


def _by_frame(sequences: Vectors | None, count: int) -> list[Vectors | None]:
    """Sequence descriptors of ``count`` frames one by one: ``None`` where a frame has none."""
    found: list[Vectors | None] = [None] * count
    if sequences is not None:
        first = count - len(sequences)
        found[first:] = [None if np.isnan(row[0]) else row for row in sequences]
    return found


class SequenceIndex:
    """Sequence descriptors as they came, and the row of the map that each one ends at.

    Args:
        dim: Ds, length of sequence descriptors.

    Example:
        >>> index = SequenceIndex(dim=1)
        >>> index.append(np.array([[0.0], [5.0], [4.0]], np.float32), [4, 5, 6])
        >>> index.nearest(np.array([4.8], np.float32), count=2, limit=7).tolist()
        [5, 6]
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._vectors: Growing[np.float32] = Growing((dim,), np.float32)
        self._squares: Growing[np.float32] = Growing((), np.float32)
        self._ends: Growing[np.int64] = Growing((), np.int64)

    def __len__(self) -> int:
        """How many sequences there are."""
        return len(self._ends)

    @property
    def nbytes(self) -> int:
        """Size of all buffers."""
        return self._vectors.nbytes + self._squares.nbytes + self._ends.nbytes

    def append(self, vectors: Vectors, ends: NDArray[np.int64] | list[int]) -> None:
        """Add descriptors (m, Ds) and their last rows (m,), which only increase."""
        self._vectors.append(vectors)
        self._squares.append(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        self._ends.append(ends)

    def trim(self) -> None:
        """Free the memory reserved for further sequences."""
        for grown in (self._vectors, self._squares, self._ends):
            grown.trim()

    def nearest(self, query: Vectors, count: int, limit: int) -> Rows:
        """Last rows of the sequences with the smallest Euclidean distance, nearest first.

        Exact: a float32 product selects, and what lies within its rounding is measured in float64.
        Of equal ones the earlier row comes first.

        Args:
            query: (Ds,).
            count: How many; fewer where there are fewer.
            limit: Only sequences that end before this row.
        """
        known = int(np.searchsorted(self._ends.rows, limit))
        if known == 0:
            return np.empty(0, np.int64)
        vectors, squares = self._vectors.rows[:known], self._squares.rows[:known]
        costs = squares - 2 * (vectors @ query)
        slack = 0.0
        if count < known:
            length = float(np.einsum("i,i->", query, query, dtype=np.float64))
            slack = _ROUNDING * (length + float(squares.max()))
            costs -= costs[smallest(costs, count)[-1]]
            near = np.flatnonzero(costs <= slack)
        else:
            near = np.arange(known)
        exact = np.concatenate(
            [
                np.square(vectors[near[start : start + _BLOCK]] - query, dtype=np.float64).sum(
                    axis=1
                )
                for start in range(0, len(near), _BLOCK)
            ]
        )
        return self._ends.rows[near[np.argsort(exact, kind="stable")[:count]]]


BACKENDS = {
    "none": "nearest",
    "seqslam": "seqslam",
    "adaptseq": "adaptseq",
    "seq_desc": "sequence-only",
    "seq_desc_seqmatch": "seqmatch",
    "seq_desc_adaptseq_v2": "adaptseq-v2",
}
"""The published names of matchers, and ours."""

_SINGLE = "nearest"  # it looks at one frame and always wants 20 rows
_SINGLE_CANDIDATES = 20


class PublishedCodeFailsError(InputError):
    """The published code stops here: a sequence was found in rows that it does not search."""


class CasevprPipeline:
    """Matches a stream of query frames to a map of reference frames, as the published code does.

    Args:
        matcher: A matcher, or its name: the published one or ours.
        window: ds; 1 for the matcher ``none``.
        candidates: K; 20 for the matcher ``none``.
        search_width: KK, where the matcher has it.
        block: G (stp_gap).
        sequence_length: L: the first L - 1 key frames of the map have no sequence.
        similarity: ``cosine`` or ``l2``.
        keyframe_threshold: A frame is a key frame if its cosine to the last key frame is at most
            this; only key frames become rows. 1 keeps all.
        search_nonkeyframes: Whether a query frame that is no key frame is searched, and then
            replaced in the window by the next one, or dropped.
        separate: Whether queries are another traverse than the map; if not, they continue it.
        threshold: A match is accepted if its score is below this.

    Raises:
        SettingError: A setting has an impossible value.

    Attributes:
        search_range: Rows that may be searched, once that is settled.

    Example:
        >>> pipeline = CasevprPipeline("seqslam", window=3, block=2)
        >>> _ = pipeline.add_reference(np.eye(40))
        >>> found = [pipeline.query(frame) for frame in np.eye(40)[4:8]]
        >>> [result.skipped or result.path.tolist() for result in found]
        ['warming-up', 'warming-up', [4, 5, 6], [5, 6, 7]]
    """

    def __init__(
        self,
        matcher: Matcher | str = "seq_desc_adaptseq_v2",
        *,
        window: int = 5,
        candidates: int = 5,
        search_width: int = 4,
        block: int = 14,
        sequence_length: int = 5,
        similarity: Similarity = "cosine",
        keyframe_threshold: float = 1.0,
        search_nonkeyframes: bool = True,
        separate: bool = True,
        threshold: float = 100.0,
    ) -> None:
        check_whole(
            block=block, window=window, candidates=candidates, sequence_length=sequence_length
        )
        if isinstance(matcher, str) and BACKENDS.get(matcher, matcher) == _SINGLE:
            window, candidates = 1, _SINGLE_CANDIDATES
        if isinstance(matcher, str):
            wanted = {
                "candidates": candidates,
                "search_width": search_width,
                "block": block,
                "sequence_length": sequence_length,
            }
            matcher = _create(BACKENDS.get(matcher, matcher), wanted)
        self.matcher, self.window, self.similarity = matcher, window, similarity
        self.neighbours, self.sequence_length = candidates, sequence_length
        self.search_nonkeyframes, self.separate = search_nonkeyframes, separate
        self.threshold = threshold
        self.smallest_map = smallest_map(block, candidates, window)
        self.search_range: int | None = None
        self._reference_keys = KeyFrames(keyframe_threshold)
        self._keys = KeyFrames(keyframe_threshold)
        self._distances: DistanceWindow | None = None
        self._sequences: SequenceIndex | None = None
        self._numbers: list[int] = []
        self._frames: deque[int] = deque(maxlen=window)
        self._count = self._pushes = 0
        self._begun = self._replace_next = False

    def add_reference(self, descriptors: ArrayLike, sequences: ArrayLike | None = None) -> Bools:
        """Add frames of the reference traverse; their sequences are counted in key frames.

        Args:
            descriptors: (N, D), of any length.
            sequences: (M, Ds) sequence descriptors of the last M frames.

        Returns:
            (N,) which of them are key frames, and so in the map.

        Raises:
            DescriptorError: Wrong length or type, NaN, infinity or zero.
        """
        given = PublishedTraverse(
            np.asarray(descriptors), None if sequences is None else np.asarray(sequences)
        )
        keys = np.zeros(len(given), np.bool_)
        for i, (frame, sequence) in enumerate(given):
            keys[i] = self._reference_keys.is_key(frame)
            if not keys[i]:
                continue
            self._reference_keys.set_reference(frame)
            if sequence is not None and len(self._numbers) >= self.sequence_length - 1:
                if self._sequences is None:
                    self._sequences = SequenceIndex(len(sequence))
                self._sequences.append(sequence[None], [len(self._numbers)])
            self._window_over(frame).append(frame[None])
            self._numbers.append(self._count + i)
        self._count += len(given)
        return keys

    def query(self, descriptor: ArrayLike, sequence: ArrayLike | None = None) -> QueryResult:
        """Match the next query frame.

        Args:
            descriptor: (D,), of any length.
            sequence: (Ds,) sequence descriptor of the last frames; ``None`` if there is none.

        Raises:
            DescriptorError: Wrong length or type, NaN, infinity or zero.
            PublishedCodeFailsError: The published code stops with an error here.
        """
        frame = check_vector("the descriptor", descriptor, None)
        last = None if sequence is None else check_vector("the sequence", sequence, None)
        window = self._window_over(frame)
        if not self._begun:
            self._begin(window)
        number, key = self._count, self._keys.is_key(frame)
        self._count += 1
        if not key and not self.search_nonkeyframes:
            return QueryResult(number, np.array(self._frames, np.int64), "not-a-key-frame")
        self._push(window, frame, number, key=key)
        frames = np.array(self._frames, np.int64)
        if self.search_range is None:
            return QueryResult(number, frames, "warming-up")
        limit = max(0, min(self.search_range, self._references - self.window + self._pushes))
        if limit < self.smallest_map:
            return QueryResult(number, frames, "map-too-small")
        match, ends = self._match(window, last, limit)
        accepted = len(match) > 0 and bool(match.scores[0] < self.threshold)
        numbers = np.array(self._numbers, np.int64)
        match = replace(match, paths=numbers[match.paths])
        found = None if ends is None else numbers[ends]
        return QueryResult(number, frames, None, match, found, limit, accepted)

    @property
    def _references(self) -> int:
        return len(self._numbers)

    def _window_over(self, frame: Vectors) -> DistanceWindow:
        """The window; made for descriptors of this length if there is none yet."""
        if self._distances is None:
            self._distances = DistanceWindow(self.window, len(frame), self.similarity)
        return self._distances

    def _begin(self, window: DistanceWindow) -> None:
        """The window holds the last frames of the map, also where queries are another traverse."""
        self._begun = True
        self.search_range = None if self.separate else max(0, self._references - self.window)
        for row, number in zip(
            window.rows[-self.window :], self._numbers[-self.window :], strict=True
        ):
            window.push(row)
            self._frames.append(number)
        if self._references:
            self._keys.set_reference(window.rows[-1])

    def _push(self, window: DistanceWindow, frame: Vectors, number: int, *, key: bool) -> None:
        """A frame that replaces none moves the oldest one into the map; that row is halved."""
        if self.search_range is None and self._pushes >= self.window - 1:
            self.search_range = self._references
        replaced = self._replace_next
        window.push(frame, replace=replaced)
        if replaced:
            self._frames.pop()
        self._frames.append(number)
        self._replace_next = not key
        if key or self.window == 1:  # then each frame is compared to the one before
            self._keys.set_reference(frame)
        if not replaced:
            row = self._references - self.window + self._pushes
            self._pushes += 1
            if self.similarity == "cosine" and 0 <= row < self._references:
                window.matrix()[row] /= 2

    def _match(
        self, window: DistanceWindow, sequence: Vectors | None, limit: int
    ) -> tuple[SequenceMatch, Rows | None]:
        """Sequences are searched in the whole map, also in rows that are not matched."""
        matrix, ends = window.matrix(limit), None
        if sequence is not None and self._sequences is not None:
            ends = self._sequences.nearest(sequence, self.neighbours, self._references)
            ends = ends if len(ends) else None
        if ends is not None and (ends >= limit).any():
            return _match_beyond(self.matcher, matrix, ends), ends
        return self.matcher.match(matrix, ends), ends


def run_published(
    run: Run, question: Question, reference: TraverseDescriptors, query: TraverseDescriptors
) -> Answers:
    """A run of an evaluation by the published code: its paths, and its counts.

    Args:
        run: With :class:`CasevprSettings`.
        question: Map and queries.
        reference: Descriptors of the map.
        query: Descriptors of the queries.

    Raises:
        SettingError: The protocol cannot do what is asked.
    """
    settings = run.settings
    if not isinstance(settings, CasevprSettings) or run.matcher is None:
        raise SettingError("CaseVPR's protocol runs the systems of its own JSON")
    if run.pair.reference is None:
        raise SettingError("CaseVPR's protocol has no single session; its code crashes there")
    started, parameters = time.perf_counter(), run.matcher.parameters
    found = play(
        _traverse(reference, question.reference.positions),
        _traverse(query, question.query.positions),
        run.matcher.matcher,
        radius=run.dataset.radius,
        sequence_rule=None if settings.ground_truth == "frame" else settings.ground_truth,
        window=settings.window,
        candidates=5 if settings.candidates is None else settings.candidates,
        search_width=int(parameters.get("search_width", 4)),
        block=settings.block,
        sequence_length=5 if reference.sequences is None else reference.length,
        similarity=settings.similarity,
        keyframe_threshold=settings.keyframe_threshold,
        search_nonkeyframes=settings.search_nonkeyframes,
        separate=settings.separate,
        threshold=_ACCEPT_ALL if settings.threshold is None else settings.threshold,
    )
    seconds, first = time.perf_counter() - started, len(question.reference)
    results = found.results
    rows = np.array([-1 if r.matched_frame is None else r.matched_frame for r in results], np.int64)
    return Answers(
        candidates=rows[:, None],
        rows=rows,
        scores=np.array([r.score for r in results]),
        answered=np.array([r.accepted for r in results], np.bool_),
        skipped=[r.skipped or "" for r in results],
        poses=[None] * len(results),
        beliefs=None,
        paths=[
            (i, r.path, r.window - first)
            for i, r in enumerate(results)
            if r.match and len(r.window) == len(r.path)
        ],
        limits=None,
        score_kind=next((r.match.score_kind for r in results if r.match), "constant"),
        seconds=seconds,
        published=found.totals,
        retrieved=[(i, r.match.paths) for i, r in enumerate(results) if r.match]
        if settings.save_retrieval
        else None,
    )


def smallest_map(block: int, candidates: int, window: int) -> int:
    """Rows from which on the published code searches a map.

    Example:
        >>> smallest_map(14, 5, 5), smallest_map(14, 20, 1)
        (95, 297)
    """
    return block * candidates + 2 * window + 14 + 1


def explain_small_maps(runs: Iterable[Run]) -> list[str]:
    """Which maps the published code would not search, and by what matchers, a line for each.

    Raises:
        DatasetError: A map cannot be read.
    """
    found: dict[tuple[str, str, int], dict[int, list[str]]] = {}
    for run in runs:
        settings = run.settings
        if not isinstance(settings, CasevprSettings) or run.matcher is None:
            continue
        single = run.matcher.matcher == _SINGLE
        candidates = _SINGLE_CANDIDATES if single else settings.candidates or 5
        least = smallest_map(settings.block, candidates, 1 if single else settings.window)
        places = len(read_traverse(run.dataset, run.map_name))
        if places < least:
            matchers = found.setdefault((run.dataset_name, run.map_name, places), {})
            matchers.setdefault(least, []).append(str(run.system.matcher))
    return [
        f"{dataset}: the map {name} has {places} places, and the published code searches none of "
        + ", or ".join(
            f"less than {least} for {', '.join(dict.fromkeys(names))}"
            for least, names in sorted(matchers.items())
        )
        + ": every frame counts as a true negative; --protocol default searches any map"
        for (dataset, name, places), matchers in found.items()
    ]


def _traverse(described: TraverseDescriptors, positions: Floats) -> PublishedTraverse:
    rows = described.descriptors
    if rows is None:  # only sequences retrieve; frames have nothing to do with any image
        draw = np.random.default_rng(0).standard_normal((len(described), 64)).astype(np.float32)
        rows = draw / np.linalg.norm(draw, axis=1, keepdims=True)
    return PublishedTraverse(rows, described.sequences, positions)


def play(
    reference: PublishedTraverse,
    queries: PublishedTraverse,
    matcher: Matcher | str = "seq_desc_adaptseq_v2",
    *,
    radius: float,
    sequence_rule: str | None = None,
    any_positive: bool = False,
    **settings: Any,
) -> CasevprRun:
    """Run both passes, and count as published.

    The published code can also run two matchers, ``a+b``. They do not influence each other: call
    this twice, for the second one with ``any_positive``.

    Args:
        reference: TraverseDescriptors of the map, with positions.
        queries: TraverseDescriptors of the queries, with positions in the same frame.
        matcher: As in :class:`CasevprPipeline`.
        radius: Metres, cut to a whole number; a match within it, inclusive, is right.
        sequence_rule: ``None``: the newest frame decides. ``strict``: all, ``lax``: any matched row
            must be near any frame of the window (seq_gt); not for the matcher ``none``.
        any_positive: Every query counts as one that the map has a place for, as the published code
            does for the second of two matchers.
        settings: Of :class:`CasevprPipeline`.

    Raises:
        InputError: Positions are missing.
        SettingError: A setting has an impossible value.

    Example:
        >>> places = np.arange(80.0).reshape(40, 2)
        >>> walk = PublishedTraverse(np.eye(40), positions=places)
        >>> play(walk, walk, "seqslam", radius=1, block=2, window=3).precision
        1.0
    """
    if reference.positions is None or queries.positions is None:
        raise InputError("the published counts need positions of both traverses")
    pipeline = CasevprPipeline(matcher, **settings)
    keys = pipeline.add_reference(reference.descriptors, reference.sequences)
    counting = Counting(
        rows=np.flatnonzero(keys),
        positions=np.concatenate([reference.positions, queries.positions]),
        radius=radius,
        rule=None if pipeline.window == 1 else sequence_rule,
        any_positive=any_positive,
    )
    results: list[QueryResult] = []
    for frame, sequence in queries:
        try:
            results.append(pipeline.query(frame, sequence))
        except PublishedCodeFailsError:
            return counting.finish(results, fails_at=len(results))
        counting.add(results[-1], pipeline.search_range)
    return counting.finish(results)


def _create(name: str, wanted: dict[str, int]) -> Matcher:
    """A matcher with those of the settings that it has."""
    if name not in matcher_names():
        return create_matcher(name)  # raises with a hint
    known = inspect.signature(type(create_matcher(name))).parameters
    return create_matcher(name, **{key: wanted[key] for key in wanted if key in known})


def _match_beyond(matcher: Matcher, matrix: NDArray[np.float32], ends: Rows) -> SequenceMatch:
    """Match where some sequences end in rows that are not searched, as the published code does."""
    rows, length = matrix.shape
    if isinstance(matcher, SequenceOnly) and ends[0] < rows:
        return matcher.match(matrix, ends[ends < rows])
    if isinstance(matcher, SeqMatch):
        starts = ends - matcher.sequence_length + 1
        lines = within(starts[:, None] + np.arange(length), rows)
        return rank_paths(matrix, lines, matcher.score_kind)
    if isinstance(matcher, AdaptSeqV2) and (ends - matcher.sequence_length + 1 < rows).all():
        size = matcher.sequence_length
        at = block_minima(matrix, ends - size + 1, size, max(0, length - size))
        paths = greedy_walk(matrix, at[0], at[1], matcher.search_width)
        return rank_paths(matrix, paths, matcher.score_kind)
    if isinstance(matcher, SequenceOnly | AdaptSeqV2):
        raise PublishedCodeFailsError("a sequence was found outside of the rows that are searched")
    return matcher.match(matrix, ends[ends < rows])
