"""Whether odometry and images are of the same body: found out over the first metres."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass

from placememory.frames import Pose
from placememory.fusion import Odometry

_WINDOW = 40  # frames
_NEAREST, _FARTHEST = 1.0, 5.0  # metres between two frames that are compared
_LENGTHS = 1.8  # the longer of two ways over the shorter
_AGREE = math.radians(35.0)
_TURNS = {"right": 0.0, "left": math.pi / 2, "to the right": -math.pi / 2}
_VOTES = 4  # frames that say so, and
_RATIO = 4  # times as many as say otherwise
_TRUSTED = 25  # frames after which odometry that was right is not asked again

_CAMERA_PATH = 2.0  # metres
_CAMERA_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class _Seen:
    """A frame: its most similar place and the odometry so far, each (x, y, yaw)."""

    place: tuple[float, float, float]
    way: tuple[float, float, float]


class OdometryCheck:
    """Compares how the robot moved by odometry with how the most similar places move.

    Each frame is compared with those 1 to 5 m of odometry before it: the way between their most
    similar places, seen from the first, against the way by odometry. Most pairs of a frame that
    agree in length say where the odometry leads: the same way, or a quarter turn to the left or to
    the right, as of another body. Odometry that stands while the most similar places go on steadily
    is wrong too. Single places are often wrong, but wrong ones agree with no turn, so four frames
    must say so, and four times as many as say otherwise. Ways back are not counted: a map of
    panoramas may be driven the other way.

    Attributes:
        reason: Why the odometry is not to be followed; empty while it is.

    Example:
        >>> check = OdometryCheck()
        >>> for i in range(12):  # the images go along x, the odometry to the left
        ...     check.take((float(i), 0.0, 0.0), Odometry(0.0, 1.0, 0.0))
        >>> check.reason
        'odometry leads left where the images go ahead: is it of another body?'
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all frames, and what was found."""
        self.reason = ""
        self._votes: Counter[str] = Counter()
        self.pause()

    def pause(self) -> None:
        """Begin a new motion; what was found stays."""
        self._seen: deque[_Seen] = deque(maxlen=_WINDOW)
        self._way = (0.0, 0.0, 0.0)

    def take(self, place: tuple[float, float, float] | None, odometry: Odometry | None) -> None:
        """Take in a frame.

        Args:
            place: x, y (metres) and yaw (radians) of its most similar place; ``None`` if unknown.
            odometry: Motion since the frame before; ``None`` if unknown.
        """
        if self.reason or self._votes["right"] >= _TRUSTED:
            return
        if odometry is None:
            self.pause()
        else:
            self._way = _add(self._way, (odometry.dx, odometry.dy, odometry.dyaw))
        if place is None or math.isnan(sum(place)):
            return
        self._seen.append(_Seen(place, self._way))
        said = self._compare() or self._stands()
        if said is not None:
            self._votes[said] += 1
            self._decide()

    def _compare(self) -> str | None:
        """What most pairs of the newest frame say."""
        now, found = self._seen[-1], Counter[str]()
        pairs = 0
        for then in self._seen:
            way = _between(then.way, now.way)
            length = math.hypot(*way)
            if not _NEAREST <= length <= _FARTHEST:
                continue
            pairs += 1
            seen = _between(then.place, now.place)
            if not length / _LENGTHS <= math.hypot(*seen) <= length * _LENGTHS:
                continue
            turn = math.atan2(way[1], way[0]) - math.atan2(seen[1], seen[0])
            for name, angle in _TURNS.items():
                if abs(math.remainder(turn - angle, math.tau)) <= _AGREE:
                    found[name] += 1
        if not found:
            return None
        name, count = found.most_common(1)[0]
        return name if 2 * count > pairs else None

    def _stands(self) -> str | None:
        """Whether odometry stands over seven frames while places go on, or stand as well."""
        if len(self._seen) < 7:
            return None
        first, middle, last = self._seen[-7], self._seen[-4], self._seen[-1]
        if any(math.hypot(*_between(f.way, last.way)) > 0.3 for f in (first, middle)):
            return None
        one, two = _step(first.place, middle.place), _step(middle.place, last.place)
        far = min(math.hypot(*one), math.hypot(*two))
        if far < 0.5:
            return "right"
        steady = math.dist(one, two) <= 0.5 * far
        return "stands" if steady else None

    def _decide(self) -> None:
        right = self._votes["right"]
        for name in ("left", "to the right", "stands"):
            if self._votes[name] >= _VOTES and self._votes[name] >= _RATIO * right:
                what = "stands" if name == "stands" else f"leads {name}"
                self.reason = f"odometry {what} where the images go ahead: is it of another body?"


class AxesCheck:
    """Whether odometry has camera axes: a ground robot does not drive along its own z axis.

    Attributes:
        reason: Why the odometry is not to be followed; empty while it is.

    Example:
        >>> check = AxesCheck()
        >>> for _ in range(8):
        ...     check.take(Pose(0.02, 0.01, 0.4))
        >>> check.reason
        'odometry moves along z: has it camera axes?'
    """

    def __init__(self) -> None:
        self._along = [0.0, 0.0, 0.0]

    def take(self, motion: Pose) -> None:
        """Take in a motion: the pose of the body in the body before."""
        moved = (motion.x, motion.y, motion.z)
        self._along = [sum(pair) for pair in zip(self._along, map(abs, moved), strict=True)]

    @property
    def reason(self) -> str:
        """Empty before two metres; a lift at the start is outweighed by the way after it."""
        total = sum(self._along)
        if total < _CAMERA_PATH or self._along[2] <= _CAMERA_SHARE * total:
            return ""
        return "odometry moves along z: has it camera axes?"


def _add(
    pose: tuple[float, float, float], motion: tuple[float, float, float]
) -> tuple[float, float, float]:
    x, y, yaw = pose
    dx, dy, turn = motion
    cosine, sine = math.cos(yaw), math.sin(yaw)
    return x + cosine * dx - sine * dy, y + sine * dx + cosine * dy, yaw + turn


def _between(
    first: tuple[float, float, float], second: tuple[float, float, float]
) -> tuple[float, float]:
    """Way from one pose to another, seen from the first."""
    x, y = _step(first, second)
    cosine, sine = math.cos(first[2]), math.sin(first[2])
    return cosine * x + sine * y, cosine * y - sine * x


def _step(
    first: tuple[float, float, float], second: tuple[float, float, float]
) -> tuple[float, float]:
    return second[0] - first[0], second[1] - first[1]
