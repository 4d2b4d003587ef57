"""Numbers of a localised run that need no list of its frames."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from placememory._io import write_csv, write_json, write_text
from placememory._version import __version__
from placememory.errors import PlaceMemoryError
from placememory.frames import Pose
from placememory.localization.estimate import Estimate
from placememory.localization.run import Localization, Measured
from placememory.memory import PlaceMemory
from placememory.metrics.place_recall import RecallResult


@dataclass(slots=True)
class _Rank:
    """Similarities of one rank."""

    count: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf

    def add(self, value: float) -> None:
        self.count, self.total = self.count + 1, self.total + value
        self.least, self.most = min(self.least, value), max(self.most, value)

    def to_dict(self) -> dict[str, float]:
        return {"mean": self.total / self.count, "min": self.least, "max": self.most}


@dataclass(slots=True)
class Tally:
    """Counts that grow with each estimate, in memory that does not.

    Attributes:
        frames: Estimates.
        posed: Those with a pose.
        verdicts: How often each verdict was given; ``alone`` where frames are answered alone.
        notes: How often each note was.
        milliseconds: Time spent on answers, all frames together.

    Example:
        >>> Tally().words()
        'no frames'
    """

    frames: int = 0
    posed: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    milliseconds: float = 0.0
    _ranks: dict[int, _Rank] = field(default_factory=dict)

    @classmethod
    def of(cls, estimates: Iterable[Estimate]) -> Tally:
        """Count estimates that are there already."""
        tally = cls()
        for estimate in estimates:
            tally.add(estimate)
        return tally

    def add(self, estimate: Estimate) -> None:
        """Count one more."""
        self.frames += 1
        self.posed += estimate.pose is not None
        self.verdicts[estimate.verdict or "alone"] += 1
        if estimate.note:
            self.notes[estimate.note] += 1
        self.milliseconds += sum(estimate.milliseconds.values())
        for candidate in estimate.candidates:
            self._ranks.setdefault(candidate.rank, _Rank()).add(candidate.similarity)

    def words(self) -> str:
        """Verdicts and notes, most frequent first, such as ``90 located, 30 unknown``."""
        both = [*self.verdicts.most_common(), *self.notes.most_common()]
        return ", ".join(f"{count} {name}" for name, count in both) or "no frames"

    def similarity_per_rank(self) -> dict[str, dict[str, float]]:
        """Mean, least and largest similarity of each rank over all frames."""
        return {str(rank): self._ranks[rank].to_dict() for rank in sorted(self._ranks)}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "frames": self.frames,
            "frames_with_a_pose_found": self.posed,
            "ms_per_answer": self.milliseconds / self.frames if self.milliseconds else None,
            "verdict_counts": dict(self.verdicts),
            "notes": dict(self.notes),
        }


TRAJECTORY, ESTIMATES = "trajectory.tum", "estimates.csv"
MATCHES, METRICS = "test_to_vertex_matches.csv", "metrics.json"
TABLE_RANKS = 5
_NANOSECONDS = 1_000_000_000
_UNSTAMPED = "# frames without a stamp have their index in place of seconds\n"
_POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
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
    *(f"true_{name}" for name in _POSE),
    "error_m",
    "error_deg",
    "right",
    "verdict",
    "probability",
    "note",
)


def write_results(
    folder: Path,
    estimates: Sequence[Estimate],
    metrics: dict[str, Any],
    *,
    radius: float,
    heading: float | None = None,
) -> list[Path]:
    """Write the files of a localisation.

    Args:
        folder: Gets ``trajectory.tum``, ``estimates.csv``, ``test_to_vertex_matches.csv`` (the
            tutorial's table) and ``metrics.json``.
        estimates: In the order of the traverse.
        metrics: Numbers to write beside the similarity statistics.
        radius: Metres within which an answer is right.
        heading: Degrees within which its rotation must be, too.

    Returns:
        The paths of the files.

    Raises:
        PlaceMemoryError: The folder cannot be written to.
    """
    trajectory, table, matches = (folder / name for name in (TRAJECTORY, ESTIMATES, MATCHES))
    write_text(trajectory, "".join(trajectory_lines(estimates)))
    write_csv(table, estimate_columns(), (estimate_row(e, radius, heading) for e in estimates))
    write_csv(matches, match_columns(), (match_row(estimate) for estimate in estimates))
    return [trajectory, table, matches, write_metrics(folder, metrics, Tally.of(estimates))]


def write_metrics(folder: Path, metrics: dict[str, Any], tally: Tally) -> Path:
    """Write ``metrics.json`` alone, with the similarity statistics; its path."""
    path = folder / METRICS
    write_json(path, {**metrics, "similarity_per_rank": tally.similarity_per_rank()})
    return path


def metrics_of(
    memory: PlaceMemory,
    result: Localization,
    measured: Measured | None,
    tally: Tally | None = None,
) -> dict[str, Any]:
    """Numbers of a localised run as plain values, with what they were made with.

    Args:
        memory: That answered.
        result: The run.
        measured: How right it is.
        tally: Of all frames, where the result does not keep them.
    """
    tally = tally or Tally.of(result.estimates)
    check = measured.map_frames if measured else None
    return {
        "software": f"placememory {__version__}",
        "memory": memory.uri,
        "encoder": memory.card.name,
        "encoder_hash": memory.card.hash,
        "places": len(memory),
        **tally.to_dict(),
        "bad_images": [name for name, _ in result.bad],
        "ms_per_frame": 1e3 * result.seconds / max(1, tally.frames),
        "recall": measured.recall.to_dict() if measured else None,
        "map_frames": {"differ": check.differs, "text": str(check)} if check else None,
    }


def recall_rows(recall: RecallResult) -> list[tuple[str, str, str]]:
    """Rows of a table for people: what, value, 95% interval."""
    error = recall.median_error
    return [
        *(
            (f"recall@{k}", f"{100 * r.value:.1f} %", f"{100 * r.low:.1f} to {100 * r.high:.1f} %")
            for k, r in recall.recalls.items()
        ),
        ("median error", f"{error.value:.2f} m", f"{error.low:.2f} to {error.high:.2f} m"),
        ("queries counted", f"{recall.counted} of {recall.queries}", ""),
    ]


def trajectory_lines(estimates: Sequence[Estimate]) -> Iterator[str]:
    """Lines of a TUM trajectory: seconds, x y z in metres, quaternion x y z w.

    Frames without a stamp get their index as seconds, and the first of them a comment before it;
    unknown rotations are written as none.
    """
    marked = False
    for estimate in estimates:
        line, marked = trajectory_line(estimate, marked)
        yield line


def trajectory_line(estimate: Estimate, marked: bool) -> tuple[str, bool]:
    """The line of one estimate, empty without a pose, and whether the comment is written now.

    Args:
        estimate: The newest.
        marked: Whether the comment on frames without a stamp was written before.
    """
    pose, frame = estimate.pose, estimate.frame
    comment = "" if marked or frame.stamp is not None else _UNSTAMPED
    marked = marked or bool(comment)
    if pose is None:
        return comment, marked
    stamp = frame.stamp if frame.stamp is not None else frame.index * _NANOSECONDS
    whole, part = divmod(stamp, _NANOSECONDS)
    quaternion = pose.quaternion or (0.0, 0.0, 0.0, 1.0)
    numbers = " ".join(f"{value:.6f}" for value in (pose.x, pose.y, pose.z))
    turns = " ".join(f"{value:.9f}" for value in quaternion)
    return f"{comment}{whole}.{part:09d} {numbers} {turns}\n", marked


def estimate_columns() -> tuple[str, ...]:
    """Columns of ``estimates.csv``."""
    return _COLUMNS


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
        radius: Metres within which an answer is right.
        heading: Degrees within which its rotation must be, too.
    """
    frame, best = estimate.frame, estimate.best
    place = best.place if best is not None else None
    right = estimate.rights(radius, heading)[0] if best is not None else None
    error = angle = None
    if frame.pose is not None and estimate.pose is not None:
        error = round(frame.pose.distance_to(estimate.pose), 6)
        turn = frame.pose.angle_to(estimate.pose)
        angle = None if np.isnan(turn) else round(turn, 4)
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
        *_pose_cells(frame.pose),
        error,
        angle,
        None if right is None else int(right),
        estimate.verdict,
        None if estimate.probability is None else round(estimate.probability, 6),
        estimate.note or None,
    ]


def _pose_cells(pose: Pose | None) -> list[float | None]:
    if pose is None:
        return [None] * len(_POSE)
    return [pose.x, pose.y, pose.z, *(pose.quaternion or (None,) * 4)]


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
