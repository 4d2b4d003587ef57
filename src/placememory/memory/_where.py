"""Filters of a search: which places may answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placememory.errors import SettingError
from placememory.memory._rows import Rows


@dataclass(frozen=True, slots=True)
class Where:
    """Which places may answer; conditions are joined by *and*, ``None`` asks nothing.

    Attributes:
        session: One session, or several.
        stamp: First and last stamp in nanoseconds, both included.
        near: x, y in metres for a circle on the ground, or x, y, z for a ball; needs ``radius``.
        radius: Metres, the border included.
        floor: Name of the floor.

    Raises:
        SettingError: ``near`` without ``radius`` or the other way round, or a negative radius.

    Example:
        >>> Where(session="run1", near=(1.0, 2.0), radius=5.0).session
        'run1'
    """

    session: str | Sequence[str] | None = None
    stamp: tuple[int, int] | None = None
    near: tuple[float, ...] | None = None
    radius: float | None = None
    floor: str | None = None

    def __post_init__(self) -> None:
        if (self.near is None) != (self.radius is None):
            raise SettingError("a search near a pose needs both the position and the radius")
        if self.near is not None and len(self.near) not in (2, 3):
            raise SettingError(f"a position is x, y or x, y, z; not {self.near}")
        if self.radius is not None and not self.radius >= 0:
            raise SettingError(f"a radius is zero or more metres, not {self.radius}")

    @property
    def sessions(self) -> tuple[str, ...] | None:
        """The sessions asked for, or ``None`` for all."""
        if self.session is None:
            return None
        return (self.session,) if isinstance(self.session, str) else tuple(self.session)

    def rows(self, rows: Rows) -> NDArray[np.int64]:
        """Numbers of the rows that meet all conditions, increasing."""
        allowed = np.ones(len(rows), dtype=bool)
        if self.sessions is not None:
            allowed &= np.array([p.session in self.sessions for p in rows.places], dtype=bool)
        if self.stamp is not None:
            first, last = self.stamp
            allowed &= np.array(
                [p.stamp is not None and first <= p.stamp <= last for p in rows.places], dtype=bool
            )
        if self.floor is not None:
            allowed &= np.array([p.floor == self.floor for p in rows.places], dtype=bool)
        if self.near is not None and self.radius is not None:
            axes = len(self.near)
            distance = np.linalg.norm(rows.positions[:, :axes] - np.array(self.near), axis=1)
            allowed &= distance <= self.radius
        return np.flatnonzero(allowed)
