"""Exact nearest descriptors by one scan, in an order that does not depend on rounding.

The scan only preselects: the product of float32 rows, or that of their 8-bit codes, which reads a
quarter of the bytes. Whatever the scan's error leaves possible is scored again in float64, row by
row. So the answer is the same whichever scan was used, the same query gives the same order alone or
in a batch, equal descriptors get equal scores wherever they stand, and ties go to the earlier row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from placememory._types import Rows, Vectors
from placememory.errors import DescriptorError, SettingError
from placememory.memory.codes import Codes, is_fast, margin
from placememory.memory.rows import NO_STAMP, PlaceRows

ROUNDING = 2e-5
"""Bound on the float32 error of a product of two unit vectors."""

FEW = 1 << 22
"""So many numbers of descriptors are multiplied as fast as their codes are scanned."""

_BLOCK = 1 << 25
_GROUP = 64
_ROWS = 1024
_PART = 256


class DescriptorSource(Protocol):
    """Rows of descriptors that are not one array at hand, such as those of a file."""

    def __len__(self) -> int:
        """Count of rows."""
        ...

    def gather(self, rows: Rows) -> Vectors:
        """Some rows (M,), increasing or not, as (M, D) float32."""
        ...


def top_k(
    matrix: Vectors | DescriptorSource,
    queries: Vectors,
    k: int,
    rows: Rows | None = None,
    codes: Codes | None = None,
) -> list[tuple[Rows, Vectors]]:
    """The k most similar rows of a matrix for each query.

    Args:
        matrix: (N, D) float32, unit rows; or a source of them.
        queries: (Q, D) float32, unit rows.
        k: How many; all rows if there are fewer.
        rows: Only these rows, increasing; all if ``None``.
        codes: The codes of the rows; they change how long it takes, and which rows of a source
            are read.

    Returns:
        For each query: row numbers and similarities (float32), most similar first, ties in the
        order of rows.

    Raises:
        DescriptorError: The codes are not those of this matrix, by their shape.

    Example:
        >>> matrix = np.eye(3, dtype=np.float32)
        >>> [(found, similarity)] = top_k(matrix, matrix[1:2], k=2)
        >>> found.tolist(), similarity.tolist()
        ([1, 0], [1.0, 0.0])
        >>> [(found, similarity)] = top_k(matrix, matrix[1:2], k=2, codes=Codes.of(matrix))
        >>> found.tolist(), similarity.tolist()
        ([1, 0], [1.0, 0.0])
    """
    count = len(matrix) if rows is None else len(rows)
    if count == 0 or len(queries) == 0:
        return [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries]
    if codes is not None and codes.values.shape != (len(matrix), queries.shape[1]):
        raise DescriptorError(
            f"codes of {len(matrix)} rows of length {queries.shape[1]} are "
            f"{(len(matrix), queries.shape[1])}, not {codes.values.shape}; code the rows again"
        )
    at_hand = isinstance(matrix, np.ndarray)
    few = count * queries.shape[1] < FEW
    if codes is not None and not (at_hand and (few or not is_fast())):
        return _scan_codes(matrix, queries, min(k, count), rows, codes)
    if rows is not None and (not at_hand or (few and 2 * count < len(matrix))):
        found = top_k(_gather(matrix, rows), queries, k)
        return [(rows[near], similarity) for near, similarity in found]
    return _scan_rows(_gather(matrix, None), queries, min(k, count), rows)


def _scan_rows(
    matrix: Vectors, queries: Vectors, k: int, rows: Rows | None
) -> list[tuple[Rows, Vectors]]:
    results = []
    block = max(1, _BLOCK // len(matrix))
    for start in range(0, len(queries), block):
        part = queries[start : start + block]
        scores = (matrix @ part[0])[None] if len(part) == 1 else part @ matrix.T
        results += [
            select(matrix, query, row_scores, k, rows)
            for query, row_scores in zip(part, scores, strict=True)
        ]
    return results


def _scan_codes(
    matrix: Vectors | DescriptorSource,
    queries: Vectors,
    k: int,
    rows: Rows | None,
    codes: Codes,
) -> list[tuple[Rows, Vectors]]:
    """Score the rows whose upper bound reaches the k-th best of those with the best estimates."""
    results = []
    block = max(1, _BLOCK // len(codes))
    for start in range(0, len(queries), block):
        part = queries[start : start + block]
        coded = Codes.of(part)
        estimates = codes.estimate(coded, rows)
        for query, error, estimate in zip(part, coded.errors.tolist(), estimates, strict=True):
            best = _best(estimate, k)
            found = best if rows is None else rows[best]
            similarity = _score(matrix, found, query)
            estimate[best] = -np.inf  # they are scored
            reach = float(similarity.min())
            reach = reach if reach > -1.0 else -2.0  # what is below is cut to it, and ties
            near = np.flatnonzero(estimate >= reach - float(margin(codes.worst, error)))
            errors = codes.errors[near if rows is None else rows[near]]
            near = near[estimate[near] + margin(errors, error) >= reach]
            others = near if rows is None else rows[near]
            found = np.concatenate([found, others])
            similarity = np.concatenate([similarity, _score(matrix, others, query)])
            order = np.lexsort((found, -similarity))[:k]
            results.append((found[order], similarity[order]))
    return results


def _best(estimate: Vectors, k: int) -> Rows:
    """K rows of the best estimates, in any order.

    The k-th best of the maxima of groups is no better than the k-th best row, so the rows that
    reach it hold the k best. Neighbours, which look alike, are in different groups.
    """
    near = np.arange(len(estimate))
    groups = len(estimate) // _GROUP
    if groups >= k:
        maxima = estimate[: groups * _GROUP].reshape(_GROUP, groups).max(axis=0)
        near = np.flatnonzero(estimate >= np.partition(maxima, groups - k)[groups - k])
    if len(near) > k:
        near = near[np.argpartition(estimate[near], len(near) - k)[len(near) - k :]]
    return near


def _score(matrix: Vectors | DescriptorSource, rows: Rows, query: Vectors) -> Vectors:
    parts = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
    scores = [similarity_of(_gather(matrix, part), query) for part in parts]
    return np.concatenate([np.empty(0, np.float32), *scores])


def _gather(matrix: Vectors | DescriptorSource, rows: Rows | None) -> Vectors:
    if isinstance(matrix, np.ndarray):
        return matrix if rows is None else matrix[rows]
    return matrix.gather(np.arange(len(matrix)) if rows is None else rows)


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
    near = preselect(scores if rows is None else scores[rows], k, ROUNDING)
    found = near if rows is None else rows[near]
    similarity = similarity_of(matrix[found], query)
    order = np.lexsort((found, -similarity))[:k]
    return found[order], similarity[order]


def preselect(scores: NDArray[np.float32], k: int, slack: float) -> NDArray[np.int64]:
    """Rows whose score is at most ``slack`` below the k-th best; all where there are fewer."""
    if k >= len(scores):
        return np.arange(len(scores))
    kth_best = np.partition(scores, len(scores) - k)[len(scores) - k]
    return np.flatnonzero(scores >= kth_best - slack)


def similarity_of(rows: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Similarity of unit rows (M, D) to a unit query (D,): (M,) float32, -1 to 1."""
    return np.clip(products(rows, query), -1.0, 1.0).astype(np.float32)


def products(rows: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """Products of rows (M, D) with a query (D,): (M,) float64, each row summed by itself."""
    wide, sums = query.astype(np.float64), np.empty(len(rows))
    for start in range(0, len(rows), _ROWS):  # there may be many: places that look all the same
        part = rows[start : start + _ROWS].astype(np.float64)
        sums[start : start + _ROWS] = (part * wide).sum(axis=1)
    return sums


def nearest(
    matrix: NDArray[np.float32], queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k nearest rows of descriptors of any length, by Euclidean distance.

    Args:
        matrix: (N, D) float32.
        queries: (Q, D) float32.
        k: How many; all rows if there are fewer.

    Returns:
        (Q, K) rows, nearest first, ties in the order of rows, and (Q, K) distances; exact, in
        float64.

    Example:
        >>> rows, apart = nearest(np.eye(3, dtype=np.float32), np.float32([[0, 2, 0]]), k=2)
        >>> rows.tolist(), apart.round(3).tolist()
        ([[1, 0]], [[1.0, 2.236]])
    """
    wide = matrix.astype(np.float64)
    squares = np.square(wide).sum(axis=1)
    rows = [np.empty((0, min(k, len(matrix))), np.int64)]
    apart = [np.empty((0, min(k, len(matrix))))]
    for start in range(0, len(queries), _PART):
        part = queries[start : start + _PART].astype(np.float64)
        costs = squares - 2.0 * (part @ wide.T) + np.square(part).sum(axis=1)[:, None]
        order = np.argsort(costs, axis=1, kind="stable")[:, :k]
        rows.append(order)
        apart.append(np.sqrt(np.take_along_axis(costs, order, axis=1).clip(0.0)))
    return np.concatenate(rows), np.concatenate(apart)


PREFILTERED = 100
"""So many rows at least are left by :func:`prefilter`, as SelaVPR++ re-ranks them."""

_ONES = np.array([number.bit_count() for number in range(256)], np.uint8)


def prefilter(
    bits: NDArray[np.uint8], query: NDArray[np.uint8], k: int, rows: Rows | None = None
) -> Rows:
    """Rows whose bits differ from the query's in the fewest places; the float scores rank them.

    The best row may be lost: this is an approximation, which the encoder was trained for.

    Args:
        bits: (N, B) uint8, packed (:func:`placememory.encoders.read_bits`).
        query: (B,) uint8.
        k: How many are asked for; 100 rows are left, or k where it is more.
        rows: Only these rows, increasing; all if ``None``.

    Returns:
        Row numbers, increasing; of rows that differ as much the earlier ones are left.

    Example:
        >>> bits = np.uint8([[0b0000], [0b0111], [0b0001]])
        >>> _ONES[bits ^ np.uint8([0b0011])].sum(axis=1).tolist()
        [2, 1, 1]
        >>> prefilter(bits, np.uint8([0b0011]), k=1).tolist()  # far fewer than 100
        [0, 1, 2]
    """
    there = bits if rows is None else bits[rows]
    apart = _ONES[there ^ query].sum(axis=1, dtype=np.int64)
    near = np.sort(np.argsort(apart, kind="stable")[: max(k, PREFILTERED)])
    return near if rows is None else rows[near]


@dataclass(frozen=True, slots=True)
class Where:
    """Which places may answer; conditions are joined by *and*, ``None`` asks nothing.

    Attributes:
        session: One session, or several.
        stamp: First and last stamp in nanoseconds, both included.
        near: x, y in metres for a circle on the ground, or x, y, z for a ball; needs ``radius``.
        radius: Metres, the border included.
        floor: Name of the floor.
        exclude_sessions: One session, or several, whose places do not answer.

    Raises:
        SettingError: ``near`` without ``radius`` or the other way round, or a negative radius.

    Example:
        >>> Where(session="run1", near=(1.0, 2.0), radius=5.0).session
        'run1'
    """

    session: str | Sequence[str] | None = None
    stamp: tuple[int, int] | None = None
    near: tuple[float, ...] | None = None
    radius: float | None = None
    floor: str | None = None
    exclude_sessions: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        if (self.near is None) != (self.radius is None):
            raise SettingError("a search near a pose needs both the position and the radius")
        if self.near is not None and len(self.near) not in (2, 3):
            raise SettingError(f"a position is x, y or x, y, z; not {self.near}")
        if self.radius is not None and not self.radius >= 0:
            raise SettingError(f"a radius is zero or more metres, not {self.radius}")

    @property
    def sessions(self) -> tuple[str, ...] | None:
        """The sessions asked for, or ``None`` for all."""
        return _names(self.session)

    @property
    def excluded(self) -> tuple[str, ...]:
        """The sessions that are left out."""
        return _names(self.exclude_sessions) or ()

    def rows(self, rows: PlaceRows) -> NDArray[np.int64]:
        """Numbers of the rows that meet all conditions, increasing.

        Raises:
            SettingError: There is no session of a name that is to be left out.
        """
        columns = rows.columns
        allowed = np.ones(len(columns), dtype=bool)
        if self.excluded:
            self.check_excluded(columns.sessions)
            allowed &= ~_is_one_of(columns.session, columns.sessions, self.excluded)
        if self.sessions is not None:
            allowed &= _is_one_of(columns.session, columns.sessions, self.sessions)
        if self.stamp is not None:
            first, last = self.stamp
            stamp = columns.stamp
            allowed &= (stamp != NO_STAMP) & (first <= stamp) & (stamp <= last)
        if self.floor is not None:
            allowed &= _is_one_of(columns.floor, columns.floors, (self.floor,))
        if self.near is not None:
            allowed &= self.holds_near(columns.positions)
        return np.flatnonzero(allowed)

    def check_excluded(self, sessions: Sequence[str]) -> None:
        """Refuse to leave out what is not there.

        Raises:
            SettingError: A session to leave out is none of these.
        """
        if unknown := sorted(set(self.excluded) - set(sessions)):
            raise SettingError(
                f"there is no session {unknown[0]!r} to leave out; there are: "
                f"{', '.join(sessions) or 'none'}"
            )

    def holds_near(self, positions: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(N,) bool: whether positions (N, 3) lie within the radius; all do where none is asked."""
        if self.near is None or self.radius is None:
            return np.ones(len(positions), np.bool_)
        axes = len(self.near)
        distance = np.linalg.norm(positions[:, :axes] - np.array(self.near), axis=1)
        inside: NDArray[np.bool_] = distance <= self.radius
        return inside


def _is_one_of(
    numbers: NDArray[np.int32], known: Sequence[str], names: Sequence[str]
) -> NDArray[np.bool_]:
    wanted = [i for i, name in enumerate(known) if name in names]
    return np.isin(numbers, np.array(wanted, numbers.dtype))


def _names(given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    return (given,) if isinstance(given, str) else tuple(given)
