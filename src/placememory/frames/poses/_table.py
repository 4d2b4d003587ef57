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
from placememory.frames.names import parse_name
from placememory.frames.pose import Pose

DEFAULT_MAX_GAP = 0.05
_NANOSECONDS = 1_000_000_000
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
    """

    total: int
    by: dict[str, int]
    without: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

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

    Example:
        >>> table = PoseTable([PoseRecord(Pose(1.0, 2.0), name="a.png")])
        >>> frames, report = table.join([Frame("a.png", "run", 0), Frame("b.png", "run", 1)])
        >>> frames[0].pose.y, str(report)
        (2.0, '1 of 2 frames have a pose (1 by name); without a pose, first b.png')
    """

    records: Sequence[PoseRecord]
    source: str = ""
    _index: _Index = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", _Index(self.records, self.source))

    def join(
        self, frames: Iterable[Frame], *, max_gap: float = DEFAULT_MAX_GAP
    ) -> tuple[list[Frame], JoinReport]:
        """Give each frame its pose, found by name, else vertex id, else stamp, else number.

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
        joined, by, clashes = [], Counter[str](), 0
        for frame in frames:
            key, record = self._index.find(frame, int(max_gap * _NANOSECONDS))
            if record is None:
                if frame.pose is not None:
                    by["file name"] += 1
                joined.append(frame)
                continue
            by[key] += 1
            clashes += key == "vertex id" and _stamps_differ(frame.stamp, record.stamp)
            joined.append(_with_record(frame, record))
        without = tuple(frame.name for frame in joined if frame.pose is None)
        warnings = _clash_warning(clashes, by["vertex id"])
        return joined, JoinReport(len(joined), dict(by), without, warnings)


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

    def _find_by_name(self, name: str) -> PoseRecord | None:
        if name in self.names:
            return self.names[name]
        alike = self.tails.get(PurePosixPath(name).name, [])
        same = [record for record in alike if _same_tail(record.name or "", name)]
        return same[0] if len(same) == 1 else None

    def _nearest(self, stamp: int, max_gap: int) -> PoseRecord | None:
        at = bisect_left(self.stamps, stamp)
        near = [i for i in (at - 1, at) if 0 <= i < len(self.stamps)]
        best = min(near, key=lambda i: abs(self.stamps[i] - stamp), default=None)
        if best is None or abs(self.stamps[best] - stamp) > max_gap:
            return None
        return self.stamped[best]


def _same_tail(first: str, second: str) -> bool:
    """Whether one path is the other seen from a folder further down."""
    return f"/{first}".endswith(f"/{second}") or f"/{second}".endswith(f"/{first}")


def _put(index: dict[_Key, PoseRecord], key: _Key, record: PoseRecord, source: str) -> None:
    if key in index and index[key].pose != record.pose:
        raise PoseError(f"{source}: {key!r} occurs twice with different poses")
    index[key] = record
