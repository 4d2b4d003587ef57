"""The map as a stream of frames searches it: rows, the window of newest frames, and candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from placememory._checks import check_vector, check_whole
from placememory._types import Bools, Floats, Rows, Vectors
from placememory.errors import DescriptorError
from placememory.matching import DistanceWindow, KeyFrames, Matcher, PooledSequences, SequenceMatch
from placememory.memory import Place
from placememory.memory.search import products, select

_SAME = 1e-5  # below 1: the cosine of one image to itself, in float32 or rounded to float16
_SAME_NAMED = 1e-3  # and of one image described in two precisions


@dataclass(frozen=True, slots=True, eq=False)
class SearchResult:
    """The result of the search of one frame.

    Attributes:
        rows: (K,) rows of the map, most similar first, ties by row.
        similarities: (K,) float32 cosines.
        column: (n,) float32 cosine of the frame to every row that was searched.
    """

    rows: Rows
    similarities: Vectors
    column: Vectors


class OnlineMap:
    """Places with their descriptors, and the window of the newest frames over them.

    A frame costs one product of the map's descriptors with a vector; the distances of the window's
    frames to all places are kept, so a matcher has them at hand.

    Frames that look like the last key frame (a robot that stands still) take the newest position
    of the window one after another, so that the window holds distinct views.

    A growing map takes in the key frames that are pushed: loop closure in a single session. Frames
    of the window and the ``exclusion`` key frames before them are not searched then.

    Args:
        places: N places, in the order of ``descriptors``.
        descriptors: (N, D) float32 unit rows.
        sequences: (N, Ds) float32 unit sequence descriptors that end at each place, NaN rows where
            there is none; ``None`` if there are none at all.
        window: T, frames of the window.
        keyframes: A frame is a key frame if its cosine to the last key frame is at most this; 1
            makes all frames key frames.
        growing: Whether pushed key frames are added to the map.
        exclusion: Key frames before the window that are not searched.
        runs: (N,) number of the unbroken run of each place; by default a session is one.

    Raises:
        SettingError: A setting has an impossible value.
    """

    def __init__(
        self,
        places: Sequence[Place],
        descriptors: Vectors,
        sequences: Vectors | None = None,
        *,
        window: int = 1,
        keyframes: float = 1.0,
        growing: bool = False,
        exclusion: int = 0,
        runs: Rows | None = None,
    ) -> None:
        check_whole(window=window)
        check_whole(exclusion=exclusion, least=0)
        self.places = list(places) if growing else places
        self.window = DistanceWindow.over(np.ascontiguousarray(descriptors), window)
        self._first, self._growing, self._exclusion = len(places), growing, exclusion
        self._threshold = keyframes
        self._pooled = PooledSequences(self.window)
        self._sequences = None if sequences is None else np.nan_to_num(sequences)
        self._has_sequence: Bools | None = None
        if sequences is not None:
            self._has_sequence = np.logical_not(np.isnan(sequences).any(axis=1))
        self._sessions = _stretches_of([p.session for p in places] if runs is None else runs)
        self.restart()

    def restart(self) -> None:
        """Empty the window, and remove what was added to the map."""
        self.window.clear()
        if self._growing and len(self.places) > self._first:
            rows = self.window.rows[: self._first].copy()
            self.window = DistanceWindow.over(rows, self.window.length)
            self._pooled = PooledSequences(self.window)
            self.places = list(self.places[: self._first])
        self._keys = KeyFrames(self._threshold)
        self._replace_next = False

    def take_window(self, before: OnlineMap) -> None:
        """Compare the frames of another map's window to the places of this one."""
        for descriptor in before.window.frames:
            self.window.push(descriptor)
        self._keys, self._replace_next = before._keys, before._replace_next

    @property
    def grows(self) -> bool:
        """Whether key frames are added to the map."""
        return self._growing

    @property
    def is_full(self) -> bool:
        """Whether the window is full."""
        return len(self.window) == self.window.length

    @property
    def has_sequences(self) -> bool:
        """Whether places have sequence descriptors."""
        return self._sequences is not None

    @property
    def replaces(self) -> bool:
        """Whether the next frame takes the place of the newest one in the window."""
        return self._replace_next

    @property
    def limit(self) -> int:
        """How many of the first rows are searched."""
        if not self._growing:
            return self._first
        oldest = len(self.places) - (len(self.window) - self._replace_next)
        return min(len(self.places), max(self._first, oldest - self._exclusion))

    def push(self, descriptor: Vectors, place: Place) -> None:
        """Take the next frame into the window and, where the map grows, into the map.

        Args:
            descriptor: (D,) float32 unit vector.
            place: What the frame becomes in a growing map.
        """
        key = self._keys.is_key(descriptor)
        self.window.push(descriptor, replace=self._replace_next)
        self._replace_next = not key
        if key:
            self._keys.set_reference(descriptor)
            if self._growing:
                self.window.append(descriptor[None])
                assert isinstance(self.places, list)
                self.places.append(place)

    def search(self, k: int, sequence: Vectors | None = None) -> SearchResult:
        """The most similar places of the newest frame, or of the sequence that ends with it.

        Args:
            k: How many; fewer where fewer rows are searched.
            sequence: (Ds,) unit vector; used where the map has sequence descriptors.
        """
        limit = self.limit
        if sequence is not None and self._sequences is not None and self._has_sequence is not None:
            return self._search_sequences(sequence, k)
        column = 1.0 - self.window.matrix(limit)[:, -1]
        if not limit:
            return SearchResult(np.empty(0, np.int64), np.empty(0, np.float32), column)
        rows = self.window.rows[:limit]
        found, similarities = select(rows, self.window.frames[-1], column, min(k, limit), None)
        return SearchResult(found, similarities, column)

    def find_same(self, found: SearchResult, name: str, stamp: int | None) -> int | None:
        """The row that is the newest frame itself: the same content, not only the same place.

        A cosine of 1 to the rounding of float32 (1e-5) is the same image: the noise of any camera
        moves descriptors farther apart. An encoder of another precision moves those of one image
        up to 1e-3 apart, which counts where name and stamp are the same as well.

        Args:
            found: Of the newest frame.
            name: Of the frame.
            stamp: Of the frame, nanoseconds; ``None`` where unknown.

        Returns:
            The row; ``None`` where there is none, and in a map that grows from the frames.
        """
        if self._growing or not len(found.rows) or found.similarities[0] < 1.0 - 2 * _SAME_NAMED:
            return None
        rows, frame = self.window.rows[found.rows], self.window.frames[-1]
        cosines = products(rows, frame) / np.linalg.norm(rows.astype(np.float64), axis=1)
        for row, cosine in zip(found.rows.tolist(), cosines.tolist(), strict=True):
            place = self.places[row]
            named = (place.name, place.stamp) == (name, stamp)
            if cosine >= 1.0 - (_SAME_NAMED if named else _SAME):
                return int(row)
        return None

    def query_of(self, descriptor: Vectors, sequence: Vectors | None) -> Floats | None:
        """(D,) float64 of the kind that the map is compared by; ``None`` where there is none."""
        query = descriptor if self._sequences is None else sequence
        return None if query is None else query.astype(np.float64)

    def pooled_candidates(self, count: int) -> Rows:
        """Last rows of the sequences of the map that are most like the window, pooled from frames.

        Returns:
            (K,), best first; no sequence spans two sessions.
        """
        size, limit = self.window.length, self.limit
        runs = self._runs(limit)
        spare = (size - 1) * (len(runs) - 1)
        ends = self._pooled.nearest(min(limit, count + spare), limit)
        starts = np.array([first for first, _ in runs])
        begins = starts[np.searchsorted(starts, ends, side="right") - 1]
        whole: Rows = ends[ends - begins >= size - 1][:count]
        return whole

    def match(self, matcher: Matcher, candidates: Rows | None) -> tuple[SequenceMatch, Rows] | None:
        """Match the window to each session of the map.

        Args:
            matcher: Any.
            candidates: Rows where likely sequences end, best first; ``None`` searches all rows.

        Returns:
            The match with the lowest score and its path (T,) in rows of the map; ``None`` if there
            is none, or the window is not full.
        """
        if not self.is_full:
            return None
        matrix, best = self.window.matrix(self.limit), None
        for first, last in self._runs(self.limit):
            given = None
            if candidates is not None:
                given = candidates[(candidates >= first) & (candidates < last)] - first
                if not len(given):
                    continue
            match = matcher.match(matrix[first:last], given)
            if len(match) and (best is None or match.scores[0] < best[0].scores[0]):
                best = match, match.paths[0] + first
        return best

    def _search_sequences(self, sequence: Vectors, k: int) -> SearchResult:
        assert self._sequences is not None
        assert self._has_sequence is not None
        if len(sequence) != self._sequences.shape[1]:
            raise DescriptorError(
                f"the sequence descriptor has length {len(sequence)}, those of the map "
                f"{self._sequences.shape[1]}"
            )
        known = np.flatnonzero(self._has_sequence)
        column = np.asarray(self._sequences @ sequence, np.float32)
        column[~self._has_sequence] = column[known].min() if len(known) else 0.0
        found, similarities = select(
            self._sequences, sequence, column, min(k, len(known)), known if len(known) else None
        )
        return SearchResult(found, similarities, column)

    def _runs(self, limit: int) -> list[tuple[int, int]]:
        """First and last row of each session, as far as it is searched."""
        grown = [(self._first, limit)] if limit > self._first else []
        return [*self._sessions, *grown]


def unit_vector(name: str, vector: Vectors, dim: int | None) -> Vectors:
    """A descriptor (D,) of unit length.

    Raises:
        DescriptorError: Wrong length or type, NaN, infinity or zero.
    """
    row = check_vector(name, vector, dim)
    return row / np.float32(np.sqrt(np.einsum("i,i->", row, row, dtype=np.float64)))


def _stretches_of(names: Sequence[str] | Rows) -> list[tuple[int, int]]:
    """First and last row of each stretch of rows of one name."""
    if not len(names):
        return []
    edges = [i for i in range(1, len(names)) if names[i] != names[i - 1]]
    return list(zip([0, *edges], [*edges, len(names)], strict=True))
