"""Descriptors as 8-bit codes, with bounds of their errors that make a scan of them a proof.

A row x is stored as s v: a scale s times whole numbers v of 8 bits, with an upper bound E of the
distance |x - s v|. A query q is coded the same way, as t w with F. By Cauchy and Schwarz,

    |q.x - (t w).(s v)| = |(t w).(x - s v) + (q - t w).x| <= |t w| E + F |x| <= (L + F) E + F L

where no row and no query is longer than L. This is what :func:`margin` gives, plus ``SLACK`` for
the arithmetic:

- E is measured, in float64. There s v is exact (24 and 8 bits), and the other operations together
  err by less than 1e-9 of E for any D below a million. E is stored larger by 1e-7 of it, which is
  more than that and the rounding to float32 (2^-24).
- The sums v.w are exact whole numbers below 2^31: there are 127 levels, fewer where D is above
  66,000, and a kernel is used only after it was found equal to whole-number arithmetic.
- The estimate is v.w times t times s in float32: three roundings, each by 2^-24 of it. Rounding to
  the nearest level errs by no more than the number itself, so E <= |x|, no estimate is above
  (2 L)^2, and this is below 8e-7. A threshold below 8, rounded to float32, moves by 5e-7 at most.
- The exact score is a sum in float64 (off by less than 1e-9), compared after it was rounded to
  float32 (2^-25 at most, as similarities end at 1).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placememory._types import Floats, Rows, Vectors
from placememory.errors import DescriptorError

_log = logging.getLogger(__name__)

LONGEST = 1.001
"""Longest row that can be coded: unit rows, also after they were rounded to float16."""

SLACK = 2e-6
"""Bound on all rounding of estimates and scores, see above."""

Integers = NDArray[np.int8]
"""Whole numbers of 8 bits, -127 to 127."""

Kernel = Callable[[Integers], Callable[[Integers], Vectors]]
"""Takes queries (Q, D); gives a function from rows (M, D) to their products (M, Q), which are exact
but for one rounding to float32."""

_LEVELS = 127
_TINY = 1e-30  # above what float32 loses near zero
_COPIED, _SUMS = 1 << 22, 1 << 17
_EXACT = 1024  # so many products of 8-bit numbers add up below 2^24, exactly in float32
_SPARSE = 2  # rows that are fewer than one in so many are copied together before they are scanned


@dataclass(frozen=True)
class Codes:
    """Rows of descriptors in 8 bits: a quarter of their size, and how wrong each row is.

    Attributes:
        values: (N, D) int8, C-contiguous.
        scales: (N,) float32; ``scales[i] * values[i]`` stands for row i.
        errors: (N,) float32, upper bounds of the Euclidean distance to the row itself.

    Raises:
        DescriptorError: The arrays do not belong together.

    Example:
        >>> rows = np.float32([[0.6, 0.8], [1, 0]])
        >>> codes = Codes.of(rows)
        >>> codes.values.tolist()
        [[95, 127], [127, 0]]
        >>> estimate = codes.estimate(Codes.of(rows[:1]))[0]
        >>> bool((abs(estimate - rows @ rows[0]) <= margin(codes.errors, codes.errors[0])).all())
        True
    """

    values: Integers
    scales: Vectors
    errors: Vectors

    def __post_init__(self) -> None:
        values, scales, errors = self.values, self.scales, self.errors
        if values.dtype != np.int8 or values.ndim != 2 or not values.flags.c_contiguous:
            raise DescriptorError(
                f"codes are (N, D) int8, C-contiguous, not {values.shape} {values.dtype}"
            )
        for name, column in (("scales", scales), ("errors", errors)):
            if column.dtype != np.float32 or column.shape != (len(values),):
                raise DescriptorError(
                    f"{name} of {len(values)} codes are ({len(values)},) float32, not "
                    f"{column.shape} {column.dtype}"
                )
            if not ((column >= 0) & (column < np.inf)).all():
                raise DescriptorError(f"{name} of codes are negative, NaN or infinite")

    @classmethod
    def of(cls, descriptors: Vectors) -> Codes:
        """Code descriptors.

        Args:
            descriptors: (N, D) float32, rows no longer than 1.001.

        Raises:
            DescriptorError: Rows that are longer, or hold NaN.
        """
        count, dim = descriptors.shape
        codes = cls(np.empty((count, dim), np.int8), *np.zeros((2, count), np.float32))
        levels = min(_LEVELS, math.isqrt((1 << 30) // max(dim, 1)))
        part = max(1, (1 << 15) // max(dim, 1))
        for start in range(0, count, part):
            there = slice(start, start + part)
            rows = descriptors[there].astype(np.float64)
            squares = (rows * rows).sum(axis=1)
            if not (squares <= LONGEST**2).all():
                row = int((~(squares <= LONGEST**2)).argmax())
                raise DescriptorError(
                    f"descriptors: row {start + row} is no unit row (length "
                    f"{math.sqrt(squares[row]):.4g}); bring rows to unit norm before they are coded"
                )
            peaks = np.abs(rows).max(axis=1, initial=0.0)
            scales = codes.scales[there]
            scales[:] = peaks / levels + _TINY
            wide = scales.astype(np.float64)[:, None]
            values = np.rint(rows / wide)
            codes.values[there] = values
            values *= wide
            rows -= values
            rows *= rows
            codes.errors[there] = np.sqrt(rows.sum(axis=1)) * (1 + 1e-7) + _TINY
        return codes

    @classmethod
    def concatenate(cls, parts: Sequence[Codes]) -> Codes:
        """One after another; at least one, of the same length D."""
        return cls(
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.scales for part in parts]),
            np.concatenate([part.errors for part in parts]),
        )

    def take(self, rows: Rows) -> Codes:
        """Some of the rows, in the order of ``rows``."""
        return Codes(self.values[rows], self.scales[rows], self.errors[rows])

    def __len__(self) -> int:
        """Count of rows."""
        return len(self.values)

    @cached_property
    def worst(self) -> float:
        """Largest of the errors; 0 without rows."""
        return float(self.errors.max(initial=0.0))

    def estimate(self, queries: Codes, rows: Rows | None = None) -> Vectors:
        """Estimate the products with queries; :func:`margin` bounds how wrong they are.

        Args:
            queries: Q coded queries.
            rows: M row numbers, increasing; all if ``None``.

        Returns:
            (Q, M) float32.
        """
        count = len(self) if rows is None else len(rows)
        estimates = np.empty((len(queries), count), np.float32)
        products = load_kernel()(queries.values)
        part = count if len(queries) == 1 else _SUMS // max(len(queries), 1)
        if rows is not None:
            part = min(part, _COPIED // max(self.values.shape[1], 1))
        part = max(1, part)
        for start in range(0, count, part):
            stop = min(start + part, count)
            sums, scales = self._sums(products, start, stop, rows)
            sums *= queries.scales
            np.multiply(sums.T, scales, out=estimates[:, start:stop])
        return estimates

    def _sums(
        self,
        products: Callable[[Integers], Vectors],
        start: int,
        stop: int,
        rows: Rows | None,
    ) -> tuple[Vectors, Vectors]:
        if rows is None:
            return products(self.values[start:stop]), self.scales[start:stop]
        part = rows[start:stop]
        first, last = int(part[0]), int(part[-1]) + 1
        if last - first > _SPARSE * len(part):
            return products(self.values[part]), self.scales[part]
        return products(self.values[first:last])[part - first], self.scales[part]


def margin(errors: ArrayLike, query_error: float) -> Floats:
    """How far products of rows with a query may lie from their estimates.

    Args:
        errors: (N,) upper bounds of the errors of coded rows, or one of them.
        query_error: The same of the query.

    Returns:
        (N,) float64, or one number.

    Example:
        >>> margin(np.float32([0.0, 0.01]), query_error=0.01).round(4).tolist()
        [0.01, 0.0201]
    """
    wide: Floats = np.asarray(errors, dtype=np.float64)
    return wide * (LONGEST + query_error) + (LONGEST * query_error + SLACK)


@cache
def load_kernel() -> Kernel:
    """Choose the kernel: numkong's, where it is installed and proves right; else NumPy's."""
    try:
        import numkong
    except ImportError:
        _log.debug("numkong is not installed (placememory[fast]): rows are compared as float32")
        return multiply_numpy

    def multiply_numkong(queries: Integers) -> Callable[[Integers], Vectors]:
        if len(queries) == 1:
            scan = partial(numkong.cdist, queries, metric="dot", out_dtype="float32")
            return lambda rows: np.asarray(scan(rows)).reshape(-1, 1)
        packed = numkong.dots_pack(queries)
        return lambda rows: np.asarray(numkong.dots_packed(rows, packed)).astype(np.float32)

    if is_exact(multiply_numkong):
        return multiply_numkong
    _log.warning("numkong errs on this processor and is not used")
    return multiply_numpy


def is_fast() -> bool:
    """Whether a scan of codes is faster than a product of float32 rows that are at hand."""
    return load_kernel() is not multiply_numpy


def multiply_numpy(queries: Integers) -> Callable[[Integers], Vectors]:
    """The kernel that is always there: float32 products of so few columns that they are exact.

    Example:
        >>> rows = np.int8([[127, -127], [1, 2]])
        >>> multiply_numpy(rows[:1])(rows).tolist()
        [[32258.0], [-127.0]]
    """
    columns = range(0, queries.shape[1], _EXACT)
    wide = [queries[:, c : c + _EXACT].astype(np.float32).T for c in columns]

    def multiply(rows: Integers) -> Vectors:
        sums = np.zeros((len(rows), len(queries)), np.int32)
        part = max(1, (1 << 20) // _EXACT)
        for start in range(0, len(rows), part):
            for column, query in zip(columns, wide, strict=True):
                piece = rows[start : start + part, column : column + _EXACT]
                sums[start : start + part] += (piece.astype(np.float32) @ query).astype(np.int32)
        return sums.astype(np.float32)

    return multiply


def is_exact(kernel: Kernel) -> bool:
    """Whether a kernel gives the products of whole numbers, also of the largest ones.

    Example:
        >>> is_exact(multiply_numpy)
        True
        >>> is_exact(lambda queries: lambda rows: np.float32(rows @ queries.T))  # overflows
        False
    """
    rng = np.random.default_rng(0)
    for dim in (1, 63, 130, 4097):
        rows = rng.integers(-_LEVELS, _LEVELS + 1, (37, dim), dtype=np.int8)
        rows[0], rows[1] = _LEVELS, -_LEVELS
        for queries in (rows[:1], rows[1:2], rows[2:3], rows[:19]):
            exact = (rows.astype(np.int64) @ queries.astype(np.int64).T).astype(np.float32)
            if not np.array_equal(kernel(queries)(rows), exact):
                return False
    return True
