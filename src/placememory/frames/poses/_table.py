"""A table of poses and how it is joined to frames: by key, never by row number."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TypeVar

from placememory.errors import PoseError, SettingError
from placememory.frames.frame import Frame
from placememory.frames.images import SUFFIXES
from placememory.frames.names import parse_name
from placememory.frames.pose import Pose
from placememory.frames.poses._explain import explain_gap, explain_names, explain_times
from placememory.frames.units import UNITS

DEFAULT_MAX_GAP = 0.05
LEAST_SHARE = 0.1
"""Of the frames that must find a pose where poses are given."""

_NANOSECONDS = 1_000_000_000
_SAME_SPAN = 0.9
_Key = TypeVar("_Key", str, int)


@dataclass(frozen=True, slots=True)
class PoseRecord:
    """One pose with the keys by which a frame may find it.

    Attributes:
        pose: Body in world.
        name: Image name.
        vertex_id: Id of a SLAM vertex.
        stamp: Nanoseconds.
        number: Frame number, for formats that have no other key (KITTI).
        session: Overrides the frame's session.
        floor: Overrides the frame's floor.
    """

    pose: Pose | None
    name: str | None = None
    vertex_id: int | None = None
    stamp: int | None = None
    number: int | None = None
    session: str | None = None
    floor: str | None = None


@dataclass(frozen=True, slots=True)
class JoinReport:
    """How frames found their poses.

    Attributes:
        total: Count of frames.
        by: Count of frames per key ("name", "vertex id", "stamp", "number", "file name").
        without: Names of the frames that have no pose.
        warnings: What looks wrong.
        source: Where the poses were read.
        cause: Why frames found none, and what helps, where most did not; else empty.
    """

    total: int
    by: dict[str, int]
    without: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    source: str = ""
    cause: str = ""

    @property
    def joined(self) -> int:
        """Count of frames that found a pose of the source; those in file names do not count."""
        return sum(count for key, count in self.by.items() if key != "file name")

    def check(self) -> None:
        """Refuse a join that found poses for none of the frames, or for under a tenth.

        Raises:
            PoseError: It did; says the likely cause and what helps.

        Example:
            >>> JoinReport(20, {"name": 1}, source="a.csv", cause="names differ").check()
            Traceback (most recent call last):
            ...
            placememory.errors.PoseError: a.csv: only 1 of 20 frames finds a pose: names differ
        """
        if not self.total or self.joined >= max(1, LEAST_SHARE * self.total):
            return
        found = f"only {self.joined}" if self.joined else "none"
        verb = "finds" if self.joined < 2 else "find"
        why = self.cause or f"the first without one is {next(iter(self.without), '')!r}"
        raise PoseError(f"{self.source}: {found} of {self.total} frames {verb} a pose: {why}")

    def __str__(self) -> str:
        """One line, such as ``118 of 120 frames have a pose (118 by vertex id)``."""
        found = self.total - len(self.without)
        how = ", ".join(f"{count} by {key}" for key, count in self.by.items())
        line = f"{found} of {self.total} frames have a pose" + (f" ({how})" if how else "")
        if self.without:
            line += f"; without a pose, first {self.without[0]}"
        return line


@dataclass(frozen=True)
class PoseTable:
    """Poses of one file, and the join to frames.

    Attributes:
        records: In the order of the file.
        source: Where they were read, for messages.
        notes: What the reader left out, or read in one of two ways.

    Example:
        >>> table = PoseTable([PoseRecord(Pose(1.0, 2.0), name="a.png")])
        >>> frames, report = table.join([Frame("a.png", "run", 0), Frame("b.png", "run", 1)])
        >>> frames[0].pose.y, str(report)
        (2.0, '1 of 2 frames have a pose (1 by name); without a pose, first b.png')
    """

    records: Sequence[PoseRecord]
    source: str = ""
    notes: tuple[str, ...] = ()
    _index: _Index = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", _Index(self.records, self.source))

    def join(
        self, frames: Iterable[Frame], *, max_gap: float = DEFAULT_MAX_GAP
    ) -> tuple[list[Frame], JoinReport]:
        """Give each frame its pose, found by name, else vertex id, else stamp, else number.

        A name may lack folders, or differ in case or in the suffix of the image, where that leaves
        one. Units of stamps, and the first number of a file without keys, are fitted to the frames
        (:meth:`fit`).

        Args:
            frames: Frames, with or without poses of their own; a pose found here wins.
            max_gap: Largest difference between two stamps that count as the same, in seconds.

        Returns:
            The frames with poses (``None`` where none was found), and how they were found.

        Raises:
            SettingError: The gap is negative or not finite.
        """
        if not 0 <= max_gap < math.inf:
            raise SettingError(f"the largest gap is zero or more seconds, not {max_gap}")
        frames = list(frames)
        table, frames = self.fit(frames, max_gap=max_gap)
        joined, by, clashes = [], Counter[str](), 0
        for frame in frames:
            key, record = table._index.find(frame, int(max_gap * _NANOSECONDS))
            if record is None:
                if frame.pose is not None:
                    by["file name"] += 1
                joined.append(frame)
                continue
            by[key] += 1
            clashes += key == "vertex id" and _stamps_differ(frame.stamp, record.stamp)
            joined.append(_with_record(frame, record))
        without = tuple(frame.name for frame in joined if frame.pose is None)
        warnings = (*table.notes, *_clash_warning(clashes, by["vertex id"]))
        report = JoinReport(len(joined), dict(by), without, warnings, self.source)
        if report.joined < len(joined) * LEAST_SHARE:
            report = replace(report, cause=table._index.explain(joined, max_gap))
        return joined, report

    def fit(
        self, frames: Sequence[Frame], *, max_gap: float = DEFAULT_MAX_GAP
    ) -> tuple[PoseTable, list[Frame]]:
        """Read stamps and numbers so that frames and poses meet; notes say what was changed.

        Where the times of the two do not overlap, but do with one taken in another unit, so it is
        taken. Frames that have numbers and no stamps get stamps, where their numbers in one unit
        span the times of the poses. Rows without any key are counted from the first frame's number,
        where there are as many as frames.

        Args:
            frames: At least two; with fewer nothing is changed.
            max_gap: Seconds.

        Example:
            >>> table = PoseTable([PoseRecord(Pose(t, 0), stamp=t) for t in range(5)])  # not ns
            >>> fitted, _ = table.fit([Frame("", "", t, stamp=t * 10**9) for t in range(2, 5)])
            >>> fitted.records[4].stamp, fitted.notes[0][:40]
            (4000000000, 'stamps of the poses are multiplied by 10')
        """
        frames = list(frames)
        index, gap = self._index, int(max_gap * _NANOSECONDS)
        if len(frames) < 2:
            return self, frames
        if index.numbers and not (index.names or index.vertices or index.stamps):
            return self._counted_from(frames), frames
        if not index.stamps or index.names or index.vertices:
            return self, frames
        stamps = [frame.stamp for frame in frames if frame.stamp is not None]
        if not stamps:
            return self._stamped_by_numbers(frames)
        if sum(index.has_near(stamp, gap) for stamp in stamps):
            return self, frames
        for power in (9, -9, 6, -6, 3, -3):
            scaled = [_scale(stamp, power) for stamp in index.stamps]
            found = sum(_is_near(scaled, stamp, gap) for stamp in stamps)
            if found >= max(2, len(stamps) / 2):
                missed = explain_times(_span(stamps), _span(index.stamps))
                note = (
                    f"stamps of the poses are multiplied by 10^{power}, so that they meet those of "
                    f"the images; as they stand, {missed}"
                )
                records = [
                    r if r.stamp is None else replace(r, stamp=_scale(r.stamp, power))
                    for r in self.records
                ]
                return replace(self, records=records, notes=(*self.notes, note)), frames
        return self, frames

    def _counted_from(self, frames: list[Frame]) -> PoseTable:
        numbers = [parse_name(frame.name).number for frame in frames]
        known = sorted(number for number in numbers if number is not None)
        count, shift = len(self.records), known[0] if known else 0
        rows = sorted(self._index.numbers) == list(range(count))
        if not shift or not rows or known != list(range(shift, shift + count)):
            return self
        note = (
            f"rows are counted from {shift}: images have the numbers {shift} to {known[-1]}, and "
            f"there are {count} rows"
        )
        records = [replace(r, number=(r.number or 0) + shift) for r in self.records]
        return replace(self, records=records, notes=(*self.notes, note))

    def _stamped_by_numbers(self, frames: list[Frame]) -> tuple[PoseTable, list[Frame]]:
        numbers = [parse_name(frame.name).number for frame in frames]
        known = [number for number in numbers if number is not None]
        start, end = self._index.stamps[0], self._index.stamps[-1]
        if len(known) < len(frames) or end == start:
            return self, frames
        for unit, size in UNITS.items():
            first, last = min(known) * size, max(known) * size
            overlap = min(last, end) - max(first, start)
            if overlap < _SAME_SPAN * (max(last, end) - min(first, start)):
                continue
            note = f"the numbers in the names are read as stamps in {unit}: they span the poses"
            stamped = [
                replace(frame, stamp=number * size)
                for frame, number in zip(frames, known, strict=True)
            ]
            return replace(self, notes=(*self.notes, note)), stamped
        return self, frames


def _scale(stamp: int, power: int) -> int:
    size: int = 10 ** abs(power)
    return stamp * size if power > 0 else stamp // size


def _span(stamps: Sequence[int]) -> tuple[int, int]:
    return min(stamps), max(stamps)


def _with_record(frame: Frame, record: PoseRecord) -> Frame:
    return replace(
        frame,
        pose=record.pose,
        vertex_id=frame.vertex_id if frame.vertex_id is not None else record.vertex_id,
        stamp=frame.stamp if frame.stamp is not None else record.stamp,
        session=record.session or frame.session,
        floor=record.floor or frame.floor,
    )


def _stamps_differ(first: int | None, second: int | None) -> bool:
    return first is not None and second is not None and abs(first - second) > _NANOSECONDS


def _clash_warning(clashes: int, total: int) -> tuple[str, ...]:
    if clashes * 2 <= total:
        return ()
    return (
        f"{clashes} of {total} frames found a vertex by id whose stamp differs by more than a "
        "second: are these the poses of another mission?",
    )


class _Index:
    """Records by each of their keys."""

    def __init__(self, records: Sequence[PoseRecord], source: str) -> None:
        self.names: dict[str, PoseRecord] = {}
        self.tails: dict[str, list[PoseRecord]] = {}
        self.vertices: dict[int, PoseRecord] = {}
        self.numbers: dict[int, PoseRecord] = {}
        for record in records:
            if record.name is not None:
                _put(self.names, record.name, record, source)
                self.tails.setdefault(PurePosixPath(record.name).name, []).append(record)
            if record.vertex_id is not None:
                _put(self.vertices, record.vertex_id, record, source)
            if record.number is not None:
                _put(self.numbers, record.number, record, source)
        stamped = [(record.stamp, record) for record in records if record.stamp is not None]
        stamped.sort(key=lambda pair: pair[0])
        self.stamps = [stamp for stamp, _ in stamped]
        self.stamped = [record for _, record in stamped]
        self._loose: dict[str, list[tuple[str, PoseRecord]]] | None = None

    def find(self, frame: Frame, max_gap: int) -> tuple[str, PoseRecord | None]:
        """The record of a frame with the key that found it."""
        if (record := self._find_by_name(frame.name)) is not None:
            return "name", record
        if frame.vertex_id is not None and frame.vertex_id in self.vertices:
            return "vertex id", self.vertices[frame.vertex_id]
        if frame.stamp is not None and (record := self._nearest(frame.stamp, max_gap)) is not None:
            return "stamp", record
        number = parse_name(frame.name).number if self.numbers else None
        return "number", self.numbers.get(number) if number is not None else None

    def has_near(self, stamp: int, max_gap: int) -> bool:
        """Whether a stamp finds a record."""
        return _is_near(self.stamps, stamp, max_gap)

    def explain(self, frames: Sequence[Frame], max_gap: float) -> str:
        """Why these frames find no poses."""
        without = [frame for frame in frames if frame.pose is None] or list(frames)
        stamps = [frame.stamp for frame in without if frame.stamp is not None]
        said = []
        if self.names:
            said.append(explain_names([frame.name for frame in without], list(self.names)))
        if self.stamps and stamps:
            apart = explain_times(_span(stamps), _span(self.stamps))
            said.append(apart or explain_gap(stamps, self.stamps, max_gap))
        elif self.stamps and not self.names:
            said.append(
                f"the poses have stamps, and images are called like {without[0].name!r}, which is "
                "no stamp; rename them by their stamps, or give a table with the columns name, x, y"
            )
        if self.vertices and not self.names:
            said.append(
                f"the poses are of vertices such as {next(iter(self.vertices))}, and images are "
                f"called like {without[0].name!r}, not vertex_<id>"
            )
        if self.numbers and not (self.names or self.stamps or self.vertices):
            said.append(
                f"row i of the {len(self.numbers)} rows belongs to image number i, and images are "
                f"called like {without[0].name!r}; give a table with the columns name, x, y, or "
                "number the images from 0"
            )
        return "; ".join(said)

    def _find_by_name(self, name: str) -> PoseRecord | None:
        if name in self.names:
            return self.names[name]
        alike = self.tails.get(PurePosixPath(name).name, [])
        same = [record for record in alike if _same_tail(record.name or "", name)]
        if same:
            return same[0] if len(same) == 1 else None
        loose = _loose_name(name)
        if self._loose is None:
            self._loose = {}
            for other, record in self.names.items():
                key = _loose_name(other)
                self._loose.setdefault(key.rpartition("/")[2], []).append((key, record))
        near = self._loose.get(loose.rpartition("/")[2], [])
        same = [record for other, record in near if _same_tail(other, loose)]
        return same[0] if len(same) == 1 else None

    def _nearest(self, stamp: int, max_gap: int) -> PoseRecord | None:
        best = _nearest(self.stamps, stamp)
        if best is None or abs(self.stamps[best] - stamp) > max_gap:
            return None
        return self.stamped[best]


def _nearest(stamps: Sequence[int], stamp: int) -> int | None:
    """Position of the nearest of sorted stamps."""
    at = bisect_left(stamps, stamp)
    near = [i for i in (at - 1, at) if 0 <= i < len(stamps)]
    return min(near, key=lambda i: abs(stamps[i] - stamp), default=None)


def _is_near(stamps: Sequence[int], stamp: int, max_gap: int) -> bool:
    best = _nearest(stamps, stamp)
    return best is not None and abs(stamps[best] - stamp) <= max_gap


def _loose_name(name: str) -> str:
    """A name without case, and without the suffix of an image."""
    stem, point, suffix = name.casefold().rpartition(".")
    return stem if point and f".{suffix}" in SUFFIXES else name.casefold()


def _same_tail(first: str, second: str) -> bool:
    """Whether one path is the other seen from a folder further down."""
    return f"/{first}".endswith(f"/{second}") or f"/{second}".endswith(f"/{first}")


def _put(index: dict[_Key, PoseRecord], key: _Key, record: PoseRecord, source: str) -> None:
    if key in index and index[key].pose != record.pose:
        raise PoseError(f"{source}: {key!r} occurs twice with different poses")
    index[key] = record
