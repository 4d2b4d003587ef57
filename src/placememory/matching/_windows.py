"""Arrays that grow by rows."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from placememory._checks import check_whole
from placememory._types import Vectors
from placememory.errors import SettingError

Number = TypeVar("Number", bound=np.generic)

_GROWTH = 1.5


class Growing(Generic[Number]):
    """Rows in one contiguous buffer with room at its end, so that appending is cheap on average.

    Args:
        shape: Shape of a row.
        dtype: Of the buffer.

    Example:
        >>> grown = Growing((2,), np.float32)
        >>> grown.append(np.ones((3, 2), np.float32))
        >>> grown.rows.shape
        (3, 2)
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._buffer: NDArray[Number] = np.empty((0, *shape), dtype)
        self._count = 0

    @classmethod
    def of(cls, rows: NDArray[Number]) -> Growing[Number]:
        """Rows as they are, without a copy until more are added."""
        grown = cls(rows.shape[1:], rows.dtype)
        grown._buffer, grown._count = rows, len(rows)
        return grown

    def __len__(self) -> int:
        """How many rows there are."""
        return self._count

    @property
    def rows(self) -> NDArray[Number]:
        """(n, ...) view; it keeps its values, but not later rows."""
        return self._buffer[: self._count]

    @property
    def nbytes(self) -> int:
        """Size of the buffer."""
        return self._buffer.nbytes

    def extend(self, count: int) -> NDArray[Number]:
        """Add rows to be filled in by the caller: (count, ...) view of them.

        The first ones take exactly the room they need.
        """
        needed = self._count + count
        if needed > len(self._buffer):
            self._resize(max(needed, int(_GROWTH * self._count)))
        self._count = needed
        return self._buffer[needed - count : needed]

    def append(self, rows: ArrayLike) -> None:
        """Add rows (m, ...)."""
        given = np.asarray(rows)
        self.extend(len(given))[:] = given

    def trim(self) -> None:
        """Give the room at the end back."""
        if self._count < len(self._buffer):
            self._resize(self._count)

    def _resize(self, capacity: int) -> None:
        buffer = np.empty((capacity, *self._buffer.shape[1:]), self._buffer.dtype)
        buffer[: self._count] = self.rows
        self._buffer = buffer


Similarity = Literal["cosine", "l2"]
"""``cosine``: 1 - cosine, 0 ... 2. ``l2``: half the Euclidean distance of raw descriptors."""

_BLOCK = 1024
_CANCELLED = (
    1e-3  # below this share of the squared lengths, a difference of them is mostly rounding
)


class DistanceWindow:
    """Rows of the map, the frames of the window, and their distances (n, T).

    Args:
        length: T, frames of the window.
        dim: D, length of descriptors.
        similarity: See :data:`Similarity`.

    Raises:
        SettingError: The length is not a whole number of at least 1, or the similarity is unknown.

    Example:
        >>> window = DistanceWindow(length=2, dim=2)
        >>> window.append(np.array([[1, 0], [0, 2]], np.float32))
        >>> for frame in ([1, 1], [3, 0], [0, 5]):
        ...     window.push(np.array(frame, np.float32))
        >>> window.matrix().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """

    def __init__(self, length: int, dim: int, similarity: Similarity = "cosine") -> None:
        check_whole(window=length)
        if similarity not in get_args(Similarity):
            raise SettingError(f"similarity is {similarity!r}; give cosine or l2")
        self.length = length
        self.similarity = similarity
        self._map: Growing[np.float32] = Growing((dim,), np.float32)
        self._map_squares: Growing[np.float32] = Growing((), np.float32)
        self._strip = np.empty((2 * length, 0), np.float32)
        self._frames = np.empty((2 * length, dim), np.float32)
        self._squares = np.empty(2 * length, np.float32)
        self._start = self._stop = 0

    @classmethod
    def over(cls, rows: Vectors, length: int) -> DistanceWindow:
        """A window over a map that is there already.

        Args:
            rows: (n, D) float32, C-contiguous, unit rows; not copied.
            length: T, frames of the window.
        """
        window = cls(length, rows.shape[1])
        window._map = Growing.of(rows)
        window._map_squares = Growing.of(np.ones(len(rows), np.float32))
        window._widen(len(rows))
        return window

    def __len__(self) -> int:
        """How many frames the window holds, at most T."""
        return self._stop - self._start

    @property
    def rows(self) -> Vectors:
        """(n, D) rows of the map; of unit length unless the similarity is ``l2``."""
        return self._map.rows

    @property
    def row_squares(self) -> NDArray[np.float32]:
        """(n,) squared lengths of the rows."""
        return self._map_squares.rows

    @property
    def frames(self) -> Vectors:
        """(T, D) frames of the window, oldest first, scaled like the rows."""
        return self._frames[self._start : self._stop]

    @property
    def nbytes(self) -> int:
        """Size of all buffers."""
        return self._map.nbytes + self._map_squares.nbytes + self._strip.nbytes

    def matrix(self, limit: int | None = None) -> NDArray[np.float32]:
        """(n, T) distances, oldest frame first, of the first ``limit`` rows.

        A view without a copy; it holds until the next change.
        """
        return self._strip[self._start : self._stop, : len(self._map)][:, :limit].T

    def products(self, limit: int) -> NDArray[np.float32]:
        """(limit,) sums over the frames of the window of their inner products with each row."""
        matrix = self._strip[self._start : self._stop, :limit]
        if self.similarity == "cosine":
            sums: Vectors = np.float32(len(self)) - matrix.sum(axis=0, dtype=np.float32)
            return sums
        squares = self._squares[self._start : self._stop].sum(dtype=np.float32)
        products: Vectors = self.row_squares[:limit] * np.float32(len(self)) + squares
        products -= 4 * np.square(matrix).sum(axis=0, dtype=np.float32)
        products /= 2
        return products

    def append(self, rows: Vectors) -> None:
        """Add rows (m, D) to the map, and their distances to the frames of the window."""
        first = len(self._map)
        scaled = self._scale(rows, self._map.extend(len(rows)))
        self._map_squares.append(_squares(scaled))
        if len(self._map) > self._strip.shape[1]:
            self._widen(max(len(self._map), int(_GROWTH * first)))
        for column in range(self._start, self._stop):
            self._measure(column, first)

    def push(self, frame: Vectors, *, replace: bool = False) -> None:
        """Add a frame (D,) to the window, in place of the newest one or of the oldest.

        Args:
            frame: Checked descriptor.
            replace: Whether it takes the place of the newest frame.
        """
        if replace and len(self):
            self._stop -= 1
        elif len(self) == self.length:
            self._start += 1
        if self._stop == len(self._strip):
            self._rewind()
        newest = slice(self._stop, self._stop + 1)
        self._squares[newest] = _squares(self._scale(frame[None], self._frames[newest]))
        self._measure(self._stop, 0)
        self._stop += 1

    def clear(self) -> None:
        """Empty the window; the map stays."""
        self._start = self._stop = 0

    def trim(self) -> None:
        """Free the memory reserved for further rows."""
        self._map.trim()
        self._map_squares.trim()
        self._widen(len(self._map))

    def _scale(self, rows: Vectors, out: Vectors) -> Vectors:
        """Write rows (m, D) as they are compared."""
        if self.similarity == "l2":
            out[:] = rows
        else:
            lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
            np.divide(rows, lengths.astype(np.float32)[:, None], out=out)
        return out

    def _measure(self, column: int, first: int) -> None:
        """Distances of the frame in a column of the strip to the rows from ``first`` on."""
        frame, out = self._frames[column], self._strip[column, first : len(self._map)]
        rows = self.rows[first:]
        np.matmul(rows, frame, out=out)
        if self.similarity == "cosine":
            np.subtract(np.float32(1), out, out=out)
            return
        both = self.row_squares[first:] + self._squares[column]
        np.subtract(both, 2 * out, out=out)
        near = np.flatnonzero(out < _CANCELLED * both)
        for start in range(0, len(near), _BLOCK):
            block = near[start : start + _BLOCK]
            out[block] = _squares(rows[block] - frame)
        np.sqrt(out, out=out)
        out /= 2

    def _rewind(self) -> None:
        """Move the window to the start of the strip."""
        count = len(self)
        for array in (self._strip, self._frames, self._squares):
            array[:count] = array[self._start : self._stop]
        self._start, self._stop = 0, count

    def _widen(self, capacity: int) -> None:
        """Give the columns room for so many rows."""
        strip = np.empty((len(self._strip), capacity), np.float32)
        width = min(capacity, self._strip.shape[1])
        strip[self._start : self._stop, :width] = self._strip[self._start : self._stop, :width]
        self._strip = strip


def _squares(rows: Vectors) -> NDArray[np.float32]:
    """Squared lengths (m,) of rows (m, D), summed in float64."""
    lengths: NDArray[np.float64] = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    return lengths.astype(np.float32)
