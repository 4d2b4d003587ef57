"""Helpers shared by the readers of text files: bounded text, rows, numbers, errors with lines."""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from placememory._io import check_file
from placememory.errors import PoseError
from placememory.frames.units import UNITS, decimal_of

LARGEST_TEXT = 1 << 29
"""Bytes of the largest text file that is read."""

_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_DELIMITERS = ",;\t|"
_DECIMAL_COMMA = re.compile(r"^[+-]?\d+,\d+(?:[eE][+-]?\d+)?$")
_UNIT = re.compile(r"^(.*?)\s*[\[(]([^\])]*)[\])]\s*$")
_SECONDS_BELOW = 10**11
_LARGEST = 2**63 - 1
_SHOWN = 60


def read_text(path: Path) -> str:
    """The text of a file, UTF-8 or, with a byte order mark, UTF-16.

    Raises:
        PoseError: It cannot be read, is no file (a pipe, a device), is no text, or is over 512 MB.
    """
    return _decode(path, read_bytes(path))


def read_head(path: Path, size: int = 1 << 16) -> str:
    """The beginning of a file's text; empty for a binary file.

    Raises:
        PoseError: It cannot be read, or is no file.
    """
    try:
        return _decode(path, read_bytes(path, size), cut=True)
    except UnicodeDecodeError:
        return ""


def read_bytes(path: Path, size: int | None = None) -> bytes:
    """The bytes of a file, or its first ones.

    Raises:
        PoseError: It cannot be read, is no file (a pipe, a device), or is over 512 MB.
    """
    check_file(path, PoseError)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_TEXT + 1 if size is None else size)
    except OSError as error:
        raise PoseError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(content) > LARGEST_TEXT:
        raise PoseError(f"{path}: cannot be read (it has more than {LARGEST_TEXT >> 20} MB)")
    return content


def _decode(path: Path, content: bytes, *, cut: bool = False) -> str:
    encoding = next(
        (name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8-sig"
    )
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        return decoder.decode(content, final=not cut)
    except UnicodeDecodeError as error:
        if cut:
            raise
        raise PoseError(f"{path}: cannot be read ({error}); save it as UTF-8") from error


def data_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers (from 1) and lines, without blank lines and ``#`` or ``%`` comments.

    Raises:
        PoseError: The file cannot be read.
    """
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip() and line.lstrip()[0] not in "#%":
            yield number, line.strip()


def words_of(line: str) -> list[str]:
    """Words of a line between commas or blanks; a comma at its end is left out.

    Example:
        >>> words_of("1, 2,3,"), words_of("1 2  3")
        (['1', '2', '3'], ['1', '2', '3'])
    """
    return (
        [word.strip() for word in line.rstrip(", \t").split(",")] if "," in line else line.split()
    )


def first_data_line(head: Sequence[str]) -> str:
    """The first line that is no comment; empty if there is none."""
    return next((line for line in head if line[:1] not in "#%"), "")


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a table.

    Attributes:
        delimiter: Between columns; a blank stands for any number of them.
        names: Of the columns, without ``#``, quotes and units.
        units: What stands in brackets after each name, in lower case; empty where nothing does.
        line: Its number, from 1.
    """

    delimiter: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    line: int


def find_header(lines: Sequence[str]) -> Header | None:
    """The header of a table: its first line without ``#``, or the last with it before numbers.

    Args:
        lines: The first lines of the file.

    Example:
        >>> header = find_header(["# made by x", "#time (s) x[mm] y[mm]", "1.5 2 3"])
        >>> header.names, header.units, header.delimiter, header.line
        (('time', 'x', 'y'), ('s', 'mm', 'mm'), ' ', 2)
    """
    comment: tuple[int, str] | None = None
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        if text[0] in "#%":
            comment = number, text.lstrip("#% ")
            continue
        if comment is not None:
            header = _header(*comment)
            row = _split(text, header.delimiter)
            if len(row) == len(header.names) and any(_is_number(cell) for cell in row):
                return header
        return _header(number, text)
    return None if comment is None else _header(*comment)


def _header(number: int, text: str) -> Header:
    counts = {mark: text.count(mark) for mark in _DELIMITERS}
    delimiter = max(counts, key=lambda mark: counts[mark])
    if not counts[delimiter]:
        delimiter = " "
        text = re.sub(r"\s+(?=[\[(])", "", text)  # a unit belongs to the name before it
    cells = [_UNIT.match(cell) or cell for cell in _split(text, delimiter)]
    return Header(
        delimiter,
        tuple(_plain(cell if isinstance(cell, str) else cell[1]) for cell in cells),
        tuple("" if isinstance(cell, str) else cell[2].strip().lower() for cell in cells),
        number,
    )


def _plain(name: str) -> str:
    return name.strip().lstrip("#%").strip().strip("\"'").strip()


def _split(line: str, delimiter: str) -> list[str]:
    if delimiter == " " and '"' not in line:
        return line.split()
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])


def _is_number(text: str) -> bool:
    return are_numbers([_point(text)], 1)


def _point(text: str) -> str:
    """A number with a point where it has a comma."""
    return text.replace(",", ".") if _DECIMAL_COMMA.match(text) else text


def csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table as dictionaries, with line numbers.

    Columns are separated as those of the header: by commas, semicolons, tabs, bars or blanks.
    Blanks around names and values, ``#`` before the first name and units in brackets are left out:
    `` position x [m]`` is ``position x``. Where commas do not separate, they are decimal points.

    Raises:
        PoseError: The file cannot be read, or a row has fewer values than the header.
    """
    text = read_text(path)
    header = find_header(text.splitlines()[:_SHOWN])
    if header is None:
        return
    lines = text.splitlines(keepends=True)[header.line :]
    if header.delimiter == " ":
        lines = [" ".join(line.split()) + "\n" for line in lines]
    reader = csv.reader(lines, delimiter=header.delimiter, skipinitialspace=True)
    try:
        for values in reader:
            if not any(value.strip() for value in values):
                continue
            if len(values) < len(header.names):
                if values[0].lstrip()[:1] in ("#", "%"):
                    continue
                raise PoseError(
                    f"{path}:{header.line + reader.line_num}: {len(values)} values for "
                    f"{len(header.names)} columns"
                )
            cells = [value.strip() for value in values]
            if header.delimiter != ",":
                cells = [_point(cell) for cell in cells]
            yield header.line + reader.line_num, dict(zip(header.names, cells, strict=False))
    except csv.Error as error:
        raise PoseError(f"{path}:{header.line + reader.line_num}: {error}") from error


def column_names(line: str) -> list[str]:
    """Names of the columns as :func:`csv_rows` gives them.

    Example:
        >>> column_names("#name, x [m], y [m]")
        ['name', 'x', 'y']
    """
    return list(_header(1, line).names) if line.strip() else []


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
    except ValueError:
        bad = next(value for value in values if not are_numbers([value], 1))
        shown = bad if len(bad) <= _SHOWN else f"{bad[:_SHOWN]}..."
        raise PoseError(f"{path}:{line}: {shown!r} is no number") from None


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


def is_unit(values: Sequence[float]) -> bool:
    """Whether numbers are a unit quaternion, or one that stands for none: zeros or NaN.

    Example:
        >>> is_unit([0, 0.6, 0, 0.8]), is_unit([1, 2, 3, 4]), is_unit([0, 0, 0, 0])
        (True, False, True)
    """
    norm = math.sqrt(sum(value * value for value in values))
    return math.isnan(norm) or norm == 0 or abs(norm - 1) < 0.02


def stamp_of_seconds(path: Path, line: int, text: str) -> int:
    """Seconds as written to whole nanoseconds, without the loss of a float.

    Raises:
        PoseError: They are none; names file and line.
    """
    with at(path, line):
        stamp = int(decimal_of(text) * UNITS["seconds"])
        if abs(stamp) > _LARGEST:
            raise PoseError(f"{text!r} is no stamp in seconds")
        return stamp


def stamp_of_any(path: Path, line: int, text: str) -> int:
    """Seconds (with a decimal point, or below 10^11) or nanoseconds to nanoseconds.

    Raises:
        PoseError: They are none; names file and line.
    """
    if text.isascii() and text.isdecimal() and len(text) < 20 and int(text) >= _SECONDS_BELOW:
        return min(int(text), _LARGEST)
    return stamp_of_seconds(path, line, text)


def whole(path: Path, line: int, text: str) -> int:
    """A whole number of at most 64 bits.

    Raises:
        PoseError: It is none; names file and line.
    """
    try:
        value = int(text) if len(text) <= _SHOWN else _LARGEST + 1
    except ValueError as error:
        raise PoseError(f"{path}:{line}: {text!r} is no whole number") from error
    if abs(value) > _LARGEST:
        raise PoseError(f"{path}:{line}: {text[:_SHOWN]!r} is larger than 64 bits")
    return value
