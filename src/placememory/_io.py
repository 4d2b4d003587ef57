"""Files that are closed whatever happens, and written whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from placememory.errors import PlaceMemoryError

try:
    from isal.isal_zlib import crc32  # the same values as zlib's, several times as fast
except ImportError:  # a processor that it was not made for
    from zlib import crc32

__all__ = [
    "UNPRINTABLE",
    "Closing",
    "check_file",
    "crc32",
    "csv_line",
    "parse_json",
    "parse_yaml",
    "printable",
    "read_json",
    "read_text",
    "read_yaml",
    "replacing",
    "write_bytes",
    "write_csv",
    "write_json",
    "write_text",
]

_LARGEST = 64 << 20  # bytes of a text file that is read whole
_LARGEST_YAML = 4 << 20  # YAML is parsed a hundred times slower than JSON
_LONGEST_NUMBER, _SIGNS = 1000, "+-0123456789"
_DEEPEST = 64  # levels of lists and mappings
_MOST_NODES = 1 << 20  # of YAML, each alias counted as what it stands for
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}
_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Closing:
    """Base of what is used in a ``with`` statement and closed at its end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close files and connections."""
        raise NotImplementedError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it takes the name ``path`` if no error came.

    Raises:
        PlaceMemoryError: The folder cannot be written to, or the disk is full.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with replacing(target) as part:
        ...     _ = part.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        raise PlaceMemoryError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in one piece."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="surrogateescape")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a binary file in one piece."""
    with replacing(path) as part:
        part.write_bytes(content)


def write_json(path: Path, values: Any) -> None:
    """Write values as indented JSON; NaN is refused."""
    write_text(path, json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file; ``None`` becomes an empty cell."""
    with (
        replacing(path) as part,
        part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        file.write(csv_line(header))
        file.writelines(map(csv_line, rows))


def csv_line(cells: Sequence[Any]) -> str:
    r"""One row of a CSV file, which is one line whatever is in the names.

    Example:
        >>> csv_line(["a,b", None, "two\nlines", 0.5])
        '"a,b",,two\\nlines,0.5\n'
    """
    text = io.StringIO()
    shown = [printable(cell, names=True) if isinstance(cell, str) else cell for cell in cells]
    csv.writer(text, lineterminator="\n").writerow(shown)
    return text.getvalue()


# Control characters, those that turn the direction of text, separators of lines, and what stands
# for bytes that are no UTF-8.
UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str, *, lines: bool = False, names: bool = False) -> str:
    r"""A text that does nothing to a terminal or table but stand there.

    Args:
        text: Such as the name of a file, which may hold any character.
        lines: Keep the ends of lines.
        names: Keep bytes that are no UTF-8, by which a file is found again.

    Example:
        >>> printable("red\x1b[31m.png"), printable("a\nb"), printable("a\nb", lines=True)
        ('red\\x1b[31m.png', 'a\\nb', 'a\nb')
    """

    def escape(found: re.Match[str]) -> str:
        character = found.group()
        if lines and character == "\n":
            return character
        if "\udc80" <= character <= "\udcff":  # a byte that is no UTF-8
            if names:
                return character
            return f"\\x{ord(character) - 0xDC00:02x}"
        return character.encode("unicode_escape").decode("ascii")

    return UNPRINTABLE.sub(escape, text)


def check_file(path: Path, error: type[PlaceMemoryError]) -> None:
    """Refuse what is no plain file: a pipe would wait for ever, a device may never end.

    Raises:
        PlaceMemoryError: Of the type given: it is not there, or is a folder, a pipe or a device.

    Example:
        >>> from placememory.errors import InputError
        >>> check_file(Path("/dev/zero"), InputError)
        Traceback (most recent call last):
        placememory.errors.InputError: /dev/zero: it is a device; give a file
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise error(f"{path}: cannot be read ({reason})") from problem
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "no file")
        raise error(f"{path}: it is {kind}; give a file")


def read_text(path: Path, error: type[PlaceMemoryError], limit: int = _LARGEST) -> str:
    """The text of a file of UTF-8, with or without a byte order mark.

    Raises:
        PlaceMemoryError: Of the type given: it is no file, too large, or no UTF-8.
    """
    check_file(path, error)
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise error(f"{path}: cannot be read (it has more than {limit >> 20} MB)")
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"{path}: cannot be read ({problem})") from problem


def read_yaml(path: Path, error: type[PlaceMemoryError]) -> Any:
    """The values of a YAML file.

    Raises:
        PlaceMemoryError: Of the type given: it cannot be read, or :func:`parse_yaml` refuses it.
    """
    return parse_yaml(read_text(path, error, _LARGEST_YAML), str(path), error)


def parse_yaml(text: str, where: str, error: type[PlaceMemoryError]) -> Any:
    """The values of a YAML text: plain ones, in bounded time and memory.

    Raises:
        PlaceMemoryError: Of the type given: it is no YAML, nested too deeply, or its aliases stand
            for too much.

    Example:
        >>> from placememory.errors import InputError
        >>> parse_yaml("a: [1, 2]", "x.yaml", InputError)
        {'a': [1, 2]}
    """
    try:
        _check_yaml(text)
        return yaml.load(text, Loader=_YamlLoader)
    except (ValueError, RecursionError, OverflowError, AttributeError, yaml.YAMLError) as problem:
        reason = " ".join(str(problem).split())[:300]
        raise error(f"{where}: cannot be read as YAML ({reason})") from problem


def _check_yaml(text: str) -> None:
    """Count the nodes of a YAML text, aliases as what they stand for.

    Raises:
        ValueError: It is nested too deeply, or there are too many.
    """
    anchors: dict[str | None, int] = {}
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]  # anchor, nodes before it
    count = 0
    for event in yaml.parse(text, Loader=_YamlLoader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise ValueError(f"the alias *{event.anchor} stands for nothing before it")
            count += anchors[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            anchors[event.anchor] = 1
            if (
                len(event.value) > _LONGEST_NUMBER
                and event.implicit[0]
                and event.value[0] in _SIGNS
            ):
                raise ValueError(f"it holds a number of {len(event.value)} digits")
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, count))
            count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            anchors[anchor] = count - before
        if len(open_nodes) > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
        if count > _MOST_NODES:
            raise ValueError(f"its aliases stand for more than {_MOST_NODES} values")


def read_json(path: Path, error: type[PlaceMemoryError]) -> Any:
    """The values of a JSON file.

    Raises:
        PlaceMemoryError: Of the type given: it cannot be read, or is no JSON.
    """
    return parse_json(read_text(path, error), str(path), error)


def parse_json(text: str, where: str, error: type[PlaceMemoryError]) -> Any:
    """The values of a JSON text.

    Raises:
        PlaceMemoryError: Of the type given: it is no JSON, nested too deeply, or has a number of
            thousands of digits.

    Example:
        >>> from placememory.errors import InputError
        >>> parse_json("[1, 2", "x.json", InputError)
        Traceback (most recent call last):
        placememory.errors.InputError: x.json: cannot be read as JSON (Expecting ',' delimiter: ...
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise error(f"{where}: cannot be read as JSON ({problem})") from problem
