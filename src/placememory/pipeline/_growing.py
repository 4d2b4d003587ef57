"""Arrays that grow by rows."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

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
