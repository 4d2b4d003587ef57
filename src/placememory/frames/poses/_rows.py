"""Rows of a pose file: what cannot be is left out and counted, and the unit of stamps is found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from placememory.errors import PoseError
from placememory.frames.pose import Pose
from placememory.frames.poses._table import PoseRecord, PoseTable
from placememory.frames.tables import at
from placememory.frames.units import decimal_of, stamps_of


@dataclass
class Rows:
    """Collects the records of a file.

    Rows whose position is not finite are left out; of a rotation that is zero or not finite, the
    position is kept. Both are counted, and what is left unsaid of stamps is decided at the end,
    over all of them.
    """

    path: Path
    records: list[PoseRecord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _stamps: list[Decimal | None] = field(default_factory=list)
    _left_out: list[int] = field(default_factory=list)
    _unturned: list[int] = field(default_factory=list)

    def add(
        self,
        line: int,
        position: Sequence[float],
        quaternion: Sequence[float] | None = None,
        *,
        stamp: str | None = None,
        frame_id: str = "map",
        **keys: Any,
    ) -> None:
        """Add a row.

        Args:
            line: Its number.
            position: x, y, z in metres.
            quaternion: x, y, z, w.
            stamp: As it is written.
            frame_id: Of the pose.
            keys: Others of the :class:`PoseRecord`.

        Raises:
            PoseError: The stamp is none.
        """
        if not all(map(math.isfinite, position)):
            self._left_out.append(line)
            return
        turn = None if quaternion is None else tuple(quaternion)
        if turn is not None and not 1e-9 <= math.sqrt(sum(q * q for q in turn)) < math.inf:
            self._unturned.append(line)
            turn = None
        x, y, z = position
        rotation = None if turn is None else (turn[0], turn[1], turn[2], turn[3])
        self.keep(line, Pose(x, y, z, rotation, frame_id), stamp=stamp, **keys)

    def keep(self, line: int, pose: Pose | None, *, stamp: str | None = None, **keys: Any) -> None:
        """Add a row whose pose is made already, or has none.

        Raises:
            PoseError: The stamp is none.
        """
        with at(self.path, line):
            self._stamps.append(decimal_of(stamp) if stamp else None)
        self.records.append(PoseRecord(pose, **keys))

    def leave_out(self, line: int) -> None:
        """Count a row that holds no pose."""
        self._left_out.append(line)

    def table(self, unit: str = "") -> PoseTable:
        """The table.

        Args:
            unit: Of the stamps; a key of ``UNITS``, or empty where it is to be found.

        Raises:
            PoseError: There is no pose, or a stamp does not fit the others.
        """
        written = [stamp for stamp in self._stamps if stamp is not None]
        records = self.records
        if written:
            try:
                stamps, doubt = stamps_of(written, unit)
            except PoseError as error:
                raise PoseError(f"{self.path}: {error}") from error
            self.notes += [doubt] if doubt else []
            following = iter(stamps)
            records = [
                record if stamp is None else replace(record, stamp=next(following))
                for record, stamp in zip(records, self._stamps, strict=True)
            ]
        self._count(self._left_out, "rows hold no finite pose and are left out")
        self._count(self._unturned, "rows hold no rotation; their positions are used")
        if not records and self._left_out:
            raise PoseError(f"{self.path}: the file holds no poses; {self.notes[-1]}")
        return PoseTable(records, str(self.path), tuple(f"{self.path}: {n}" for n in self.notes))

    def _count(self, lines: list[int], what: str) -> None:
        if lines:
            self.notes.append(f"{len(lines)} {what} (first line {lines[0]})")


def nwu(x: float, y: float, z: float) -> tuple[float, float, float]:
    """A position whose y points right and z down, with y left and z up."""
    return x, -y, -z


def nwu_turn(quaternion: Sequence[float]) -> tuple[float, float, float, float]:
    """A rotation (x, y, z, w) between two frames whose y points right and z down, likewise.

    Example:
        >>> nwu_turn((0.1, 0.2, 0.3, 0.4))
        (0.1, -0.2, -0.3, 0.4)
    """
    x, y, z, w = quaternion
    return x, -y, -z, w


def turn_of(roll: float, pitch: float, yaw: float) -> tuple[float, float, float, float]:
    """Quaternion (x, y, z, w) of radians about the fixed axes x, y, z; NaN where one is.

    Example:
        >>> [round(v, 3) for v in turn_of(0.0, 0.0, math.pi / 2)]
        [0.0, 0.0, 0.707, 0.707]
    """
    (sx, cx), (sy, cy), (sz, cz) = (
        (math.sin(angle / 2), math.cos(angle / 2)) for angle in (roll, pitch, yaw)
    )
    return (
        sx * cy * cz - cx * sy * sz,
        cx * sy * cz + sx * cy * sz,
        cx * cy * sz - sx * sy * cz,
        cx * cy * cz + sx * sy * sz,
    )
