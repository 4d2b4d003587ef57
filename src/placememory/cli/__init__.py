"""The command line: one file a command, each a thin layer over a public function."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import NoReturn

from placememory._io import printable
from placememory.errors import InputError, MemoryFormatError, MemoryNotFoundError, PlaceMemoryError

_BAD_INPUT = (InputError, MemoryFormatError, MemoryNotFoundError)


class _Interrupted(BaseException):
    """Ctrl-C; of its own type, because the command-line library would swallow KeyboardInterrupt."""


def main() -> None:
    """Run a command; exit 0 when done, 1 when the work failed, 2 for bad usage or input."""
    with contextlib.suppress(ValueError):  # only the main thread may take signals
        signal.signal(signal.SIGINT, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        from placememory.cli.app import app

        app()
    except PlaceMemoryError as error:
        _end(str(error), 2 if isinstance(error, _BAD_INPUT) else 1)
    except (_Interrupted, KeyboardInterrupt):
        _end("interrupted; what was written stays, run the same command again to go on", 1)
    except BrokenPipeError:
        _silence_stdout()
        sys.exit(1)
    except OSError as error:
        _silence_stdout()
        _end(f"cannot write the output ({error.strerror or error})", 1)


def _interrupt(*_: object) -> NoReturn:
    raise _Interrupted


def _end(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"error: {printable(message, lines=True)}\n")
    sys.exit(code)


def _silence_stdout() -> None:
    """Discard the output that the interpreter would flush at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
