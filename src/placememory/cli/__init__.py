"""The command line: one file a command, each a thin layer over a public function."""

from __future__ import annotations

import sys

from placememory.errors import (
    InputError,
    MemoryFormatError,
    MemoryNotFoundError,
    PlaceMemoryError,
)

_BAD_INPUT = (InputError, MemoryFormatError, MemoryNotFoundError)


def main() -> None:
    """Run a command; exit 0 when done, 1 when the work failed, 2 for bad usage or input."""
    from placememory.cli._app import app
    from placememory.cli._common import complain

    try:
        app()
    except PlaceMemoryError as error:
        complain(str(error))
        sys.exit(2 if isinstance(error, _BAD_INPUT) else 1)
    except KeyboardInterrupt:
        complain("interrupted; what was written stays, run the same command again to go on")
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
