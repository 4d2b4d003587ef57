"""The pipeline: a map of frames, a window of queries that slides over it, and a matcher."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory._checks import check_vector, check_whole
from placememory._types import Rows, Vectors
from placememory.errors import DescriptorError, InputError, SettingError
from placememory.matching import DEFAULT_MATCHER, Matcher, SequenceMatch
from placememory.matching import create as create_matcher
from placememory.matching._keyframes import KeyFrames
from placememory.matching._windows import DistanceWindow, Similarity
from placememory.pipeline._described import TraverseDescriptors, described
from placememory.pipeline._map import StreamMap
from placememory.pipeline._result import Frames, QueryResult, Skipped


class SequencePipeline:
    """Matches a stream of query frames to a map of reference frames.

    The reference pass is :meth:`add_reference`, the query pass :meth:`query`, frame by frame. A
    query costs one product of the map's descriptors with a vector, and the matcher.

    Which rows are searched: frames of the window are never rows, nor are the ``exclusion`` key
    frames before them, unless they belong to another traverse.

    Args:
        matcher: A matcher or its name.
        window: T, frames that are matched together.
        similarity: ``cosine`` or ``l2``.
        keyframe_threshold: A frame is a key frame if its cosine to the last key frame is at most
            this; 1 keeps all. Only key frames become rows.
        search_nonkeyframes: Whether a query frame that is no key frame is searched, and then
            replaced in the window by the next one, or dropped.
        separate: Whether queries are another traverse than the map. If not, they continue it: the
            window of the first ones holds the last frames of the map.
        exclusion: Key frames before the window that are not searched, in a continued traverse and
            in what a growing map takes from its queries.
        growing: Whether query key frames are added to the map. With an empty map: loop closure in
            a single session.
        candidates: How many nearest sequences are handed to the matcher; 0 for none, so that it
            searches the whole map.
        threshold: A match is accepted if its score is below this; infinity accepts all.
        smallest_map: With fewer rows nothing is searched.

    Raises:
        SettingError: A setting has an impossible value.

    Example:
        >>> places = np.eye(12)
        >>> pipeline = SequencePipeline("seqslam", window=3)
        >>> _ = pipeline.add_reference(places)
        >>> found = [pipeline.query(frame) for frame in places[4:9]]
        >>> [result.skipped or result.path.tolist() for result in found]
        ['warming-up', 'warming-up', [4, 5, 6], [5, 6, 7], [6, 7, 8]]
    """

    def __init__(
        self,
        matcher: Matcher | str = DEFAULT_MATCHER,
        *,
        window: int = 5,
        similarity: Similarity = "cosine",
        keyframe_threshold: float = 1.0,
        search_nonkeyframes: bool = True,
        separate: bool = True,
        exclusion: int = 0,
        growing: bool = False,
        candidates: int = 5,
        threshold: float = math.inf,
        smallest_map: int = 1,
    ) -> None:
        check_whole(exclusion=exclusion, least=0)
        check_whole(candidates=candidates, least=0)
        check_whole(smallest_map=smallest_map)
        if math.isnan(threshold):
            raise SettingError("threshold is NaN; give a number, or infinity to accept all")
        self.matcher = create_matcher(matcher) if isinstance(matcher, str) else matcher
        self.window, self.similarity = window, similarity
        self.keyframe_threshold = keyframe_threshold
        self.search_nonkeyframes, self.separate = search_nonkeyframes, separate
        self.exclusion, self.growing = exclusion, growing
        self.candidates, self.threshold = candidates, threshold
        self.smallest_map = smallest_map
        DistanceWindow(window, 1, similarity)  # refuses impossible ones
        self._map: StreamMap | None = None
        self._count = 0
        self._frozen = self._started = False
        self._reference_keys = KeyFrames(keyframe_threshold)
        self._forget_queries()

    def __len__(self) -> int:
        """How many rows the map has."""
        return 0 if self._map is None else len(self._map)

    @property
    def frames(self) -> Frames:
        """(n,) int64 frame number of each row of the map."""
        return np.empty(0, np.int64) if self._map is None else self._map.numbers.copy()

    @property
    def nbytes(self) -> int:
        """Bytes that the map and the window take."""
        return 0 if self._map is None else self._map.nbytes

    def add_reference(
        self, descriptors: ArrayLike, sequences: ArrayLike | None = None
    ) -> NDArray[np.bool_]:
        """Add frames of the reference traverse to the map, in their order.

        Args:
            descriptors: (N, D), or (D,) for one frame; of any length.
            sequences: (M, Ds) sequence descriptors of the last M frames, as in
                :class:`TraverseDescriptors`; (Ds,) for one frame.

        Returns:
            (N,) which of them are key frames, and so in the map.

        Raises:
            DescriptorError: Wrong length or type, NaN, infinity or zero. Nothing was added.
            InputError: The map is frozen, or queries have begun that continue or grow it.
        """
        if self._frozen:
            raise InputError("the map is frozen; it takes no more reference frames")
        if self._started and (self.growing or not self.separate):
            raise InputError("queries have begun that continue the map; restart() ends them")
        given = described(descriptors, sequences)
        self._check_dims(given.descriptors, given.sequences)
        keys = np.zeros(len(given), np.bool_)
        kept: list[Vectors | None] = []
        for i, (frame, sequence) in enumerate(given):
            keys[i] = self._reference_keys.is_key(frame)
            if keys[i]:
                self._reference_keys.keep(frame)
                kept.append(sequence)
        if len(given):
            rows = given.descriptors if keys.all() else given.descriptors[keys]
            found = self._map_of(rows)
            found.append(rows, kept, self._count + np.flatnonzero(keys))
            if self.candidates:
                found.prepare()
            self._always += len(rows)
        self._count += len(given)
        return keys

    def query(self, descriptor: ArrayLike, sequence: ArrayLike | None = None) -> QueryResult:
        """Match the next query frame.

        Args:
            descriptor: (D,), of any length.
            sequence: (Ds,) sequence descriptor of the last frames; ``None`` if there is none.

        Raises:
            DescriptorError: Wrong length or type, NaN, infinity or zero. The frame does not count.
        """
        frame = check_vector("the descriptor", descriptor, None)
        last = None if sequence is None else check_vector("the sequence", sequence, None)
        self._check_dims(frame[None], None if last is None else last[None])
        found = self._map_of(frame[None])
        if not self._started:
            self._begin(found)
            self._started = True
        number, key = self._count, self._keys.is_key(frame)
        self._count += 1
        if not key and not self.search_nonkeyframes:
            return QueryResult(number, np.array(self._window_frames, np.int64), "not-a-key-frame")
        self._push(found, frame, last, number, key=key)
        window, limit = np.array(self._window_frames, np.int64), self._limit(found)
        skipped = self._skip(found, limit)
        if skipped is not None:
            return QueryResult(number, window, skipped)
        match, rows = self._match(found, last, limit)
        accepted = len(match) > 0 and (
            self.threshold == math.inf or bool(match.scores[0] < self.threshold)
        )
        match = replace(match, paths=found.numbers[match.paths])
        ends = None if rows is None else found.numbers[rows]
        return QueryResult(number, window, None, match, ends, limit, accepted)

    def run(self, queries: TraverseDescriptors) -> list[QueryResult]:
        """Match all frames of a traverse, one after another."""
        return [self.query(frame, sequence) for frame, sequence in queries]

    def freeze(self) -> None:
        """Let the map grow no more, neither by references nor by queries, and take less room."""
        self._frozen = True
        if self._map is not None:
            self._map.trim()

    def restart(self) -> None:
        """End the traverse of queries; the next query begins another one on the same map."""
        self._forget_queries()
        self._started = False
        if self._map is not None:
            self._map.window.clear()

    def _forget_queries(self) -> None:
        """No frame in the window, no key frame yet, every row may be searched."""
        self._window_frames: deque[int] = deque(maxlen=self.window)
        self._keys = KeyFrames(self.keyframe_threshold)
        self._replace_next = False
        self._always = self._next_row = len(self)

    def _begin(self, found: StreamMap) -> None:
        """Before the first query: in a continued traverse the window holds the map's end."""
        self._always = len(found) if self.separate else 0
        self._next_row = len(found)
        if not self.separate and len(found):
            first = max(0, len(found) - self.window + 1)
            for row in found.window.rows[first:]:
                found.window.push(row)
            self._window_frames.extend(found.numbers[first:].tolist())
            self._keys.keep(found.window.rows[-1])

    def _push(
        self, found: StreamMap, frame: Vectors, sequence: Vectors | None, number: int, *, key: bool
    ) -> None:
        """Take a query frame into the window, and into a growing map."""
        found.window.push(frame, replace=self._replace_next)
        if self._replace_next:
            self._window_frames.pop()
        self._window_frames.append(number)
        self._replace_next = not key
        if key:
            self._keys.keep(frame)
            self._next_row += 1
            if self.growing and not self._frozen:
                found.append(frame[None], [sequence], np.array([number]))

    def _limit(self, found: StreamMap) -> int:
        """How many rows are searched: all of another traverse, of this one what is long ago."""
        oldest = self._next_row - (len(found.window) - self._replace_next)
        return min(len(found), max(self._always, oldest - self.exclusion))

    def _skip(self, found: StreamMap, limit: int) -> Skipped | None:
        """Why there is no search, if so."""
        if len(found.window) < self.window:
            return "warming-up"
        return "map-too-small" if limit < self.smallest_map else None

    def _match(
        self, found: StreamMap, sequence: Vectors | None, limit: int
    ) -> tuple[SequenceMatch, Rows | None]:
        """Match the window to the first rows; the match, and the candidates it was given."""
        rows = found.nearest(sequence, self.candidates, limit) if self.candidates else None
        return self.matcher.match(found.window.matrix(limit), rows), rows

    def _map_of(self, rows: Vectors) -> StreamMap:
        """The map; made for descriptors of this length if there is none yet."""
        if self._map is None:
            self._map = StreamMap(self.window, rows.shape[1], self.similarity)
        return self._map

    def _check_dims(self, rows: Vectors, sequences: Vectors | None) -> None:
        """Refuse checked rows that cannot be compared to those of the map."""
        if self._map is not None:
            _same_dim("descriptors", rows, self._map.window.rows.shape[1])
            if sequences is not None and self._map.sequences is not None:
                _same_dim("sequence descriptors", sequences, self._map.sequences.dim)


def _same_dim(name: str, rows: Vectors, dim: int) -> None:
    if rows.shape[1] != dim:
        raise DescriptorError(f"{name} have length {rows.shape[1]}, those of the map {dim}")
