"""The pipeline as CaseVPR's published code runs it, to compare with published numbers.

Li et al., "CaseVPR: Correlation-Aware Sequential Embedding for Sequence-to-Frame Visual Place
Recognition", IEEE RA-L 10(4), 2025. Everything here that differs from :class:`SequencePipeline` is
a quirk of that code, and listed in ``docs/concepts/sequences.md``. Counts and paths are equal.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory._checks import check_whole
from placememory._types import Rows, Vectors
from placememory.errors import InputError
from placememory.matching import Matcher, SequenceMatch
from placememory.matching import create as create_matcher
from placememory.matching import names as matcher_names
from placememory.matching._walk import block_minima, greedy_walk, ranked, within
from placememory.matching._windows import Similarity
from placememory.matching.adaptseq_v2 import AdaptSeqV2
from placememory.matching.seqmatch import SeqMatch
from placememory.matching.sequence_only import SequenceOnly
from placememory.pipeline._casevpr_counts import CasevprRun, Counting
from placememory.pipeline._described import TraverseDescriptors, described
from placememory.pipeline._map import StreamMap
from placememory.pipeline._result import QueryResult, Skipped
from placememory.pipeline._stream import SequencePipeline

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


class CasevprPipeline(SequencePipeline):
    """The published pipeline, quirks included.

    Args:
        matcher: A matcher, or its name: the published one or ours.
        window: ds; 1 for the matcher ``none``.
        candidates: K; 20 for the matcher ``none``.
        search_width: KK, where the matcher has it.
        block: G (stp_gap).
        sequence_length: L: the first L - 1 key frames of the map have no sequence.
        similarity: ``cosine`` or ``l2``.
        keyframe_threshold: As in :class:`SequencePipeline`.
        search_nonkeyframes: As in :class:`SequencePipeline`.
        separate: As in :class:`SequencePipeline`.
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
        check_whole(block=block)
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
        super().__init__(
            matcher,
            window=window,
            similarity=similarity,
            keyframe_threshold=keyframe_threshold,
            search_nonkeyframes=search_nonkeyframes,
            separate=separate,
            candidates=0,
            threshold=threshold,
        )
        check_whole(candidates=candidates)
        check_whole(sequence_length=sequence_length)
        self.neighbours, self.sequence_length = candidates, sequence_length
        self.smallest_map = block * candidates + 2 * window + 14 + 1
        self.search_range: int | None = None
        self._references = self._pushes = 0

    def add_reference(
        self, descriptors: ArrayLike, sequences: ArrayLike | None = None
    ) -> NDArray[np.bool_]:
        """See :meth:`SequencePipeline.add_reference`; sequences are counted in key frames."""
        given = described(descriptors, sequences)
        return np.array(
            [
                super(CasevprPipeline, self).add_reference(
                    frame, sequence if len(self) >= self.sequence_length - 1 else None
                )[0]
                for frame, sequence in given
            ],
            np.bool_,
        )

    def _begin(self, found: StreamMap) -> None:
        """The window holds the last frames of the map, also where queries are another traverse."""
        super()._begin(found)
        self._references, self._pushes = len(found), 0
        self.search_range = None if self.separate else max(0, len(found) - self.window)
        found.window.clear()
        self._window_frames.clear()
        for row, number in zip(
            found.window.rows[-self.window :], found.numbers[-self.window :], strict=True
        ):
            found.window.push(row)
            self._window_frames.append(int(number))
        if len(found):
            self._keys.keep(found.window.rows[-1])

    def _push(
        self, found: StreamMap, frame: Vectors, sequence: Vectors | None, number: int, *, key: bool
    ) -> None:
        """A frame that replaces none moves the oldest one into the map; that row is halved."""
        if self.search_range is None and self._pushes >= self.window - 1:
            self.search_range = self._references
        replaced = self._replace_next
        super()._push(found, frame, sequence, number, key=key)
        if self.window == 1:  # and key frames are told by the frame before, whatever it was
            self._keys.keep(frame)
        if not replaced:
            row = self._references - self.window + self._pushes
            self._pushes += 1
            if self.similarity == "cosine" and 0 <= row < self._references:
                found.window.matrix()[row] /= 2

    def _limit(self, found: StreamMap) -> int:  # noqa: ARG002
        """The search range, as far as its frames have left the window."""
        return max(0, min(self.search_range or 0, self._references - self.window + self._pushes))

    def _skip(self, found: StreamMap, limit: int) -> Skipped | None:  # noqa: ARG002
        """Small maps are refused."""
        if self.search_range is None:
            return "warming-up"
        return "map-too-small" if limit < self.smallest_map else None

    def _match(
        self, found: StreamMap, sequence: Vectors | None, limit: int
    ) -> tuple[SequenceMatch, Rows | None]:
        """Sequences are searched in the whole map, also in rows that are not matched."""
        matrix, ends = found.window.matrix(limit), None
        if sequence is not None and found.sequences is not None:
            ends = found.sequences.nearest(sequence, self.neighbours, len(found))
        if ends is not None and (ends >= limit).any():
            return _match_beyond(self.matcher, matrix, ends), ends
        return self.matcher.match(matrix, ends), ends


def run(
    reference: TraverseDescriptors,
    queries: TraverseDescriptors,
    matcher: Matcher | str = "seq_desc_adaptseq_v2",
    *,
    radius: float,
    sequence_rule: str | None = None,
    any_positive: bool = False,
    **settings: Any,
) -> CasevprRun:
    """Both passes, and the published counts.

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
        >>> walk = TraverseDescriptors(np.eye(40), positions=places)
        >>> run(walk, walk, "seqslam", radius=1, block=2, window=3).precision
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
        return ranked(matrix, lines, matcher.score_kind)
    if isinstance(matcher, AdaptSeqV2) and (ends - matcher.sequence_length + 1 < rows).all():
        size = matcher.sequence_length
        at = block_minima(matrix, ends - size + 1, size, max(0, length - size))
        paths = greedy_walk(matrix, at[0], at[1], matcher.search_width)
        return ranked(matrix, paths, matcher.score_kind)
    if isinstance(matcher, SequenceOnly | AdaptSeqV2):
        raise PublishedCodeFailsError("a sequence was found outside of the rows that are searched")
    return matcher.match(matrix, ends[ends < rows])
