"""The files of a localisation, written line by line while it runs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from placememory._estimate import Estimate
from placememory._results import (
    ESTIMATES,
    MATCHES,
    METRICS,
    TRAJECTORY,
    estimate_columns,
    estimate_row,
    match_columns,
    match_row,
    trajectory_line,
)
from placememory.errors import PlaceMemoryError

LINES = "estimates.jsonl"


class ResultStream:
    """Appends each estimate to the files of a localisation as it comes.

    Each line is handed to the system whole, so a process that is killed leaves whole lines, and a
    reader may follow the files. What an earlier run left under these names is replaced at the
    start; its ``metrics.json`` is removed, because it does not belong to these frames.

    Args:
        folder: Gets ``estimates.jsonl``, ``trajectory.tum``, ``estimates.csv`` and
            ``test_to_vertex_matches.csv``; the last three as :func:`write_results` writes them.
        radius: Metres within which an answer is right.
        heading: Degrees within which its rotation must be, too.

    Raises:
        PlaceMemoryError: The folder cannot be written to, or the disk is full.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with ResultStream(folder, radius=5.0):
        ...     pass
        >>> (folder / "estimates.csv").read_text()[:10]
        'name,stamp'
    """

    def __init__(self, folder: Path, *, radius: float, heading: float | None = None) -> None:
        self._radius, self._heading = radius, heading
        self._marked = False
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}
        self.paths = [folder / name for name in (LINES, TRAJECTORY, ESTIMATES, MATCHES)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / METRICS).unlink(missing_ok=True)
            for path in self.paths:
                self._files[path.name] = path.open("wb", buffering=0)
        except OSError as error:
            self.close()
            raise self._failed(error) from error
        self._append(ESTIMATES, _csv_line(estimate_columns()))
        self._append(MATCHES, _csv_line(match_columns()))

    def __enter__(self) -> ResultStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, estimate: Estimate) -> None:
        """Append an estimate to all files."""
        self._append(LINES, json.dumps(estimate.to_dict(), allow_nan=False) + "\n")
        line, self._marked = trajectory_line(estimate, self._marked)
        self._append(TRAJECTORY, line)
        self._append(ESTIMATES, _csv_line(estimate_row(estimate, self._radius, self._heading)))
        self._append(MATCHES, _csv_line(match_row(estimate)))

    def close(self) -> None:
        """Close the files; closing twice does no harm."""
        for file in self._files.values():
            file.close()

    def _append(self, name: str, text: str) -> None:
        rest = memoryview(text.encode("utf-8", errors="surrogateescape"))
        try:
            while rest:
                rest = rest[self._files[name].write(rest) :]
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> PlaceMemoryError:
        return PlaceMemoryError(
            f"{self._folder}: the results cannot be written ({error.strerror or error})"
        )


def _csv_line(row: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue()
