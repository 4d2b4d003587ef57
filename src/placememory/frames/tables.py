"""Helpers shared by the readers of text files: numbers, stamps and errors with line numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path

from placememory.errors import PoseError

_SECONDS_BELOW = 10**11
_NANOSECONDS = 10**9


def data_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers (from 1) and lines, without blank lines and ``#`` comments."""
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def first_data_line(head: Sequence[str]) -> str:
    """The first line that is no comment; empty if there is none."""
    return next((line for line in head if not line.startswith("#")), "")


def csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV file as dictionaries, with line numbers.

    Blanks around names and values, ``#`` before the first name and units in brackets are left out:
    `` position x [m]`` is ``position x``.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, skipinitialspace=True)
        header: list[str] = []
        try:
            for values in reader:
                if not any(value.strip() for value in values):
                    continue
                if not header:
                    header = [_plain_name(name) for name in values]
                    continue
                if len(values) < len(header):
                    raise PoseError(
                        f"{path}:{reader.line_num}: {len(values)} values for {len(header)} columns"
                    )
                yield reader.line_num, dict(zip(header, (v.strip() for v in values), strict=False))
        except csv.Error as error:
            raise PoseError(f"{path}:{reader.line_num}: {error}") from error


def column_names(line: str) -> list[str]:
    """Names of the columns as :func:`csv_rows` gives them.

    Example:
        >>> column_names("#name, x [m], y [m]")
        ['name', 'x', 'y']
    """
    return [_plain_name(name) for name in next(csv.reader([line], skipinitialspace=True), [])]


def _plain_name(name: str) -> str:
    return name.strip().lstrip("#").split("[")[0].strip()


@contextmanager
def at(path: Path, line: int) -> Iterator[None]:
    """Name file and line in the error of a pose that cannot be.

    Raises:
        PoseError: One was raised inside.
    """
    try:
        yield
    except PoseError as error:
        raise PoseError(f"{path}:{line}: {error}") from error


def numbers(
    path: Path, line: int, values: Sequence[str], expected: int | None = None
) -> list[float]:
    """Convert words to floats.

    Raises:
        PoseError: A word is no number, or their count is wrong; names file and line.
    """
    if expected is not None and len(values) != expected:
        raise PoseError(f"{path}:{line}: {len(values)} values where {expected} are expected")
    try:
        return [float(value) for value in values]
    except ValueError as error:
        raise PoseError(f"{path}:{line}: {error}") from error


def are_numbers(words: Sequence[str], count: int) -> bool:
    """Whether there are ``count`` words and all are numbers.

    Example:
        >>> are_numbers("1 2.5 -3e4".split(), 3), are_numbers(["x"], 1)
        (True, False)
    """
    try:
        return len([float(word) for word in words]) == count
    except ValueError:
        return False


def stamp_of_seconds(path: Path, line: int, text: str) -> int:
    """Seconds as written to whole nanoseconds, without the loss of a float."""
    try:
        return int(Decimal(text) * _NANOSECONDS)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise PoseError(f"{path}:{line}: {text!r} is no stamp in seconds") from error


def stamp_of_any(path: Path, line: int, text: str) -> int:
    """Seconds (with a decimal point, or below 10^11) or nanoseconds to nanoseconds."""
    if text.isdecimal() and int(text) >= _SECONDS_BELOW:
        return int(text)
    return stamp_of_seconds(path, line, text)


def whole(path: Path, line: int, text: str) -> int:
    """A whole number.

    Raises:
        PoseError: It is none; names file and line.
    """
    try:
        return int(text)
    except ValueError as error:
        raise PoseError(f"{path}:{line}: {text!r} is no whole number") from error
