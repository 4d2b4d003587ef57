"""The files of a localised run, written line by line while it runs."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from placememory._io import Closing, csv_line, write_json
from placememory.errors import PlaceMemoryError
from placememory.frames import Pose
from placememory.localization.estimate import Estimate
from placememory.localization.localizer import Localizer
from placememory.localization.run import LocalizedRun, RunScore, follow
from placememory.localization.stream import Stream

LINES, TRAJECTORY, ESTIMATES = "estimates.jsonl", "trajectory.tum", "estimates.csv"
MATCHES, METRICS = "test_to_vertex_matches.csv", "metrics.json"
TABLE_RANKS = 5
_NANOSECONDS = 1_000_000_000
_UNSTAMPED = "# frames without a stamp have their index in place of seconds\n"
_POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
_COVARIANCE = {"xx": (0, 0), "xy": (0, 1), "yy": (1, 1), "xyaw": (0, 5), "yyaw": (1, 5),
               "yawyaw": (5, 5)}  # fmt: skip
_COLUMNS = (
    "name",
    "stamp",
    "session",
    "place_index",
    "place_name",
    "vertex_id",
    "floor",
    "similarity",
    *_POSE,
    *(f"hypothesis_{name}" for name in _POSE),
    *(f"covariance_{name}" for name in _COVARIANCE),
    *(f"true_{name}" for name in _POSE),
    "error_m",
    "error_deg",
    "correct",
    "verdict",
    "probability",
    "reason",
    "age_s",
    "note",
)


class RunWriter(Closing):
    """Appends each estimate of a run to its files as it comes.

    Each line is handed to the system whole, so a process that is killed leaves whole lines, and a
    reader may follow the files. What an earlier run left under these names is replaced at the
    start; its ``metrics.json`` is removed, because it does not belong to these frames.

    Args:
        folder: Gets ``estimates.jsonl``, ``trajectory.tum`` (seconds, x y z in metres, quaternion
            x y z w), ``estimates.csv``, ``test_to_vertex_matches.csv`` (the tutorial's table) and,
            at the end, ``metrics.json``.
        radius: Metres within which an answer is correct.
        heading: Degrees within which its rotation must be, too.

    Raises:
        PlaceMemoryError: The folder cannot be written to, or the disk is full.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with RunWriter(folder, radius=5.0):
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
            raise self._error(error) from error
        self._append(ESTIMATES, csv_line(_COLUMNS))
        self._append(MATCHES, csv_line(match_columns()))

    def write(self, estimate: Estimate) -> None:
        """Append an estimate to all files."""
        self._append(LINES, json.dumps(estimate.to_dict(), allow_nan=False) + "\n")
        self._append(TRAJECTORY, self._trajectory_line(estimate))
        self._append(ESTIMATES, csv_line(estimate_row(estimate, self._radius, self._heading)))
        self._append(MATCHES, csv_line(match_row(estimate)))

    def finish(
        self, run: LocalizedRun, score: RunScore | None, more: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Write ``metrics.json`` and close the files.

        Args:
            run: The run that was written.
            score: Of the run, where its frames have true poses.
            more: Further values for the file.

        Returns:
            What was written.
        """
        self.close()
        metrics = {**run.to_dict(score), **(more or {})}
        write_json(self._folder / METRICS, metrics)
        self.paths.append(self._folder / METRICS)
        return metrics

    def close(self) -> None:
        """Close the files; closing twice does no harm."""
        for file in self._files.values():
            file.close()

    def _trajectory_line(self, estimate: Estimate) -> str:
        """A line of a TUM file, empty without a pose; unknown rotations are written as none.

        Frames without a stamp get their index as seconds, and the first of them a comment.
        """
        pose, frame = estimate.pose, estimate.frame
        comment = "" if self._marked or frame.stamp is not None else _UNSTAMPED
        self._marked = self._marked or bool(comment)
        if pose is None:
            return comment
        stamp = frame.stamp if frame.stamp is not None else frame.index * _NANOSECONDS
        whole, part = divmod(stamp, _NANOSECONDS)
        quaternion = pose.quaternion or (0.0, 0.0, 0.0, 1.0)
        numbers = " ".join(f"{value:.6f}" for value in (pose.x, pose.y, pose.z))
        turns = " ".join(f"{value:.9f}" for value in quaternion)
        return f"{comment}{whole}.{part:09d} {numbers} {turns}\n"

    def _append(self, name: str, text: str) -> None:
        rest, file = memoryview(text.encode("utf-8", errors="surrogateescape")), self._files[name]
        start = file.tell()
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):  # whole lines, also where the disk is full
                file.truncate(start)
            raise self._error(error) from error

    def _error(self, error: OSError) -> PlaceMemoryError:
        return PlaceMemoryError(
            f"{self._folder}: the results cannot be written ({error.strerror or error})"
        )


def record(
    localizer: Localizer,
    stream: Stream,
    folder: Path,
    *,
    radius: float,
    heading: float | None = None,
    skip_bad: bool = False,
    on_estimate: Callable[[Estimate], None] | None = None,
) -> tuple[LocalizedRun, RunWriter]:
    """Localise a stream; a line for each frame is on disk before the next frame is read.

    Args:
        localizer: Ready; it is not reset.
        stream: Of :func:`placememory.localization.stream.open_stream`.
        folder: Gets the files of :class:`RunWriter`. Where the stream has no frame that can be
            read, what an earlier run left there stays.
        radius: Metres within which an answer is correct.
        heading: Degrees within which its rotation must be, too.
        skip_bad: Go on where an image cannot be read; otherwise the first one ends the stream.
        on_estimate: Called with each estimate as it is made.

    Returns:
        The run, and the writer, whose :meth:`RunWriter.finish` writes ``metrics.json``.
    """
    if stream.motions is not None:
        stream.motions.fit(localizer.plane)
    with closing(stream.steps()) as steps:
        first = list(islice(steps, 1))
        with RunWriter(folder, radius=radius, heading=heading) as files:

            def write(estimate: Estimate) -> None:
                files.write(estimate)
                if on_estimate is not None:
                    on_estimate(estimate)

            run = follow(
                localizer,
                chain(first, steps),
                skip_bad=skip_bad,
                keep=stream.keep,
                on_estimate=write,
            )
    return run, files


def match_columns() -> list[str]:
    """Columns of the tutorial's table.

    Example:
        >>> match_columns()[:4]
        ['test_image', 'rank_1_vertex', 'rank_1_score', 'rank_1_train_img']
    """
    columns = ["test_image"]
    for rank in range(1, TABLE_RANKS + 1):
        columns += [f"rank_{rank}_vertex", f"rank_{rank}_score", f"rank_{rank}_train_img"]
    return columns


def match_row(estimate: Estimate) -> list[Any]:
    """One row of the tutorial's table; a place without a vertex id has -1, as there."""
    row: list[Any] = [estimate.frame.name]
    for rank in range(TABLE_RANKS):
        if rank >= len(estimate.candidates):
            row += [None, None, None]
            continue
        candidate = estimate.candidates[rank]
        vertex = candidate.place.vertex_id
        row += [
            -1 if vertex is None else vertex,
            round(candidate.similarity, 6),
            candidate.place.name,
        ]
    return row


def estimate_row(estimate: Estimate, radius: float, heading: float | None = None) -> list[Any]:
    """One row of ``estimates.csv``.

    Args:
        estimate: Of a frame.
        radius: Metres within which an answer is correct.
        heading: Degrees within which its rotation must be, too.
    """
    frame, best = estimate.frame, estimate.best
    place = best.place if best is not None else None
    correct = estimate.judge_candidates(radius, heading)[0] if best is not None else None
    error = angle = None
    judged, spread = estimate.judged, estimate.covariance
    if frame.pose is not None and judged is not None:
        error = round(frame.pose.distance_to(judged), 6)
        turn = frame.pose.angle_to(judged)
        angle = None if math.isnan(turn) else round(turn, 4)
    return [
        frame.name,
        frame.stamp,
        place.session if place else None,
        place.index if place else None,
        place.name if place else None,
        place.vertex_id if place else None,
        place.floor if place else None,
        round(best.similarity, 6) if best else None,
        *_pose_cells(estimate.pose),
        *_pose_cells(estimate.hypothesis),
        *(None if spread is None else float(spread[at]) for at in _COVARIANCE.values()),
        *_pose_cells(frame.pose),
        error,
        angle,
        None if correct is None else int(correct),
        estimate.verdict,
        None if estimate.probability is None else round(estimate.probability, 6),
        estimate.reason or None,
        None if estimate.age is None else round(estimate.age, 6),
        estimate.note or None,
    ]


def _pose_cells(pose: Pose | None) -> list[float | None]:
    if pose is None:
        return [None] * len(_POSE)
    return [pose.x, pose.y, pose.z, *(pose.quaternion or (None,) * 4)]
