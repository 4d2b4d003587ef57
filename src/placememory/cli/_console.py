"""Output of the commands: lines, tables, JSON, progress bars, and the package's log."""

from __future__ import annotations

import json
import logging
import re
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from placememory._io import UNPRINTABLE, printable

_WIDE = None if sys.stdout is not None and sys.stdout.isatty() else 200


_VERDICTS = {
    "located": "green",
    "ambiguous": "yellow",
    "unknown": "bright_black",
    "warming-up": "bright_black",
}


class PlainConsole(Console):
    """Prints texts as they are: names of files are no markup, no emoji and no control codes."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)
        self.soft_wrap = not self.is_terminal  # lines of a pipe are not broken

    def print(self, *objects: Any, **settings: Any) -> None:
        """Print texts without their control characters, and tables."""
        shown = [printable(o, lines=True) if isinstance(o, str) else o for o in objects]
        super().print(*shown, **settings)


out = PlainConsole(width=_WIDE)
err = PlainConsole(stderr=True)


class Advance(Protocol):
    """Advances a progress bar; a total of ``None`` is not known."""

    def __call__(self, done: int, total: int | None, text: str = "", /) -> None: ...


def say(text: str | Text) -> None:
    """Print a line for people, on standard error, so that standard output stays for programs."""
    err.print(text)


def paint(text: str) -> Text:
    """A text with its verdicts in colour, where the terminal has any."""
    painted = Text(printable(text, lines=True))
    for verdict, style in _VERDICTS.items():
        painted.highlight_regex(rf"(?<![\w-]){verdict}(?![\w-])", style)
    return painted


def warn(text: str) -> None:
    """Print a warning."""
    err.print("warning: ", end="", style="yellow")
    err.print(text)


class LogHandler(logging.Handler):
    """Prints what the package logs: information as a line, the rest as a warning."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        (say if record.levelno < logging.WARNING else warn)(record.getMessage())


def print_json(values: Any) -> None:
    """Print values as JSON on standard output."""

    def escape(found: re.Match[str]) -> str:
        return "\n" if found.group() == "\n" else json.dumps(found.group())[1:-1]

    typer.echo(UNPRINTABLE.sub(escape, json.dumps(values, indent=2, ensure_ascii=False)))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> None:
    """Print a table; columns of numbers are set to the right. ``None`` is shown as a dash."""
    table = Table(title=printable(title) or None, title_justify="left", box=None, pad_edge=False)
    for i, name in enumerate(columns):
        numeric = all(isinstance(row[i], int | float) or row[i] is None for row in rows)
        table.add_column(
            printable(name), justify="right" if numeric and rows else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    out.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return printable(text)


@contextmanager
def progress(label: str) -> Iterator[Advance]:
    """A progress bar on standard error; nothing where that is no terminal."""
    if not err.is_terminal:
        yield lambda _done, _total, _text="": None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(printable(label), total=None, text="")
        yield lambda done, total, text="": bar.update(
            task, completed=done, total=total, text=printable(text)
        )


class Bars:
    """Progress bars, one after another, one for each label."""

    def __init__(self) -> None:
        self._label: str | None = None
        self._bar: Any = None

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def update(self, label: str, done: int, total: int) -> None:
        """Advance the bar of a label; a new label begins a new bar."""
        if label != self._label:
            self._close()
            self._label, self._bar = label, progress(label)
            self._advance = self._bar.__enter__()
        self._advance(done, total)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = self._label = None


def warn_of_bad_images(bad: Sequence[tuple[str, str]]) -> None:
    """Print which images could not be read."""
    if bad:
        warn(f"{len(bad)} images could not be read and were left out")
        for name, reason in bad[:10]:
            say(f"  {name}: {reason}")


def peak_megabytes() -> dict[str, float]:
    """Peak memory of this process in MB; where torch uses a GPU, what it holds there now, too."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = {"ram": kilobytes / (1e6 if sys.platform == "darwin" else 1e3)}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        peak["gpu"] = torch.cuda.max_memory_allocated() / 1e6
        peak["gpu_allocated"] = torch.cuda.memory_allocated() / 1e6
        peak["gpu_reserved"] = torch.cuda.memory_reserved() / 1e6
    return peak
