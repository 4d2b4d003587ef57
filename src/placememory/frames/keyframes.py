"""Key frames by distance and angle: a robot that stands still should not fill its map."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from placememory.errors import SettingError
from placememory.frames.frame import Frame
from placememory.frames.pose import Pose

_SLACK = 1e-9  # so that five steps of 0.1 m are 0.5 m


def select_keyframes(
    frames: Iterable[Frame],
    distance: float | None = None,
    angle: float | None = None,
    *,
    without_pose: Literal["drop", "keep"] = "drop",
) -> list[Frame]:
    """Choose a frame when the robot has moved, or turned, far enough since the last key frame.

    The first frame with a pose of each session and floor is chosen. Turns count where both
    rotations are known.

    Args:
        frames: In the order they were taken; their indices are not changed.
        distance: Metres; ``None``: distance does not matter.
        angle: Degrees; ``None``: turns do not matter. Where both are ``None``, all are chosen.
        without_pose: Whether frames without a pose are kept or dropped.

    Raises:
        SettingError: The distance or the angle is no finite number of zero or more.

    Example:
        >>> frames = [Frame(f"{i}.png", "run", i, pose=Pose(0.4 * i, 0.0)) for i in range(6)]
        >>> [frame.index for frame in select_keyframes(frames, distance=0.8)]
        [0, 2, 4]
    """
    for name, value in (("distance", distance), ("angle", angle)):
        if value is not None and not 0 <= value < math.inf:
            raise SettingError(f"the {name} between key frames is zero or more, not {value}")
    chosen: list[Frame] = []
    last: dict[tuple[str, str | None], Pose] = {}
    for frame in frames:
        if frame.pose is None:
            if without_pose == "keep":
                chosen.append(frame)
            continue
        track = (frame.session, frame.floor)
        if track not in last or _has_moved(last[track], frame.pose, distance, angle):
            last[track] = frame.pose
            chosen.append(frame)
    return chosen


def _has_moved(before: Pose, now: Pose, distance: float | None, angle: float | None) -> bool:
    if distance is None and angle is None:
        return True
    far = distance is not None and now.distance_to(before) >= distance - _SLACK
    return far or (angle is not None and now.angle_to(before) >= angle - _SLACK)


def sample_evenly(count: int, wanted: int) -> NDArray[np.int64]:
    """At most ``wanted`` indices out of ``count``, evenly spaced, first and last included.

    Example:
        >>> sample_evenly(10, 4).tolist(), sample_evenly(2, 4).tolist()
        ([0, 3, 6, 9], [0, 1])
    """
    if count == 0:
        return np.empty(0, np.int64)
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))
