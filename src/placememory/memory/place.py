"""Place: what a memory stores of a reference frame. Candidate: a place with its similarity."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from placememory._registry import require
from placememory.errors import InputError
from placememory.frames import Frame, Pose, fit_origin

PlaceId = tuple[str, int]
_INT64 = 1 << 63
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Place:
    """What a memory stores of a reference frame, beside its descriptors.

    Attributes:
        session: The traverse the frame belongs to.
        index: Position within the session.
        name: Image name.
        stamp: Nanoseconds; ``None`` if unknown.
        vertex_id: Id of the SLAM vertex; ``None`` if there is none.
        pose: Body in world; ``None`` if unknown.
        floor: Name of the floor; ``None`` if there is none.

    Raises:
        InputError: The session's name is no UTF-8 text, or a number does not fit into 64 bits.

    Example:
        >>> place = Place("run1", 3, "a.png", pose=Pose(1.0, 2.0))
        >>> place.id, Place.from_json(place.to_json()) == place
        (('run1', 3), True)
    """

    session: str
    index: int
    name: str
    stamp: int | None = None
    vertex_id: int | None = None
    pose: Pose | None = None
    floor: str | None = None

    def __post_init__(self) -> None:
        for name in ("index", "stamp", "vertex_id"):
            value = getattr(self, name)
            if type(value) is not int and value is not None:
                object.__setattr__(self, name, operator.index(value))  # NumPy's integers
        for name, number in (("index", self.index), ("stamp", self.stamp)):
            if number is not None and not -_INT64 <= number < _INT64:
                raise InputError(f"{self.name!r}: the {name} {number} does not fit into 64 bits")
        if not self.session.isascii() and not _is_text(self.session):
            raise InputError(
                f"the session name {self.session!r} is no UTF-8 text; name the session yourself "
                "(--session)"
            )

    def __repr__(self) -> str:
        pose = "no pose" if self.pose is None else f"({self.pose.x:.2f}, {self.pose.y:.2f})"
        return f"Place({self.session!r}, {self.index}, {self.name!r}, {pose})"

    @property
    def id(self) -> PlaceId:
        """Session and index, which identify a place and decide ties."""
        return self.session, self.index

    def in_frame(self, frame_id: str) -> Place:
        """The place with its pose from the origin that a frame is called by, where it has one."""
        pose = fit_origin(self.pose, frame_id)
        return self if pose is self.pose else replace(self, pose=pose)

    @classmethod
    def from_frame(cls, frame: Frame) -> Place:
        """Make the place of a frame."""
        return cls(
            session=frame.session,
            index=frame.index,
            name=frame.name,
            stamp=frame.stamp,
            vertex_id=frame.vertex_id,
            pose=frame.pose,
            floor=frame.floor,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the quaternion is x, y, z, w."""
        values: dict[str, Any] = {
            "session": self.session,
            "index": self.index,
            "name": self.name,
            "stamp": self.stamp,
            "vertex_id": self.vertex_id,
            "floor": self.floor,
            "pose": None,
        }
        if self.pose is not None:
            values["pose"] = self.pose.to_dict()
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Place:
        """Inverse of :meth:`to_dict`."""
        pose = values["pose"]
        if pose is not None:
            quaternion, covariance = pose["quaternion"], pose["covariance"]
            pose = Pose(
                pose["x"],
                pose["y"],
                pose["z"],
                tuple(quaternion) if quaternion else None,
                pose["frame_id"],
                tuple(covariance) if covariance else None,
            )
        return cls(**{**values, "pose": pose})

    def to_json(self) -> str:
        """One line of JSON with sorted keys, the same for equal places."""
        return _JSON.encode(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Place:
        """Inverse of :meth:`to_json`."""
        return cls.from_dict(json.loads(text))


def _plain(value: object) -> object:
    """NumPy's scalars as Python's, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be kept with a place")


_JSON = json.JSONEncoder(sort_keys=True, default=_plain)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place with its similarity to a query.

    Attributes:
        place: The place.
        similarity: Cosine of the two descriptors, -1 to 1.
        rank: From 1, best first.
    """

    place: Place
    similarity: float
    rank: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"rank": self.rank, "similarity": self.similarity, **self.place.to_dict()}

    def to_row(self) -> dict[str, Any]:
        """What people read of it, for a table; the yaw is in degrees."""
        place, pose = self.place, self.place.pose
        return {
            "rank": self.rank,
            "similarity": self.similarity,
            "session": place.session,
            "index": place.index,
            "name": place.name,
            "vertex_id": place.vertex_id,
            "x": None if pose is None else pose.x,
            "y": None if pose is None else pose.y,
            "yaw": None if pose is None or pose.quaternion is None else math.degrees(pose.yaw),
        }

    def __repr__(self) -> str:
        return f"Candidate({self.rank}: {self.place.name!r}, similarity {self.similarity:.3f})"


class Candidates(list[Candidate]):
    """The candidates of one query, best first: a list that is also a table.

    Example:
        >>> Candidates([Candidate(Place("run1", 3, "a.png"), 0.91, 1)])
        Candidates(1: 'a.png' 0.910)
    """

    def __init__(self, candidates: Iterable[Candidate] = ()) -> None:
        super().__init__(candidates)

    def __repr__(self) -> str:
        shown = [f"{c.rank}: {c.place.name!r} {c.similarity:.3f}" for c in self[:_SHOWN]]
        more = [f"{len(self) - _SHOWN} more"] if len(self) > _SHOWN else []
        return f"Candidates({', '.join([*shown, *more])})"

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain values, for JSON."""
        return [candidate.to_dict() for candidate in self]

    def to_frame(self) -> Any:
        """A row for each candidate, as a pandas data frame.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pandas = require("pandas", extra="figures", purpose="Tables of candidates")
        columns = ("rank", "similarity", "session", "index", "name", "vertex_id", "x", "y", "yaw")
        return pandas.DataFrame([candidate.to_row() for candidate in self], columns=columns)
